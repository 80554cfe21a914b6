"""What libraries do again and again, and need not do where it is of no use."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ProgressBar
from lightning.pytorch.plugins import MixedPrecision, Precision
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import nn

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
_AT_EACH_STEP = [
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad"),
    *("on_before_backward", "on_after_backward", "on_before_optimizer_step"),
]


def steps_at_once(trainer: Trainer, net: nn.Module, batch_size: int) -> int:
    """How many steps of the optimiser the Trainer may take as one of its own.

    The Trainer does for each batch what takes longer than a tenth of a small network's step. Where
    nobody looks at single steps, and none of its options counts or changes them, several are taken
    in a row. The weights are the same, bit for bit.

    Args:
        trainer: Of this phase.
        net: What is trained.
        batch_size: Samples in a batch.

    Returns:
        A number of steps; 1 leaves them to the Trainer.
    """
    untouched = (
        isinstance(trainer.strategy, SingleDeviceStrategy)
        and _adds_up_alike(trainer.precision_plugin)
        and trainer.gradient_clip_val is None
        and trainer.accumulate_grad_batches == 1
        and trainer.limit_train_batches == 1.0
        and isinstance(trainer.limit_train_batches, float)
    )
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set from afar
    if not untouched or any(_looks_at_steps(callback) for callback in callbacks):
        return 1
    products = batch_size * sum(parameter.numel() for parameter in net.parameters())
    return max(1, min(MOST_STEPS, MOST_PRODUCTS // products))


def _adds_up_alike(precision: Precision) -> bool:
    """Whether a step of its own does no more than to cast: no scaler looks at the gradients."""
    mixed = isinstance(precision, MixedPrecision) and precision.scaler is None
    return mixed or type(precision) is Precision


def _looks_at_steps(callback: Callback) -> bool:
    """Whether it does something at each step that would be missed."""
    if isinstance(callback, LearningRateMonitor):
        return callback.logging_interval != "epoch"
    if isinstance(callback, ProgressBar) or getattr(callback, "looks_at_epochs_only", False):
        return False
    return any(
        getattr(type(callback), hook) is not getattr(Callback, hook) for hook in _AT_EACH_STEP
    )
