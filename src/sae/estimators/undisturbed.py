"""Train inside another program without changing its global state."""

from __future__ import annotations

import logging
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# Environment variables that Lightning sets for its worker processes.
_NOTES = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")
# Libraries whose warnings are about the use of the Trainer, which the user does not see.
_TALKERS = ("lightning", "lightning_fabric", "torch", "torchmetrics")


@contextmanager
def undisturbed() -> Iterator[None]:
    """Silence Lightning, and restore the global random states and the environment afterwards.

    A Trainer seeds Python, numpy and torch, writes the seed into the environment, and prints
    messages. On Ctrl-C it ends the process; here ``KeyboardInterrupt`` is raised again instead, so
    that a notebook can catch it.
    """
    notes = {name: os.environ.get(name) for name in _NOTES}
    states = random.getstate(), np.random.get_state()
    # Only if CUDA is in use: reading the random state of a GPU would allocate memory on it.
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(gpus), _silent():
            yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for name, value in notes.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _silent() -> Iterator[None]:
    """Silence messages and warnings of Lightning and torch, but not our own."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            for name in _TALKERS:
                warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
