"""Start the processes that are measured. Needs no torch: a child's peak memory begins with ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(__file__).parent / "contestants"


class FailedError(Exception):
    """A process has failed; its last words."""


def environment(threads: int) -> dict[str, str]:
    """That of a child: so many threads, and the sae of this clone."""
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    count = {"OMP_NUM_THREADS": str(threads)}
    return {**os.environ, **count, "PYTHONPATH": os.pathsep.join(paths), "MPLBACKEND": "Agg"}


def run(words: Sequence[str], threads: int, cwd: Path | None = None, code: int = 0) -> str:
    """What ``python WORDS`` prints; it is to end with this exit code. Progress bars go nowhere."""
    command = [sys.executable, *words]
    env = environment(threads)
    done = subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, encoding="utf-8", errors="replace"
    )
    if done.returncode != code:
        last = "\n".join(done.stderr.replace("\r", "\n").splitlines()[-12:])
        raise FailedError(f"{' '.join(map(str, words[:1]))} ended with {done.returncode}:\n{last}")
    return done.stdout


def figures(script: str, words: Sequence[str], threads: int, cwd: Path | None = None) -> Any:
    """The JSON in the last line of a script of contestants/."""
    out = run([str(SCRIPTS / script), *words], threads, cwd)
    return json.loads(out.splitlines()[-1])


def wall_seconds(words: Sequence[str], threads: int, code: int = 0) -> float:
    """How long ``python WORDS`` takes, from its start to its end with this exit code."""
    start = time.perf_counter()
    run(words, threads, code=code)
    return time.perf_counter() - start


def measure_aside(
    measure: Callable[[Path], Any], json_file: Path | None, place: Path | None = None
) -> None:
    """Measure in a folder that is deleted after, and write the raw figures; 1 where it fails.

    Args:
        measure: Is given the folder; measures, prints and gives the raw figures.
        json_file: Where these are written; None for nowhere.
        place: Where to make the folder; the system's place if left out.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="sae-bench-", dir=place) as folder:
            raw = measure(Path(folder))
    except FailedError as error:
        sys.exit(str(error))
    if json_file is not None:
        json_file.write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")


def machine(threads: int) -> str:
    """The machine and the versions, in a line."""
    cpu = "unknown CPU"
    info = Path("/proc/cpuinfo")
    for line in info.read_text(encoding="utf-8").splitlines() if info.exists() else []:
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "lightning"))
    cores = f"{len(os.sched_getaffinity(0))} cores, {threads} threads"
    return f"{cpu}, {cores}; {versions}, Python {sys.version.split()[0]}"
