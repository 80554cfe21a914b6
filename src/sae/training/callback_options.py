"""Checks of Lightning's callbacks: some of them cannot work in a run of several trainings."""

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

# Callbacks that are refused, with their subclasses: the reason, and what to do instead.
REFUSED: dict[type[Callback], tuple[str, str]] = {
    StochasticWeightAveraging: (
        "which averages weights that are not validated, so that the best weights of a phase would "
        "replace them",
        "use WeightAveraging or EMAWeightAveraging, whose average is validated and kept",
    ),
    Timer: (
        "which counts the time of each training, not of the run",
        "set fewer epochs, or stop the run with Ctrl-C and continue it later with --resume",
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
        "which replaces the weights that a stage passes on by masked ones",
        "leave it out, or set pretrain.sparsity for codes with few active units",
    ),
    OnExceptionCheckpoint: (
        "which makes a training begin with the state of an earlier training",
        "leave it out: the run saves its last state, and --resume continues from it",
    ),
    SpikeDetection: (
        "whose state Lightning cannot load, so that the run could not be resumed",
        "leave it out: a loss that is not finite always ends a run",
    ),
}
# Base classes that do nothing themselves.
BASES: tuple[type[Callback], ...] = (BaseFinetuning, BasePredictionWriter, ProgressBar)
# Names that each phase of a reconstructing run logs; see :func:`sae.training.module.logged`.
MEASURED = ("train/loss", "val/loss", "val/sse", "val/image_sse")
_KEY = "trainer.callbacks"
_OF_A_PHASE = re.compile(r"(stage[0-9]+|head|finetune)/(.+)")
_OURS = ("best", "last")


def check_callbacks(callbacks: Iterable[Callback], phase: str | None = None) -> None:
    """Raise :class:`InputError` for a callback that would break a run, or do nothing in it.

    Args:
        callbacks: Callbacks of the user.
        phase: Name of the phase that they are for; None for all phases.
    """
    for callback in callbacks:
        _check_monitor(callback, phase)
        if isinstance(callback, ModelCheckpoint):
            _check_file_name(callback)


def check_kinds(callbacks: Sequence[Callback], logged: Sequence[str] = MEASURED) -> None:
    """Raise :class:`InputError` for a callback that the command line does not take.

    Args:
        callbacks: Callbacks of the user.
        logged: Names that all phases log.
    """
    if all(type(callback).__module__.startswith("lightning.") for callback in callbacks):
        _check_monitors_exist(callbacks, logged)  # a user's callback may log more
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
    """Raise :class:`InputError` if a DeviceStatsMonitor needs psutil and it is not installed."""
    for callback in callbacks:
        if not isinstance(callback, DeviceStatsMonitor) or module_available("psutil"):
            continue
        if callback._cpu_stats or (callback._cpu_stats is None and device == "cpu"):
            found, remedy = "no package psutil", "install it with `pip install psutil`"
            raise InputError(_KEY, "what DeviceStatsMonitor needs for a CPU", found, remedy)


def _check_monitor(callback: Callback, phase: str | None) -> None:
    """Refuse a monitor that only one phase logs, unless the callback allows it to be missing."""
    if getattr(callback, "strict", True) is False:
        return
    monitor = getattr(callback, "monitor", None)
    match = _OF_A_PHASE.fullmatch(monitor) if isinstance(monitor, str) else None
    if match and match.group(1) != phase:
        found = f"{show(monitor)} in {type(callback).__name__}"
        common = match.group(2) if match.group(2) in MEASURED else "val/loss"
        remedy = f"write {common}, which every phase logs"
        raise InputError(_KEY, "a monitor that each phase has", found, remedy)


def _check_monitors_exist(callbacks: Iterable[Callback], logged: Sequence[str]) -> None:
    """Refuse unknown monitors before the first epoch; Lightning only does so after it."""
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
    """Refuse a metric's name with a slash in a file name: it would create folders."""
    names = re.findall(r"\{([^:}]*/[^:}]*)", callback.filename or "")
    if names and callback.auto_insert_metric_name:
        name = names[0].replace("/", "_")
        expected = "a ModelCheckpoint whose file names have no slash"
        remedy = f"write {name}={{{names[0]}}} there, with auto_insert_metric_name: false"
        raise InputError(_KEY, expected, show(callback.filename), remedy)


def _check_not_ours(callback: ModelCheckpoint) -> None:
    """Refuse the file names ``best.ckpt`` and ``last.ckpt``, which the run itself uses."""
    expected = "a ModelCheckpoint that leaves best.ckpt and last.ckpt to the run"
    if callback.save_last:
        remedy = "leave it out: the run saves its last state during each phase"
        raise InputError(_KEY, expected, f"save_last: {show(callback.save_last)}", remedy)
    if callback.filename in _OURS:
        found = f"filename: {callback.filename}"
        raise InputError(_KEY, expected, found, "choose another name, or a dirpath")
