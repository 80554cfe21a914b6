"""How long processes take to add up gradients: seconds of an all-reduce, by its bytes.

Run by torchrun. The processes wait for each other before each try; the median of the tries counts.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
import torch.distributed as dist
from job import say


def seconds(n_bytes: int, tries: int) -> float:
    """Of one all-reduce of so many bytes of single precision."""
    x, taken = torch.ones(n_bytes // 4), []
    for _ in range(tries + 3):
        dist.barrier()
        start = time.perf_counter()
        dist.all_reduce(x)
        taken.append(time.perf_counter() - start)
        x.fill_(1)
    return statistics.median(taken[3:])  # the first ones open connections


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bytes", type=int, nargs="+", required=True)
    parser.add_argument("--tries", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    found = {n: seconds(n, options.tries) for n in options.bytes}
    if dist.get_rank() == 0:
        say({"processes": dist.get_world_size(), "seconds": found})
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
