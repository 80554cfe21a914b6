"""What other processes cost a training, with threads that wait as sae has them, and as torch does.

    python benchmarks/busy.py [--runs 5] [--threads 2] [--json FILE]

A step of 784-256-784 at batch 256 (contestants/steps.py), alone, and beside one and two processes
that compute all the time. Ratios are to torch's own waiting, alone, in the same round; alone, both
ways are also compared in turns within one process. Nothing else may run: it would be one more busy
process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from processes import figures, machine, measure_aside

BUSY = (0, 1, 2)
WAYS = {"torch": ["--as_torch_waits"], "sae": []}


@contextmanager
def beside(processes: int) -> Iterator[None]:
    """So many processes that compute all the time, outside."""
    command = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(command) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def one_round(options: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of a step, by who waits how beside how many."""
    found = {}
    for processes in options.beside:
        for way, words in WAYS.items():
            with beside(processes):
                told = figures(
                    "steps.py", [*words, "--seconds", str(options.seconds)], options.threads
                )
            found[f"{way} {processes}"] = told["ms"]
    words = ["--turns", "--seconds", str(options.seconds)]
    found["turns"] = figures("steps.py", words, options.threads)["ratio"]
    return found


def table(runs: list[dict[str, float]]) -> str:
    """Median milliseconds, and the ratio to torch alone: median (least–most)."""
    lines = [f"{'waits as':<9} {'beside':>6}  {'ms a step':>9}  ratio to torch alone"]
    for name in (name for name in runs[0] if name != "turns"):
        way, processes = name.split()
        ratios = [run[name] / run["torch 0"] for run in runs]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        ms = statistics.median(run[name] for run in runs)
        lines.append(f"{way:<9} {processes:>6}  {ms:9.2f}  {ratio}")
    turns = [run["turns"] for run in runs]
    between = f"{statistics.median(turns):.2f} ({min(turns):.2f}–{max(turns):.2f})"
    lines.append(f"alone, in turns within one process, sae to torch: {between}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--smoke", action="store_true", help="does it work? The figures say little")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.beside = BUSY
    if options.smoke:
        options.runs, options.seconds, options.beside = 1, 0.1, (0, 1)

    def measure(_: Path) -> dict[str, Any]:
        print(machine(options.threads), flush=True)
        runs = [one_round(options) for _ in range(options.runs)]
        print(table(runs))
        return {"runs": runs}

    measure_aside(measure, options.json)


if __name__ == "__main__":
    main()
