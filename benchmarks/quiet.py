"""How much of the processors others take while something is measured."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# Share of all cores that others may have: so much of a run's own time is the system's.
LIMIT = 0.05


class Others:
    """A ``with`` block around a child process: the share of all cores that went to others.

    Two threads that wait for each other take many times as long when one of them has to wait for
    its core: a measurement is worth something only where ``share`` is small.
    """

    share = 0.0

    def __enter__(self) -> Others:
        self._start = time.perf_counter(), _busy_seconds(), _own_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        wall, busy, own = self._start
        wall, busy = time.perf_counter() - wall, _busy_seconds() - busy
        others = busy - (_own_seconds() - own)
        self.share = max(0.0, others / (wall * (os.cpu_count() or 1)))


def _busy_seconds() -> float:
    """Processor time that all processes have had, and what was stolen from this machine."""
    ticks = [
        int(word)
        for word in Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]
    ]
    user, nice, system, _idle, _waiting, irq, softirq, steal = ticks
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Of it that of this process and of its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def warning(told: Iterable[Mapping[str, Any]]) -> str:
    """What to say of runs, each with its share ``others``; nothing where all were quiet."""
    most = max(each["others"] for each in told)
    return f"warning: others took up to {most:.0%} of the cores" if most > LIMIT else ""
