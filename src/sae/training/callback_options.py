"""Callbacks of Lightning's that cannot do in a run of several trainings what they do in one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lightning import Callback
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BaseFinetuning,
    BasePredictionWriter,
    BatchSizeFinder,
    DeviceStatsMonitor,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    OnExceptionCheckpoint,
    ProgressBar,
    SpikeDetection,
    StochasticWeightAveraging,
    Timer,
)
from lightning_utilities.core.imports import module_available

from sae.errors import InputError, show

# Callback -> why not, and what to do instead. So are their subclasses.
REFUSED: dict[type[Callback], tuple[str, str]] = {
    StochasticWeightAveraging: (
        "which averages weights that are not validated, so that the best weights of a phase would "
        "replace them",
        "take WeightAveraging or EMAWeightAveraging, whose average is validated and kept",
    ),
    Timer: (
        "which counts the time of each training, not of the run",
        "give fewer epochs, or stop the run with Ctrl-C and go on later with --resume",
    ),
    LearningRateFinder: (
        "which sets an attribute lr that the stages do not have",
        "set pretrain.lr and finetune.lr",
    ),
    BatchSizeFinder: (
        "which sets an attribute batch_size that the stages do not have",
        "set data.batch_size",
    ),
    BackboneFinetuning: (
        "which looks for a backbone",
        "leave it out: the layers below a stage are frozen already",
    ),
    ModelPruning: (
        "which replaces the weights that a stage hands on by masked ones",
        "leave it out, or set pretrain.sparsity for codes with few active units",
    ),
    OnExceptionCheckpoint: (
        "with which a training begins with the state that another one has left",
        "leave it out: the run keeps its own last state, and --resume goes on from it",
    ),
    SpikeDetection: (
        "whose state Lightning cannot read again, so that the run could not go on after a stop",
        "leave it out: a loss that is not finite ends a run in any case",
    ),
}
# These themselves do nothing that is of use; a subclass may.
BASES: tuple[type[Callback], ...] = (BaseFinetuning, BasePredictionWriter, ProgressBar)
# What each phase of a run that reconstructs logs; see :func:`sae.training.module.logged`.
MEASURED = ("train/loss", "val/loss", "val/sse", "val/image_sse")
_KEY = "trainer.callbacks"
_OF_A_PHASE = re.compile(r"(stage[0-9]+|head|finetune)/(.+)")
_OURS = ("best", "last")


def check_callbacks(callbacks: Iterable[Callback], phase: str | None = None) -> None:
    """Raise :class:`InputError` for a callback that would break a run, or do nothing in it.

    Args:
        callbacks: Those that the user has named.
        phase: Name of the phase that they are for; None where they are for all.
    """
    for callback in callbacks:
        _check_monitor(callback, phase)
        if isinstance(callback, ModelCheckpoint):
            _check_file_name(callback)


def check_kinds(callbacks: Sequence[Callback], logged: Sequence[str] = MEASURED) -> None:
    """Raise :class:`InputError` for a callback that the command line does not take.

    Args:
        callbacks: Those that the user has named.
        logged: What the phases log.
    """
    if all(type(callback).__module__.startswith("lightning.") for callback in callbacks):
        _check_monitors_exist(callbacks, logged)  # a callback of the user's may log more
    for callback in callbacks:
        for kind, (why, remedy) in REFUSED.items():
            if isinstance(callback, kind):
                found = f"{type(callback).__name__}, {why}"
                raise InputError(_KEY, "what fits a run of several trainings", found, remedy)
        if type(callback) in BASES:
            found = f"{type(callback).__name__}, which is a base for others"
            raise InputError(_KEY, "callbacks that do something", found, "name a subclass of it")
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
            _check_not_ours(callback)


def check_device_stats(callbacks: Iterable[Callback], device: str) -> None:
    """Raise :class:`InputError` where a DeviceStatsMonitor lacks what it reads a CPU with."""
    for callback in callbacks:
        if not isinstance(callback, DeviceStatsMonitor) or module_available("psutil"):
            continue
        if callback._cpu_stats or (callback._cpu_stats is None and device == "cpu"):
            found, remedy = "no package psutil", "install it with `pip install psutil`"
            raise InputError(_KEY, "what DeviceStatsMonitor needs for a CPU", found, remedy)


def _check_monitor(callback: Callback, phase: str | None) -> None:
    """A name that one phase alone has would be missed in the next one, unless that is allowed."""
    if getattr(callback, "strict", True) is False:
        return
    monitor = getattr(callback, "monitor", None)
    match = _OF_A_PHASE.fullmatch(monitor) if isinstance(monitor, str) else None
    if match and match.group(1) != phase:
        found = f"{show(monitor)} in {type(callback).__name__}"
        common = match.group(2) if match.group(2) in MEASURED else "val/loss"
        remedy = f"write {common}, which is that of the phase at work"
        raise InputError(_KEY, "a monitor that each phase has", found, remedy)


def _check_monitors_exist(callbacks: Iterable[Callback], logged: Sequence[str]) -> None:
    """Say before the first epoch what Lightning says after it."""
    for callback in callbacks:
        if getattr(callback, "strict", True) is False:
            continue
        monitor = getattr(callback, "monitor", None)
        of_a_phase = isinstance(monitor, str) and _OF_A_PHASE.fullmatch(monitor)
        counted = isinstance(callback, ModelCheckpoint) and monitor in ("epoch", "step")
        known = monitor in (None, *logged) or counted or of_a_phase
        if not known:
            found = f"{show(monitor)} in {type(callback).__name__}"
            expected = f"a monitor that is logged ({', '.join(logged)})"
            raise InputError(_KEY, expected, found, "choose one of these")


def _check_file_name(callback: ModelCheckpoint) -> None:
    """A metric's name in a file's name makes folders where there is a slash in it."""
    names = re.findall(r"\{([^:}]*/[^:}]*)", callback.filename or "")
    if names and callback.auto_insert_metric_name:
        name = names[0].replace("/", "_")
        expected = "a ModelCheckpoint whose file names have no slash"
        remedy = f"write {name}={{{names[0]}}} there, and auto_insert_metric_name: false beside it"
        raise InputError(_KEY, expected, show(callback.filename), remedy)


def _check_not_ours(callback: ModelCheckpoint) -> None:
    """The run itself keeps ``best.ckpt`` and ``last.ckpt``, and goes on from them."""
    expected = "a ModelCheckpoint that leaves best.ckpt and last.ckpt to the run"
    if callback.save_last:
        remedy = "leave it out: the run keeps its last state while a phase is under way"
        raise InputError(_KEY, expected, f"save_last: {show(callback.save_last)}", remedy)
    if callback.filename in _OURS:
        found = f"filename: {callback.filename}"
        raise InputError(_KEY, expected, found, "choose another name, or a dirpath")
