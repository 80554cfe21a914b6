"""Faster steps: leave out work that libraries repeat at each step, if it has no effect."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    EarlyStopping,
    LearningRateMonitor,
    ModelSummary,
    TQDMProgressBar,
)
from lightning.pytorch.plugins import MixedPrecision, Precision
from lightning.pytorch.profilers import PassThroughProfiler, Profiler
from lightning.pytorch.strategies import SingleDeviceStrategy

from sae.training.module import TrainingModule
from sae.training.stacked import StackedAutoencoder
from sae.training.stage import Stage

_ASK_THE_DRIVER = "PYTORCH_NVML_BASED_CUDA_CHECK"


@contextmanager
def no_search_for_gpus() -> Iterator[None]:
    """If there is no GPU, do not search for one at each step.

    Each step of an optimiser asks torch whether there is a GPU. With Lightning's settings, torch
    then searches for the driver's library (so that processes can still be forked). Without a
    driver it searches all library folders each time: a tenth of a small network's step.
    """
    before = os.environ.get(_ASK_THE_DRIVER)
    if before is None or torch.cuda.is_available():
        yield
        return
    del os.environ[_ASK_THE_DRIVER]
    try:
        yield
    finally:
        os.environ[_ASK_THE_DRIVER] = before


@contextmanager
def imports_set_aside() -> Iterator[None]:
    """Make the garbage collector skip everything that is imported so far.

    Checking it takes a quarter of a second each time. Afterwards this is undone, because modules
    that are never collected print warnings at exit.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


# A burst of steps must take much longer than the Trainer's own work per burst: half a millisecond.
MOST_STEPS = 16
MOST_PRODUCTS = 2**31  # multiplications of a burst, forward: about 0.1 s on two cores
# Types that only look at epochs and do not change how steps are taken. A subclass may do so, so
# types are compared exactly. Our own callbacks set ``looks_at_epochs_only`` in their class body;
# a subclass does not inherit it.
MODULES: tuple[type[LightningModule], ...] = (Stage, StackedAutoencoder, TrainingModule)
CALLBACKS: tuple[type[Callback], ...] = (EarlyStopping, ModelSummary, TQDMProgressBar)


def steps_at_once(trainer: Trainer, module: LightningModule, batch_size: int) -> int:
    """Return how many steps of the optimiser to take in one step of the Trainer.

    The Trainer's own work per step takes more than a tenth of a small network's step. If neither
    module nor callbacks look at single steps, and no option of the Trainer counts or changes them,
    several steps are taken in a row. The weights are the same, bit for bit.

    Args:
        trainer: The Trainer of this phase.
        module: The module to train.
        batch_size: Samples in a batch.

    Returns:
        A number of steps, 1 to ``MOST_STEPS``; with 1 the Trainer takes each step.
    """
    profiler: Profiler = trainer.profiler  # type: ignore[attr-defined]  # set from afar
    untouched = (
        type(trainer) is Trainer
        and type(trainer.strategy) is SingleDeviceStrategy
        and type(profiler) is PassThroughProfiler
        and _adds_up_alike(trainer.precision_plugin)
        and trainer.gradient_clip_val is None
        and trainer.accumulate_grad_batches == 1
        and trainer.limit_train_batches == 1.0
        and isinstance(trainer.limit_train_batches, float)
        and trainer.val_check_interval == 1.0
        and isinstance(trainer.val_check_interval, float)
        and trainer.max_steps == -1
    )
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set from afar
    known = type(module) in MODULES and _is_unchanged(module)
    if not (untouched and known and all(_looks_at_epochs_only(each) for each in callbacks)):
        return 1
    assert isinstance(module, TrainingModule)
    own = sum(parameter.numel() for parameter in module.objective.parameters())
    products = batch_size * max(1, module.net.multiply_adds() + own)
    return max(1, min(MOST_STEPS, MOST_PRODUCTS // products))


@contextmanager
def bursts(trainer: Trainer, module: LightningModule, steps: int) -> Iterator[None]:
    """Let the module take the optimiser's steps during the fit, if ``steps`` is above 1.

    Args:
        trainer: The Trainer of the fit.
        module: The module; afterwards any Trainer trains it as usual.
        steps: Result of :func:`steps_at_once`.
    """
    if steps == 1:
        yield
        return
    module.automatic_optimization = False
    try:
        yield
    finally:
        module.automatic_optimization = True
        # The Trainer has two counters: one for its own steps, one for the module's.
        loop = trainer.fit_loop.epoch_loop
        ours = loop.manual_optimization.optim_step_progress.total
        its = loop.automatic_optimization.optim_progress.optimizer.step.total
        its.ready = its.completed = max(ours.completed, its.completed)


def _adds_up_alike(precision: Precision) -> bool:
    """Return whether the precision only casts, and no scaler changes the gradients."""
    mixed = type(precision) is MixedPrecision and precision.scaler is None
    return mixed or type(precision) is Precision


def _looks_at_epochs_only(callback: Callback) -> bool:
    """Return whether a callback is known to do nothing at single steps."""
    kind = type(callback)
    known = kind in CALLBACKS or vars(kind).get("looks_at_epochs_only") is True
    if isinstance(callback, LearningRateMonitor):
        known = kind is LearningRateMonitor and callback.logging_interval == "epoch"
    return known and _is_unchanged(callback)


def _is_unchanged(thing: Callback | LightningModule) -> bool:
    """Return whether no method was replaced on this object itself."""
    return not any(callable(getattr(type(thing), name, None)) for name in vars(thing))
