"""Train inside somebody else's program, and leave that as it was."""

from __future__ import annotations

import logging
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# What Lightning notes for the processes that it might start.
_NOTES = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")
# Libraries whose remarks are about how a Trainer is used, which is our own choice here.
_TALKERS = ("lightning", "lightning_fabric", "torch", "torchmetrics")


@contextmanager
def undisturbed() -> Iterator[None]:
    """Say nothing, and give all that is global back: random states and the environment.

    A Trainer seeds Python, numpy and torch, notes the seed in the environment, and prints what it
    has found. On Ctrl-C it ends the process: here that comes out as the ``KeyboardInterrupt`` that
    it was, for a notebook to catch.
    """
    notes = {name: os.environ.get(name) for name in _NOTES}
    states = random.getstate(), np.random.get_state()
    # A GPU that nobody has used yet is left alone: to ask for its state would take memory there.
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
    """Without what Lightning tells and warns of; our own warnings pass."""
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
