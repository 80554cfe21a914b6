"""Processes that do their work in turns, so that what else the machine does meets them all alike.

Seconds on a shared machine drift by a third within seconds: two runs one after the other say little
of each other. Here each contestant runs for a fifth of a second, then stands still (SIGSTOP) while
the next one runs, round and round. What is clocked is the time it was let run. Linux alone.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from processes import SCRIPTS, FailedError, environment

TURN = 0.2  # seconds: long beside the millisecond in which a cache is filled again
# Where a contestant finds the pipe on which it says that it is ready, and that it is done.
PIPE = "SAE_BENCH_TURNS"


class Contestant:
    """A process that stands still before its work, until it is let run.

    Args:
        script: Of contestants/; its ``job.Clock`` says when the work begins and ends.
        words: What it is told.
        threads: Of its arithmetic.
        log: Beginning of the files of what it prints.
    """

    def __init__(self, script: str, words: Sequence[str], threads: int, log: Path) -> None:
        self.seconds, self.script = 0.0, script
        self._out, self._errors = log.with_suffix(".out"), log.with_suffix(".err")
        self._pipe, theirs = os.pipe()
        command = [sys.executable, str(SCRIPTS / script), *words]
        with (
            self._out.open("w", encoding="utf-8") as out,
            self._errors.open("w", encoding="utf-8") as errors,
        ):
            self._process = subprocess.Popen(
                command,
                env={**environment(threads), PIPE: str(theirs)},
                stdout=out,
                stderr=errors,
                pass_fds=[theirs],
                start_new_session=True,  # its workers stand still with it
            )
        os.close(theirs)
        self.at_work = self._says_something(None)

    def run(self, seconds: float) -> None:
        """Let it run for so long, or to the end of its work."""
        os.killpg(self._process.pid, signal.SIGCONT)
        start = time.perf_counter()
        if self._says_something(seconds):
            self.at_work = False
        else:
            os.killpg(self._process.pid, signal.SIGSTOP)
        self._stands()
        self.seconds += time.perf_counter() - start

    def figures(self) -> dict[str, Any]:
        """Let it run to its end; the JSON in its last line, and ``seconds``, those of its turns.

        Raises:
            FailedError: It failed; its last words.
        """
        os.killpg(self._process.pid, signal.SIGCONT)
        if self._process.wait() != 0:
            said = self._errors.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
            last = "\n".join(said.splitlines()[-12:])
            raise FailedError(f"{self.script} ended with {self._process.returncode}:\n{last}")
        told: dict[str, Any] = json.loads(self._out.read_text(encoding="utf-8").splitlines()[-1])
        return told if "skipped" in told else {**told, "seconds": self.seconds}

    def end(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._pipe)

    def _says_something(self, seconds: float | None) -> bool:
        """Whether it says within so many seconds that it is ready, or done; not if it has ended."""
        until = time.perf_counter() + (seconds or float("inf"))
        while (left := until - time.perf_counter()) > 0:
            if select.select([self._pipe], [], [], min(left, TURN))[0]:
                said = os.read(self._pipe, 1) != b""
                self._stands()
                return said or seconds is not None
            if self._process.poll() is not None:
                return seconds is not None
        return False

    def _stands(self) -> None:
        """Wait until it stands still, or has ended."""
        stat = Path(f"/proc/{self._process.pid}/stat")
        while stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "TZ":
            time.sleep(0.0005)


def in_turns(
    jobs: Mapping[str, tuple[str, Sequence[str]]], threads: int
) -> dict[str, dict[str, Any]]:
    """Figures of several contestants that have worked in turns.

    Args:
        jobs: Name of each -> its script, and what it is told.
        threads: Of the arithmetic of each.

    Raises:
        FailedError: One of them failed.
    """
    started: dict[str, Contestant] = {}
    with tempfile.TemporaryDirectory(prefix="sae-bench-") as logs:
        try:
            for name, (script, words) in jobs.items():
                started[name] = Contestant(script, words, threads, Path(logs) / name)
            while busy := [each for each in started.values() if each.at_work]:
                for each in busy:
                    each.run(TURN)
            return {name: each.figures() for name, each in started.items()}
        finally:
            for each in started.values():
                each.end()
