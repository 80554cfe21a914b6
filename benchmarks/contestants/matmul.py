"""What this machine makes of a float32 matrix product, the best of several: GFLOP/s."""

from __future__ import annotations

import argparse
import time

import torch
from job import say

N, TRIES = 2048, 20


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    torch.set_num_threads(parser.parse_args().threads)
    a, b, out = torch.rand(N, N), torch.rand(N, N), torch.empty(N, N)
    seconds = []
    for _ in range(TRIES):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        seconds.append(time.perf_counter() - start)
    say({"gflops": 2 * N**3 / min(seconds) / 1e9})


if __name__ == "__main__":
    main()
