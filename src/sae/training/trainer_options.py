"""Checks of the Trainer's options: some of them cannot work in a run of several trainings."""

from __future__ import annotations

from typing import Any

from lightning import Trainer
from lightning.pytorch.plugins.io import AsyncCheckpointIO

from sae.errors import InputError, check_integer, check_number, show

PRECISIONS = (None, 32, "32", "32-true", 16, "16", "16-mixed", "bf16", "bf16-mixed")
_EPOCHS = "use --pretrain.epochs and --finetune.epochs instead"
# Option -> the values that change nothing, and what to do instead of setting it.
_LEFT_ALONE: dict[str, tuple[tuple[Any, ...], str]] = {
    "max_epochs": ((None,), _EPOCHS),
    "min_epochs": ((None,), _EPOCHS),
    "max_steps": ((-1,), _EPOCHS),
    "min_steps": ((None,), _EPOCHS),
    "val_check_interval": ((None, 1.0), "leave it out: a run validates after each epoch"),
    "overfit_batches": ((0.0,), "leave it out, and limit the data with limit_train_batches"),
    "barebones": ((False,), "leave it out"),
    # It would count each training separately.
    "max_time": ((None,), "set fewer epochs, or stop with Ctrl-C and continue with --resume"),
    "model_registry": ((None,), "leave it out: the checkpoints are in the run's folder"),
    "use_distributed_sampler": ((True,), "leave it out: the loader gives each process its share"),
}
# Option -> its smallest value.
_AT_LEAST = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "num_sanity_val_steps": -1,
    "reload_dataloaders_every_n_epochs": 0,
    "num_nodes": 1,
}
_MOST_DEVICES = 4096
_REMEDY = "give such a number, or leave it out"


def check_trainer_options(options: Any) -> None:
    """Raise :class:`InputError` for an option that would break a run, before it starts.

    Args:
        options: The Trainer's options, as attributes; numbers of batches become integers.
    """
    for key, (allowed, remedy) in _LEFT_ALONE.items():
        value = options.get(key)
        if value not in allowed:
            raise InputError(f"trainer.{key}", "nothing here", show(value), remedy)
    for key, low in _AT_LEAST.items():
        high = _MOST_DEVICES if key == "num_nodes" else 2**63 - 1
        check_integer(f"trainer.{key}", options.get(key), low, _REMEDY, high)
    devices = str(options.get("devices"))
    if devices.isdecimal():  # otherwise a list, or auto
        check_integer("trainer.devices", int(devices), 1, _REMEDY, _MOST_DEVICES)
    for part in ("train", "val", "test", "predict"):
        key = f"limit_{part}_batches"
        limit = options.get(key)
        if isinstance(limit, float) and limit > 1 and limit.is_integer():
            options[key] = int(limit)  # the parser turns 2 into 2.0, which the Trainer refuses
        if limit is not None:  # the Trainer itself refuses 1.5
            check_number(f"trainer.{key}", limit, 0.0, float("inf"), _REMEDY, low_open=True)
    _check_effects(options)
    check_precision(options.get("precision"))
    root = options.get("default_root_dir")
    if root is not None and ("://" in str(root) or "\0" in str(root)):
        remedy = "name one on this machine"
        raise InputError("trainer.default_root_dir", "a local folder", show(str(root)), remedy)


def check_precision(precision: Any) -> None:
    """Raise :class:`InputError` for a precision whose weights are not in 32 bits."""
    if precision not in PRECISIONS:
        expected = "32-true, 16-mixed or bf16-mixed"
        remedy = "choose one of these: the weights themselves stay in 32 bits"
        raise InputError("trainer.precision", expected, show(precision), remedy)


def check_trainer(trainer: Trainer) -> None:
    """Raise :class:`InputError` for plugins that would break a run.

    A plugin can set the precision, and can write checkpoints too late for reading the best weights.
    """
    check_precision(trainer.precision)
    if isinstance(trainer.strategy.checkpoint_io, AsyncCheckpointIO):
        expected = "checkpoints that are written before the Trainer continues"
        raise InputError("trainer.plugins", expected, "AsyncCheckpointIO", "leave it out")


def _check_effects(options: Any) -> None:
    """Refuse values that Lightning does not check, and options that would do nothing."""
    clip, log = options.get("gradient_clip_val"), options.get("log_every_n_steps")
    if clip is not None:
        check_number("trainer.gradient_clip_val", clip, 0.0, float("inf"), _REMEDY)
    elif options.get("gradient_clip_algorithm") is not None:
        expected, found = "gradient_clip_val to be set, too", "none, so nothing is clipped"
        remedy = "set it, for example to 1.0"
        raise InputError("trainer.gradient_clip_algorithm", expected, found, remedy)
    if log is not None:
        check_integer("trainer.log_every_n_steps", log, 0, _REMEDY)
        if log and options.get("logger") is False:
            found = f"{log} with --trainer.logger false"
            raise InputError("trainer.log_every_n_steps", "a logger", found, "leave out one")
