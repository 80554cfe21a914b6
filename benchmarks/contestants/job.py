"""The job that all contestants do, and the line in which each says how it went.

784-256-128, sigmoid units throughout, squared error per image, Adam: stage 1 on the pixels, stage 2
on the codes of stage 1, then the whole net 784-256-128-256-784. This file needs torch alone, so
that a contestant's memory is its own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

SIZES = (784, 256, 128)
LR = 0.001
SEED = 0


def parser() -> argparse.ArgumentParser:
    """The options of every contestant."""
    options = argparse.ArgumentParser()
    options.add_argument("--images", type=Path, required=True, help="folder of prepare.py")
    options.add_argument("--root", help="folder of MNIST; left out where images are generated")
    options.add_argument("--samples", type=int, required=True)
    options.add_argument("--epochs", type=int, required=True)
    options.add_argument("--batch_size", type=int, required=True)
    options.add_argument("--threads", type=int, required=True)
    options.add_argument("--device", default="cpu", help="cpu or cuda")
    options.add_argument("--finetune_epochs", type=int, help="those of the others if left out")
    options.add_argument("--goal", type=float, help="look after each epoch; stop at this test SSE")
    options.add_argument("--limit", type=float, default=math.inf, help="or after these seconds")
    return options


def begin(options: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line and set up the process."""
    job = options.parse_args()
    if job.finetune_epochs is None:
        job.finetune_epochs = job.epochs
    torch.set_num_threads(job.threads)
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, as sae has it
    warm_up(job.device)
    torch.manual_seed(SEED)
    return job


def warm_up(device: str) -> None:
    """Take one step of each Adam: the first one imports half of torch, in whoever takes it."""
    for fused in (True, False):
        net = torch.nn.Linear(256, 256, device=device)
        optimizer = torch.optim.Adam(net.parameters(), lr=LR, fused=fused)
        net(torch.ones(256, 256, device=device)).sigmoid().square().sum().backward()
        optimizer.step()


def images(job: argparse.Namespace, part: str) -> Tensor:
    """Images of ``train`` or ``test``: uint8, (n, 784)."""
    return torch.from_numpy(np.load(job.images / f"{part}.npy"))


def pixels(job: argparse.Namespace, part: str) -> Tensor:
    """The same as float32 in [0, 1]."""
    return images(job, part).float().div_(255)


def labels(job: argparse.Namespace, part: str) -> Tensor:
    """Their classes: int64, (n,)."""
    return torch.from_numpy(np.load(job.images / f"{part}_labels.npy"))


class ReachedError(Exception):
    """The goal is reached, or the time is up."""


def wait_for_a_turn(word: bytes) -> None:
    """Say how far this process is, and stand still until it is let run; see turns.py."""
    if pipe := os.environ.get("SAE_BENCH_TURNS"):
        os.write(int(pipe), word)
        os.kill(os.getpid(), signal.SIGSTOP)


class Clock:
    """Seconds of a ``with`` block, and the most memory this process has held up to its end.

    Attributes:
        curve: Seconds and test SSE at each look.
    """

    def __enter__(self) -> Clock:
        self.curve: list[tuple[float, float]] = []
        wait_for_a_turn(b"r")
        self.start, self._paused = time.perf_counter(), 0.0
        return self

    def __exit__(self, kind: type | None, *_: object) -> bool:
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # what was asked for is done
        self.seconds = time.perf_counter() - self.start - self._paused
        self.peak_mb = peak_mb()
        wait_for_a_turn(b"d")
        return kind is ReachedError

    def look(self, net: Callable[[Tensor], Tensor], job: argparse.Namespace) -> None:
        """Where the job has a goal, note the test SSE of the stack; the clock stands still.

        Raises:
            ReachedError: That is what was to be reached.
        """
        if job.goal is None:
            return
        now = time.perf_counter()
        self.curve.append((now - self.start - self._paused, sse_on_test(net, job)))
        self._paused += time.perf_counter() - now
        if self.curve[-1][1] <= job.goal or self.curve[-1][0] > job.limit:
            raise ReachedError


def peak_mb() -> float:
    """The most memory this process has held: its own, not that of its workers."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@torch.no_grad()
def sse_on_test(net: Callable[[Tensor], Tensor], job: argparse.Namespace) -> float:
    """Squared error per test image."""
    x = pixels(job, "test")
    return float(sum((net(part) - part).square().sum() for part in x.split(1000)) / len(x))


@torch.no_grad()
def error_on_test(net: Callable[[Tensor], Tensor], job: argparse.Namespace) -> float:
    """Percent of the test images whose class has not the greatest logit."""
    x, y = pixels(job, "test"), labels(job, "test")
    logits = torch.cat([net(part) for part in x.split(1000)])
    return 100 * float((logits.argmax(1) != y).double().mean())


def report_error(
    job: argparse.Namespace, clock: Clock, net: Callable[[Tensor], Tensor], **more: float
) -> None:
    """Print the figures of a finished fine-tuning of a classifier as the last line."""
    samples = job.finetune_epochs * job.samples
    figures = {"seconds": clock.seconds, "peak_mb": clock.peak_mb, "samples": samples}
    say({**figures, "test_error": error_on_test(net, job), **more, "peak_mb_end": peak_mb()})


def report(
    job: argparse.Namespace, clock: Clock, net: Callable[[Tensor], Tensor], **more: Any
) -> None:
    """Print the figures of a finished job as the last line."""
    figures: dict[str, Any] = {
        "seconds": clock.seconds,
        "test_sse": sse_on_test(net, job),
        "peak_mb": clock.peak_mb,
        "samples": (2 * job.epochs + job.finetune_epochs) * job.samples,
        **more,
    }
    figures["peak_mb_end"] = peak_mb()
    if clock.curve:
        figures["curve"] = clock.curve
    say(figures)


def say(figures: dict) -> None:
    """The line that the parent reads; after whatever else was printed."""
    print("\n" + json.dumps(figures), flush=True)
