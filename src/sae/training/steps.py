"""Work that libraries repeat at each step, left out where it has no effect."""

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
    """Where there is no GPU, do not look for one at each step.

    Each step of an optimiser asks whether there is one. Lightning has torch look for the driver's
    library to answer that, so that processes can still be forked; where there is none torch looks
    through all folders of libraries each time: a tenth of a small network's step.
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
    """Have the garbage collector pass over what has been imported: it stays as it is.

    To look through it takes a quarter of a second each time. Afterwards it is to be looked at:
    modules that are not torn down in the end complain.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


# A burst of steps is to take long beside what the Trainer does once for each: half a millisecond.
MOST_STEPS = 16
MOST_PRODUCTS = 2**31  # of a weight and an input, forward: some tenth of a second on two cores
# What is known to look at epochs only, and not to change how steps are taken. A subclass may do
# either, so the types are compared exactly. Our callbacks say so in their own class body, by
# ``looks_at_epochs_only``; a subclass does not inherit it.
MODULES: tuple[type[LightningModule], ...] = (Stage, StackedAutoencoder, TrainingModule)
CALLBACKS: tuple[type[Callback], ...] = (EarlyStopping, ModelSummary, TQDMProgressBar)


def steps_at_once(trainer: Trainer, module: LightningModule, batch_size: int) -> int:
    """How many steps of the optimiser the Trainer may take as one of its own.

    The Trainer does for each batch what takes longer than a tenth of a small network's step. Where
    module and callbacks are known not to look at single steps, and none of the Trainer's options
    counts or changes them, several are taken in a row. The weights are the same, bit for bit.

    Args:
        trainer: Of this phase.
        module: What is trained.
        batch_size: Samples in a batch.

    Returns:
        A number of steps; 1 leaves them to the Trainer.
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
    """Leave the optimiser's steps to the module while it is fitted, if there are several at once.

    Args:
        trainer: Who fits it.
        module: What is fitted; afterwards any Trainer trains it as usual.
        steps: Of :func:`steps_at_once`.
    """
    if steps == 1:
        yield
        return
    module.automatic_optimization = False
    try:
        yield
    finally:
        module.automatic_optimization = True
        # The Trainer counts steps in two places, by who takes them.
        loop = trainer.fit_loop.epoch_loop
        ours = loop.manual_optimization.optim_step_progress.total
        its = loop.automatic_optimization.optim_progress.optimizer.step.total
        its.ready = its.completed = max(ours.completed, its.completed)


def _adds_up_alike(precision: Precision) -> bool:
    """Whether a step of its own does no more than to cast: no scaler looks at the gradients."""
    mixed = type(precision) is MixedPrecision and precision.scaler is None
    return mixed or type(precision) is Precision


def _looks_at_epochs_only(callback: Callback) -> bool:
    """Whether it is known to do nothing at single steps that would be missed."""
    kind = type(callback)
    known = kind in CALLBACKS or vars(kind).get("looks_at_epochs_only") is True
    if isinstance(callback, LearningRateMonitor):
        known = kind is LearningRateMonitor and callback.logging_interval == "epoch"
    return known and _is_unchanged(callback)


def _is_unchanged(thing: Callback | LightningModule) -> bool:
    """Whether no method of its class has been replaced on this very object."""
    return not any(callable(getattr(type(thing), name, None)) for name in vars(thing))
