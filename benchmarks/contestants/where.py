"""Where the time of a training by sae goes, everything on: seconds by part, none counted twice."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import sae_cli
import torch
from job import begin, say
from lightning import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loops.evaluation_loop import _EvaluationLoop

import sae.training.pretrain
from sae.callbacks.checkpoints import BestWeights, PhaseCheckpoint, Snapshot
from sae.callbacks.metrics_csv import MetricsCSV
from sae.callbacks.phase_pictures import PhasePictures
from sae.callbacks.progress import StageProgressBar
from sae.callbacks.whole_path import WholePath
from sae.data import TensorLoader
from sae.run.journal import RunJournal
from sae.training.handover import CodesInMemory
from sae.training.module import TrainingModule, _Means

REST = "Lightning and the rest"
HAND_OVER = "hand-over of codes, mean, health"
MEANS = "means of losses, finite?"
LOGS = "TensorBoard and metrics.csv"
KEPT = "checkpoints, weights, manifest"
# Their batches and forward passes are their own, not those of the training.
WHOLES = {"validation", HAND_OVER, "pictures"}
STEPS = {"batches", "forward", MEANS}


class Meter:
    """Seconds of each part, less those of the parts within it. Stands still outside of ``run``."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._parts: list[str] = []
        self._since = 0.0

    @contextmanager
    def run(self) -> Iterator[None]:
        """Count what is in no part as the rest."""
        self._parts, self._since = [REST], time.perf_counter()
        try:
            yield
        finally:
            self._settle()
            self._parts = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens here to ``name``, unless it is a step of a whole."""
        if not self._parts or (name in STEPS and WHOLES.intersection(self._parts)):
            yield
            return
        self._settle()
        self._parts.append(name)
        try:
            yield
        finally:
            self._settle()
            self._parts.pop()

    def _settle(self) -> None:
        now = time.perf_counter()
        self.seconds[self._parts[-1]] += now - self._since
        self._since = now

    def wrapped(self, own: Callable[..., Any], part: str) -> Callable[..., Any]:
        @wraps(own)
        def metered(*args: Any, **kwargs: Any) -> Any:
            with self.part(part):
                return own(*args, **kwargs)

        return metered

    def wrap(self, owner: Any, part: str, *names: str) -> None:
        for name in names:
            setattr(owner, name, self.wrapped(getattr(owner, name), part))

    def wrap_hooks(self, kind: type[Callback], part: str) -> None:
        """All that a callback does when the Trainer calls it."""
        hooks = (name for name in dir(kind) if name.startswith("on_") or name == "setup")
        self.wrap(
            kind, part, *(h for h in hooks if getattr(kind, h) is not getattr(Callback, h, None))
        )


def instrument(meter: Meter) -> None:
    """Have the parts of a training told to the meter."""
    batches = TensorLoader._batches

    def metered_batches(loader: TensorLoader) -> Iterator[Any]:
        own = batches(loader)
        while True:
            with meter.part("batches"):
                batch = next(own, None)
            if batch is None:
                return
            yield batch

    TensorLoader._batches = metered_batches  # type: ignore[method-assign]
    meter.wrap(TrainingModule, "forward", "training_loss")
    meter.wrap(_Means, MEANS, "add")
    meter.wrap(TrainingModule, MEANS, "_check_finite")
    meter.wrap(torch.Tensor, "backward", "backward")
    step = torch.optim.Adam.step

    def metered_step(optimizer: torch.optim.Adam, closure: Any = None) -> Any:
        # Lightning runs the forward and the backward pass from within the step.
        inner = None if closure is None else meter.wrapped(closure, REST)
        with meter.part("optimiser"):
            return step(optimizer, inner)

    torch.optim.Adam.step = metered_step  # type: ignore[assignment,method-assign]
    meter.wrap(torch.optim.Optimizer, "optimiser", "zero_grad")
    meter.wrap(_EvaluationLoop, "validation", "run")
    for kind in (PhaseCheckpoint, BestWeights, Snapshot):
        meter.wrap_hooks(kind, KEPT)
    meter.wrap(RunJournal, KEPT, "recall", "begin", "note")
    meter.wrap_hooks(MetricsCSV, LOGS)
    meter.wrap_hooks(WholePath, LOGS)
    meter.wrap(TrainingModule, LOGS, "_log")
    methods = ("log_metrics", "log_hyperparams", "log_graph", "save", "finalize")
    meter.wrap(TensorBoardLogger, LOGS, *methods)
    meter.wrap_hooks(StageProgressBar, "progress bar")
    meter.wrap_hooks(PhasePictures, "pictures")
    meter.wrap(TensorLoader, HAND_OVER, "survey")
    meter.wrap(CodesInMemory, HAND_OVER, "hand_on")
    meter.wrap(sae.training.pretrain, HAND_OVER, "check")


def main() -> None:
    job = begin(sae_cli.options())
    meter = Meter()
    instrument(meter)

    class Metered(sae_cli.ClockedPretrainer):
        def fit(self, *args: Any) -> Any:
            with meter.run():
                return super().fit(*args)

    sae_cli.ClockedPretrainer = Metered  # type: ignore[misc]
    start = time.perf_counter()
    sae_cli.fit(job, [])
    outside = time.perf_counter() - start - sum(meter.seconds.values())
    parts = dict(sorted(meter.seconds.items(), key=lambda part: -part[1]))
    say({"parts": parts, "outside": outside})


if __name__ == "__main__":
    main()
