"""How the threads of one product of matrices wait for one another: spinning, or asleep.

Torch shares each product out to the threads of OpenMP, a dozen times in a step of a small network;
each time those that are done first wait for the last. GNU's OpenMP has them spin for milliseconds.
On an idle machine that is fastest: nobody has to be woken. On a busy one the spinning takes the
core away from the very thread that is waited for, and a step of two threads takes thirty times as
long. So they spin while the machine is idle, and sleep while others need its cores: it is looked at
four times a second. Only the waiting changes: the results are the same, bit for bit.

How: OpenMP reads the environment when torch is imported, so the lengths of both ways of waiting are
set before. It takes the short way while there are more OpenMP threads than processors ("Fewer spins
are used if there are more OpenMP threads than available CPUs", libgomp's manual on
GOMP_SPINCOUNT). A team of sleeping threads makes it so.
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

# Spin as long as OpenMP does by default where there are processors enough, else not at all.
_SETTINGS = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "300000"}
_INTERVAL = 0.25  # seconds between looks
_CALM_LOOKS = 4  # so many in a row before the threads spin again
_SPARE = 0.2  # processors that others may have of those that our threads need
_STAT = Path("/proc/stat")

_prepared = False


def prepare() -> None:
    """Set how long OpenMP's threads spin; without effect once torch is imported.

    A user's own settings win: then nothing is set, and :func:`adapted` does nothing. Likewise
    elsewhere than on Linux, where torch comes with GNU's OpenMP.
    """
    global _prepared
    found = [os.environ.get(name) for name in _SETTINGS]
    # Processes that this one launches find our settings, both of them.
    ours = found in ([None] * len(found), [*_SETTINGS.values()])
    if sys.platform == "linux" and "torch" not in sys.modules and ours:
        os.environ.update(_SETTINGS)
        _prepared = True


@contextmanager
def adapted() -> Iterator[None]:
    """Have threads sleep while they wait, whenever others need the processors.

    Does nothing where that cannot be: no Linux, another OpenMP than GNU's, one thread, a user's own
    settings, or no room for more threads.
    """
    import torch

    gomp = _gomp() if _prepared and torch.get_num_threads() > 1 and _STAT.exists() else None
    if gomp is None:
        yield
        return
    watch = _Watch(gomp, torch.get_num_threads())
    try:
        watch.start()
    except RuntimeError:  # no more threads: the training goes on as it would without
        yield
        return
    try:
        yield
    finally:
        watch.end()


class Load:
    """How much of the processors of this process others take.

    Steal, the time that a virtual machine did not get, is others' as well.
    """

    def __init__(self) -> None:
        self.processors = sorted(os.sched_getaffinity(0))
        self._last = self._now()

    def others(self) -> float:
        """Processors that others have had on average since the last call."""
        now = self._now()
        wall, busy, own = (b - a for a, b in zip(self._last, now, strict=True))
        self._last = now
        return max(0.0, (busy - own) / wall) if wall > 0 else 0.0

    def _now(self) -> tuple[float, float, float]:
        """Seconds: of the clock, of work on our processors, and of our own work."""
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
    """Look at the machine, and have threads sleep or spin while they wait.

    Args:
        gomp: GNU's OpenMP, as torch uses it.
        threads: That a product is shared out to.
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
            pass  # nothing to read, or no more threads: they spin, as they would without us
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
        """Look no more; threads spin again."""
        self._ended.set()
        self.join()


class _Crowd:
    """So many sleeping OpenMP threads that, with those at work, there are more than processors.

    Args:
        gomp: GNU's OpenMP.
        threads: Those at work.
    """

    def __init__(self, gomp: ctypes.CDLL, threads: int) -> None:
        self._gomp = gomp
        # The thread that gathers them is one of a team, and OpenMP counts the others.
        self._size = max(2, len(os.sched_getaffinity(0)) - threads + 2)
        self._thread: threading.Thread | None = None
        self._leave = threading.Event()

    def gather(self) -> None:
        """Be there.

        Raises:
            RuntimeError: So many threads cannot be started. OpenMP would end the process.
        """
        if self._thread is None:
            _try_to_start(self._size)
            self._leave.clear()
            self._thread = threading.Thread(target=self._be_there, name="sae-crowd", daemon=True)
            self._thread.start()

    def leave(self) -> None:
        """Be gone: the team of a thread ends with it."""
        if self._thread is not None:
            self._leave.set()
            self._thread.join()
            self._thread = None

    def _be_there(self) -> None:
        self._gomp.GOMP_parallel(_NOTHING, None, self._size, 0)
        self._leave.wait()


def _try_to_start(threads: int) -> None:
    """Start so many threads and end them; raise RuntimeError where that cannot be."""
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
    """GNU's OpenMP that torch has loaded; None where it has another one."""
    import torch
    from threadpoolctl import threadpool_info

    package = Path(torch.__file__).parent
    folders = {package / "lib", package.with_name("torch.libs")}
    for pool in threadpool_info():
        if pool["prefix"] == "libgomp" and Path(pool["filepath"]).parent in folders:
            return ctypes.CDLL(pool["filepath"])
    return None
