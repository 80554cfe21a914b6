"""How the threads of a matrix product wait for each other: by spinning, or by sleeping.

Torch divides each matrix product among the threads of OpenMP, a dozen times in a step of a small
network; each time the threads that finish first wait for the last. With GNU's OpenMP they spin for
milliseconds: they use their core while they wait. On an idle machine that is fastest, because no
thread has to be woken. On a busy machine the spinning takes the core from the thread that everyone
waits for, and a step of two threads takes thirty times as long. So the threads spin while the
machine is idle, and sleep while other processes need the cores; this is checked four times a
second. The results are the same, bit for bit.

How it works: OpenMP reads the environment when torch is imported, so the two waiting times are set
before that. OpenMP uses the short one while there are more OpenMP threads than processors ("Fewer
spins are used if there are more OpenMP threads than available CPUs", libgomp's manual on
GOMP_SPINCOUNT). To reach that state, this module starts a team of sleeping threads.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Spin as long as OpenMP does by default if there are enough processors, otherwise not at all.
_SETTINGS = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "300000"}
_INTERVAL = 0.25  # seconds between checks
_CALM_LOOKS = 4  # checks in a row with free processors, before the threads spin again
_SPARE = 0.2  # processors that others may use of those that our threads need
_STAT = Path("/proc/stat")

_prepared = False


def prepare() -> None:
    """Set how long OpenMP's threads spin; has no effect once torch is imported.

    If the user has set these variables, nothing is changed, and :func:`adapted` does nothing. The
    same on systems other than Linux, where torch does not use GNU's OpenMP.
    """
    global _prepared
    found = [os.environ.get(name) for name in _SETTINGS]
    # A child process finds both variables with our values.
    ours = found in ([None] * len(found), [*_SETTINGS.values()])
    if sys.platform == "linux" and "torch" not in sys.modules and ours:
        os.environ.update(_SETTINGS)
        _prepared = True


@contextmanager
def adapted() -> Iterator[None]:
    """Make threads sleep while they wait, whenever other processes need the processors.

    Does nothing if that is impossible: not on Linux, another OpenMP than GNU's, a single thread,
    the user's own settings, or too many threads already.
    """
    import torch

    gomp = _gomp() if _prepared and torch.get_num_threads() > 1 and _STAT.exists() else None
    if gomp is None:
        yield
        return
    watch = _Watch(gomp, torch.get_num_threads())
    try:
        watch.start()
    except RuntimeError:  # no more threads can be started: train without
        yield
        return
    try:
        yield
    finally:
        watch.end()


class Load:
    """How much of this process's processors other processes use.

    Steal, the time that a virtual machine did not get, counts as used by others.
    """

    def __init__(self) -> None:
        self.processors = sorted(os.sched_getaffinity(0))
        self._last = self._now()

    def others(self) -> float:
        """Return how many processors others used on average since the last call."""
        now = self._now()
        wall, busy, own = (b - a for a, b in zip(self._last, now, strict=True))
        self._last = now
        return max(0.0, (busy - own) / wall) if wall > 0 else 0.0

    def _now(self) -> tuple[float, float, float]:
        """Return seconds of wall time, of work on our processors, and of our own work."""
        names = {f"cpu{number}" for number in self.processors}
        ticks = 0
        for line in _STAT.read_text(encoding="ascii").splitlines():
            name, *fields = line.split()
            if name in names:
                user, nice, system, _idle, _waits, irq, softirq, steal, *_ = map(int, fields)
                ticks += user + nice + system + irq + softirq + steal
        own = os.times()
        return time.perf_counter(), ticks / os.sysconf("SC_CLK_TCK"), own.user + own.system


class _Watch(threading.Thread):
    """A thread that checks the load of the machine, and makes waiting threads sleep or spin.

    Args:
        gomp: GNU's OpenMP, as loaded by torch.
        threads: Number of threads of a matrix product.
    """

    def __init__(self, gomp: ctypes.CDLL, threads: int) -> None:
        super().__init__(name="sae-waiting", daemon=True)
        self._crowd = _Crowd(gomp, threads)
        self._threads = threads
        self._ended = threading.Event()

    def run(self) -> None:
        try:
            self._look()
        except (OSError, ValueError, RuntimeError):
            pass  # cannot read the load or start threads: keep spinning
        finally:
            self._crowd.leave()

    def _look(self) -> None:
        load, calm = Load(), 0
        while not self._ended.wait(_INTERVAL):
            left = len(load.processors) - load.others()
            calm = calm + 1 if left >= self._threads - _SPARE else 0
            if calm == 0:
                self._crowd.gather()
            elif calm >= _CALM_LOOKS:
                self._crowd.leave()

    def end(self) -> None:
        """Stop checking; threads spin again."""
        self._ended.set()
        self.join()


class _Crowd:
    """Sleeping OpenMP threads: together with the working ones, more than there are processors.

    Args:
        gomp: GNU's OpenMP.
        threads: Number of working threads.
    """

    def __init__(self, gomp: ctypes.CDLL, threads: int) -> None:
        self._gomp = gomp
        # The thread that starts the team belongs to it, and OpenMP counts only the others.
        self._size = max(2, len(os.sched_getaffinity(0)) - threads + 2)
        self._thread: threading.Thread | None = None
        self._leave = threading.Event()

    def gather(self) -> None:
        """Start the sleeping threads, unless they are there.

        Raises:
            RuntimeError: So many threads cannot be started. (OpenMP itself would end the process.)
        """
        if self._thread is None:
            _try_to_start(self._size)
            self._leave.clear()
            self._thread = threading.Thread(target=self._be_there, name="sae-crowd", daemon=True)
            self._thread.start()

    def leave(self) -> None:
        """End the sleeping threads: a team ends with the thread that started it."""
        if self._thread is not None:
            self._leave.set()
            self._thread.join()
            self._thread = None

    def _be_there(self) -> None:
        self._gomp.GOMP_parallel(_NOTHING, None, self._size, 0)
        self._leave.wait()


def _try_to_start(threads: int) -> None:
    """Start ``threads`` threads and end them; raise RuntimeError if that is impossible."""
    end, started = threading.Event(), []
    try:
        for _ in range(threads):
            thread = threading.Thread(target=end.wait, daemon=True)
            thread.start()
            started.append(thread)
    finally:
        end.set()
        for thread in started:
            thread.join()


_NOTHING = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)


def _gomp() -> ctypes.CDLL | None:
    """Return the GNU OpenMP that torch has loaded; None if torch uses another one."""
    import torch
    from threadpoolctl import threadpool_info

    package = Path(torch.__file__).parent
    folders = {package / "lib", package.with_name("torch.libs")}
    for pool in threadpool_info():
        if pool["prefix"] == "libgomp" and Path(pool["filepath"]).parent in folders:
            return ctypes.CDLL(pool["filepath"])
    return None
