"""How long a step of 784-256-784 at batch 256 takes, as sae has threads wait, or as torch does.

Prints JSON: ``ms``, the median over blocks of 20 steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from contextlib import nullcontext


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--as_torch_waits", action="store_true")
    options = parser.parse_args()
    adapted = nullcontext
    if not options.as_torch_waits:
        from sae.waiting import adapted  # type: ignore[assignment]  # before torch, as in cli.py

    with adapted():
        step = steps()
        end = time.perf_counter() + options.seconds / 3  # it notices how busy the machine is
        while time.perf_counter() < end:
            step()
        blocks, end = [], time.perf_counter() + options.seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            for _ in range(20):
                step()
            blocks.append(1000 * (time.perf_counter() - start) / 20)
    print(json.dumps({"ms": statistics.median(blocks)}))


def steps():  # type: ignore[no-untyped-def]  # a function; torch is not to be imported before
    import torch

    torch.manual_seed(0)
    x = torch.rand(256, 784)
    net = torch.nn.Sequential(
        torch.nn.Linear(784, 256), torch.nn.Sigmoid(), torch.nn.Linear(256, 784), torch.nn.Sigmoid()
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        loss = (net(x) - x).square().sum(1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
