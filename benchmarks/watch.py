"""Run a process and look at it from outside: its memory, what it reads from disk, files it keeps.

Anonymous memory is what a process has made itself. Of files that are mapped into memory the system
can drop any part at any time: they count apart.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

KINDS = ("RssAnon", "RssFile", "VmSwap")


@dataclass
class Watched:
    """What was seen of a process and its children.

    Attributes:
        seconds: From its start to its end.
        code: Its exit status.
        lines: What it printed, each line with the seconds since the start.
        errors: What it printed to stderr.
        memory: Seconds since the start, and kB of each of :data:`KINDS`.
        read_bytes: Read from disk, by the process itself.
        kept_bytes: Most that the files looked at took on disk.
    """

    seconds: float = 0.0
    code: int = 0
    lines: list[tuple[float, str]] = field(default_factory=list)
    errors: str = ""
    memory: list[tuple[float, int, int, int]] = field(default_factory=list)
    read_bytes: int = 0
    kept_bytes: int = 0

    def text(self) -> str:
        """All that it printed."""
        return "\n".join(line for _, line in self.lines)

    def peak_mb(self, kind: str = "RssAnon", start: float = 0.0, stop: float = 1e9) -> float:
        """The most of a kind of memory between two times; 0 where nobody looked."""
        column = 1 + KINDS.index(kind)
        return max((m[column] for m in self.memory if start <= m[0] <= stop), default=0) / 1024


def watched(
    command: Sequence[str], env: dict[str, str], cwd: Path, kept: str = "", every: float = 0.1
) -> Watched:
    """Run a command to its end.

    Args:
        command: Its words.
        env: Its environment.
        cwd: Where it works.
        kept: Pattern of files in ``cwd`` whose size on disk is looked at.
        every: Seconds between two looks.
    """
    found, start = Watched(), time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            command, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=errors, text=True
        )

        def look() -> None:
            while process.returncode is None:
                _look(process.pid, found, time.perf_counter() - start)
                if kept:
                    found.kept_bytes = max(found.kept_bytes, on_disk(cwd, kept))
                time.sleep(every)

        looking = threading.Thread(target=look)
        looking.start()
        assert process.stdout is not None
        for line in process.stdout:
            found.lines.append((time.perf_counter() - start, line.rstrip("\n")))
        found.code = process.wait()
        found.seconds = time.perf_counter() - start
        looking.join()
        errors.seek(0)
        found.errors = errors.read()
    return found


def _look(pid: int, found: Watched, now: float) -> None:
    """Add one look at a process and its children, unless it has just ended."""
    with suppress(OSError, KeyError):  # it ends while it is looked at
        sizes = [memory(each) for each in (pid, *children(pid))]
        found.memory.append((now, *(sum(column) for column in zip(*sizes, strict=True))))
        for line in Path(f"/proc/{pid}/io").read_text(encoding="utf-8").splitlines():
            if line.startswith("read_bytes:"):
                found.read_bytes = max(found.read_bytes, int(line.split()[1]))


def memory(pid: int) -> tuple[int, ...]:
    """What a process holds of each of :data:`KINDS`, in kB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    sizes = dict(line.split(":", 1) for line in lines)
    return tuple(int(sizes[kind].split()[0]) for kind in KINDS)


def children(pid: int) -> Iterator[int]:
    """All processes that a process has started, and theirs."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text(encoding="utf-8").split()):
            yield child
            yield from children(child)


def on_disk(folder: Path, pattern: str) -> int:
    """Bytes that files take on disk."""
    total = 0
    for path in folder.glob(pattern):
        with suppress(FileNotFoundError):  # deleted meanwhile
            total += 512 * path.stat().st_blocks
    return total
