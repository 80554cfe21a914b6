"""The yardstick: a plain loop of PyTorch with nothing in it that costs time.

Pixels lie in memory as float32, an index fetches a batch, Adam is fused, no loss is looked at,
nothing is validated or saved.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import pairwise

import torch
from job import LR, SIZES, Clock, begin, parser, pixels, report, sse_on_test
from torch import Tensor, nn


def layer(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, n_out), nn.Sigmoid())


def nothing() -> None:
    pass


def train(
    net: nn.Module, x: Tensor, epochs: int, batch_size: int, look: Callable[[], None]
) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=LR, fused=True)
    for _ in range(epochs):
        order = torch.randperm(len(x), device=x.device)
        for start in range(0, len(x), batch_size):
            batch = x.index_select(0, order[start : start + batch_size])
            loss = (net(batch) - batch).square().sum(1).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        look()


def untrained() -> tuple[list[nn.Sequential], list[nn.Sequential], nn.Sequential]:
    """Encoders, decoders, and both stacked."""
    encoders = [layer(n_in, n_code) for n_in, n_code in pairwise(SIZES)]
    decoders = [layer(n_code, n_in) for n_in, n_code in pairwise(SIZES)]
    return encoders, decoders, nn.Sequential(*encoders, *reversed(decoders))


# Trains a network on samples: epochs, batch size, and what to do after each epoch.
Train = Callable[[nn.Module, Tensor, int, int, Callable[[], None]], None]


def greedy(train: Train, job: argparse.Namespace) -> None:
    """The job, each training by ``train``, and its report."""
    encoders, decoders, stack = untrained()
    stack.to(job.device)
    x = pixels(job, "train").to(job.device)
    with Clock() as clock:
        codes = x
        for k, (encoder, decoder) in enumerate(zip(encoders, decoders, strict=True)):
            train(nn.Sequential(encoder, decoder), codes, job.epochs, job.batch_size, nothing)
            if k + 1 < len(encoders):
                with torch.no_grad():
                    codes = torch.cat([encoder(part) for part in codes.split(4096)])
        train(stack, x, job.finetune_epochs, job.batch_size, lambda: clock.look(stack, job))
    report(job, clock, stack.cpu(), untrained_sse=sse_on_test(untrained()[2], job))


if __name__ == "__main__":
    greedy(train, begin(parser()))
