"""Faults during a run: a signal, a full disk, no memory."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from sae.errors import InputError

# SLURM sends SIGUSR1 ahead of its time limit. Without a handler of ours, Lightning would save a
# checkpoint that every later training in that folder would begin with.
_AHEAD = (signal.SIGUSR1,) if hasattr(signal, "SIGUSR1") else ()  # Windows has none
SIGNALS = (signal.SIGINT, signal.SIGTERM, *_AHEAD)


class Interrupted(BaseException):  # not an error
    """A signal told the process to stop. No Exception, so that no code catches it by accident.

    Args:
        signum: The signal.
    """

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(signal.Signals(signum).name)


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Make SIGINT, SIGTERM and SIGUSR1 raise :class:`Interrupted` anywhere in the program.

    Lightning keeps handlers that it finds and calls them. A second signal is ignored, so that it
    does not break off the writing down of what the first one broke off.
    """
    first: list[int] = []

    def interrupt(signum: int, frame: FrameType | None) -> None:
        first.append(signum)
        of_lightning = signal.getsignal(signal.SIGTERM)
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        # Lightning passes a SIGTERM on to the processes that it launched, but no other signal.
        if signum != signal.SIGTERM and callable(of_lightning) and of_lightning is not interrupt:
            of_lightning(signal.SIGTERM, frame)
        raise Interrupted(first[0])

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may have handlers
        return
    before = {signum: signal.signal(signum, interrupt) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


class Fault(InputError):  # noqa: N818  # the machine's, not the input's
    """An error that the input did not cause. The command line prints it and exits with 1."""

    exit_code = 1


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def as_fault(error: BaseException, folder: str) -> Fault | None:
    """Return what an error means for the user; None for a defect, which keeps its traceback.

    Args:
        error: The error that ended a run.
        folder: The folder of the run, for the command that resumes it.
    """
    again = f"and continue with --resume {folder}"
    if isinstance(error, OSError) and error.errno is not None:
        where = str(error.filename or folder)
        if error.errno in _FULL:
            return Fault(where, "room to write", f"none ({error.strerror})", f"make room {again}")
        remedy = f"make it readable and writable {again}"
        return Fault(where, "a file or folder to work with", f"an error ({error.strerror})", remedy)
    # On the CPU, torch raises a plain RuntimeError.
    no_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
    if no_memory:
        remedy = (
            f"free some memory {again}, or start a new run with smaller model.sizes or batch_size"
        )
        return Fault("memory", "enough for this network and batch", "too little", remedy)
    return None
