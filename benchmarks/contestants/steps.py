"""How long a step of 784-256-784 at batch 256 takes, as sae has threads wait, or as torch does.

Prints JSON: ``ms``, the median over blocks of 20 steps; with ``--turns`` the ``ratio`` of both
ways, taken in turns within this one process, which a machine that drifts does not spoil.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--as_torch_waits", action="store_true")
    parser.add_argument("--turns", action="store_true")
    options = parser.parse_args()
    adapted = nullcontext
    if not options.as_torch_waits:
        from sae.training.waiting import adapted  # type: ignore[assignment]  # before torch, as in cli.py

    step = steps()
    if options.turns:
        print(json.dumps({"ratio": in_turns(step, adapted, options.seconds / 6)}))
        return
    with adapted():
        milliseconds(step, options.seconds / 3)  # it notices how busy the machine is
        print(json.dumps({"ms": milliseconds(step, options.seconds)}))


def in_turns(step: Callable[[], None], adapted: Callable, seconds: float) -> float:
    """How many times as long a step takes within ``adapted``: the median over 14 pairs of turns."""
    milliseconds(step, seconds)
    ratios = []
    for _ in range(14):
        with adapted():
            ours = milliseconds(step, seconds)
        ratios.append(ours / milliseconds(step, seconds))
    return statistics.median(ratios)


def milliseconds(step: Callable[[], None], seconds: float) -> float:
    """Of a step: the median over blocks of 20."""
    blocks, end = [], time.perf_counter() + seconds
    while not blocks or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(20):
            step()
        blocks.append(1000 * (time.perf_counter() - start) / 20)
    return statistics.median(blocks)


def steps() -> Callable[[], None]:
    """One step of the training; torch is imported here, after sae."""
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
