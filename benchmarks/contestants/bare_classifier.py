"""The yardstick of a classifier's fine-tuning: a plain loop with nothing in it that costs time.

784-256-128-10, sigmoid units, cross-entropy, Adam: the steps of the fine-tuning alone.
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import torch
from bare import layer
from job import LR, SIZES, Clock, begin, error_on_test, labels, parser, pixels, report_error
from torch import nn

CLASSES = 10


def untrained() -> nn.Sequential:
    """Two layers and a head."""
    layers = [layer(n_in, n_out) for n_in, n_out in pairwise(SIZES)]
    return nn.Sequential(*layers, nn.Linear(SIZES[-1], CLASSES))


def main(job: argparse.Namespace) -> None:
    net = untrained()
    x, y = pixels(job, "train"), labels(job, "train")
    with Clock() as clock:
        optimizer = torch.optim.Adam(net.parameters(), lr=LR, fused=True)
        for _ in range(job.finetune_epochs):
            order = torch.randperm(len(x))
            for start in range(0, len(x), job.batch_size):
                index = order[start : start + job.batch_size]
                loss = nn.functional.cross_entropy(net(x.index_select(0, index)), y[index])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
    report_error(job, clock, net, untrained_error=error_on_test(untrained(), job))


if __name__ == "__main__":
    main(begin(parser()))
