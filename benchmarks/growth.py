"""How seconds and memory of a training grow with its data, code, depth and batch.

    python benchmarks/growth.py [--smoke] [--json FILE] [--plot FILE.png]
    python benchmarks/growth.py --only epochs --json FILE --plot FILE.png

Each training is a process of its own (contestants/growing.py) and runs the command line on
generated images, one epoch a phase: 784-256-128 in batches of 256, and one of these at a time
otherwise. Over the samples a line is laid by least squares. With the epochs nothing must grow: the
memory held at the end of each is looked at, with TensorBoard and pictures and without.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from processes import FailedError, figures, machine
from quiet import LIMIT, Others

SIZES, BATCH, SAMPLES = [784, 256, 128], 256, 20_000
VALUES = {
    "samples": [6_000, 20_000, 60_000, 200_000, 600_000],
    "code size": [16, 64, 256, 1024],
    "depth": [1, 2, 3, 4, 5],
    "batch": [32, 128, 512, 2048, 8192],
}
PARTS = [*VALUES, "epochs"]
# Epochs after which a process holds what it needs: with pictures, which are drawn each tenth epoch,
# when they have been drawn twice.
SETTLED = {"quiet": 5, "all on": 20}
EPOCHS_WITH = {"quiet": [], "all on": ["--all_on"]}
# Of a line's intercept; of its slope: what it is multiplied by, and the unit it then has.
UNITS = {"seconds": ("s", 1e6, "µs"), "peak_mb": ("MB", 1024, "kB")}

Point = dict[str, Any]


class Job:
    """What all trainings have in common.

    Args:
        threads: Of each process.
        val_size: Images to validate on, and to test.
        tries: How often a training is done at most until the machine is quiet meanwhile.
    """

    def __init__(self, threads: int, val_size: int, tries: int) -> None:
        self.threads, self.val_size, self.tries = threads, val_size, tries

    def train(self, samples: int, sizes: Sequence[int], batch: int, *more: str, epochs: int = 1):
        """Figures of one training."""
        words = ["--samples", samples, "--batch_size", batch, "--val_size", self.val_size]
        words += ["--epochs", epochs, "--threads", self.threads, *more, "--sizes", *sizes]
        tries: list[Point] = []
        for _ in range(self.tries if epochs == 1 else 1):  # memory does not mind others
            with Others() as others:
                told = figures("growing.py", list(map(str, words)), self.threads)
            tries.append({**told, "others": others.share})
            if others.share <= LIMIT:
                break
        return min(tries, key=lambda told: told["others"])

    def series(self, name: str, values: Sequence[int], samples: int = SAMPLES) -> list[Point]:
        """A training for each value of what grows."""
        print(
            f"\n{name:>12} {'seconds':>9} {'µs a sample':>12} {'peak MB':>9} {'others':>7}",
            flush=True,
        )
        points = []
        for value in values:
            n, sizes, batch = samples, SIZES, BATCH
            if name == "samples":
                n = value
            elif name == "code size":
                sizes = [784, value]
            elif name == "depth":
                sizes = [784, *[256] * value]
            else:
                batch = value
            told = self.train(n, sizes, batch)
            points.append({"value": value, "samples": n, "sizes": sizes, "batch": batch, **told})
            each = 1e6 * told["seconds"] / n
            line = f"{value:12,} {told['seconds']:9.2f} {each:12.1f} {told['peak_mb']:9.0f}"
            print(f"{line} {told['others']:7.1%}", flush=True)
        return points


def line_through(x: Sequence[float], y: Sequence[float]) -> dict[str, float]:
    """The line y = intercept + slope * x of least squares, and how well it fits.

    R² = 1 - sum (y - line)² / sum (y - mean of y)².
    """
    slope, intercept = statistics.linear_regression(x, y)
    mean = statistics.fmean(y)
    left = sum((b - intercept - slope * a) ** 2 for a, b in zip(x, y, strict=True))
    return {
        "slope": slope,
        "intercept": intercept,
        "r2": 1 - left / sum((b - mean) ** 2 for b in y),
    }


def over_the_samples(points: list[Point]) -> dict[str, dict[str, float]]:
    """The lines of seconds and of memory, said in words."""
    x = [point["value"] for point in points]
    lines = {key: line_through(x, [point[key] for point in points]) for key in UNITS}
    for key, (unit, factor, of_slope) in UNITS.items():
        line = lines[key]
        print(
            f"{key} = {line['intercept']:.2f} {unit} + {factor * line['slope']:.2f} {of_slope} "
            f"· samples, R² = {line['r2']:.5f}",
            flush=True,
        )
    return lines


def over_the_epochs(job: Job, epochs: int, samples: int, names: Sequence[str]) -> dict[str, Any]:
    """Memory at the end of each epoch, and how it changes once the process has settled."""
    found: dict[str, Any] = {"samples": samples}
    print(f"\nmemory at the end of each of {epochs} epochs")
    for name in names:
        more = ["--stages_only", *EPOCHS_WITH[name]]
        told = job.train(samples, [784, 64], BATCH, *more, epochs=epochs)
        found[name] = steadiness(told["epochs_kb"], SETTLED[name])
        print(f"{name:>8}: {in_words(found[name])}", flush=True)
    return found


def steadiness(kb: Sequence[int], settled: int) -> dict[str, Any]:
    """What memory does after so many epochs; of a shorter training after half of it."""
    settled = min(settled, len(kb) // 2)
    rest = kb[settled:]
    slope = statistics.linear_regression(range(len(rest)), rest).slope
    spread = max(rest) - min(rest)
    return {"kb": kb, "settled": settled, "kb_an_epoch": slope, "max_minus_min_kb": spread}


def in_words(told: dict[str, Any]) -> str:
    first, settled, last = (told["kb"][k] / 1024 for k in (0, told["settled"], -1))
    return (
        f"{first:.0f} MB after the first, {settled:.0f} MB after epoch {told['settled'] + 1}, "
        f"{last:.0f} MB after the last; from epoch {told['settled'] + 1} on slope "
        f"{told['kb_an_epoch']:+.1f} kB an epoch, most - least {told['max_minus_min_kb']:,} kB"
    )


def measure(options: argparse.Namespace, raw: dict[str, Any]) -> None:
    """Do what was asked for, print it as it comes, add it to what there is."""
    job = Job(options.threads, options.val_size, options.tries)
    about, load = machine(job.threads), os.getloadavg()[0]
    print(f"{about}; load {load:.1f} at the start")
    print(
        f"others: share of the cores that went to other processes; above {LIMIT:.0%} a training is "
        f"done anew, {job.tries} times at most, and the quietest counts"
    )
    print(
        f"generated images of 28x28, seed 0, {job.val_size:,} more to validate; where nothing else "
        f"is said {options.samples:,} samples, {'-'.join(map(str, SIZES))}, batch {BATCH}, "
        "one epoch a phase, fine-tuning included"
    )
    raw |= {"machine": about, "threads": job.threads}
    for part in options.only:
        if part == "epochs":
            n, names = options.samples_of_epochs, options.epochs_with
            raw[part] = over_the_epochs(job, options.epochs, n, names)
        else:
            raw[part] = job.series(part, options.values[part], options.samples)
        if part == "samples":
            raw["lines"] = over_the_samples(raw[part])
        if options.json is not None:
            options.json.write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--threads", type=int, default=cores, help="all cores if left out")
    parser.add_argument("--tries", type=int, default=3, help="until the machine is quiet")
    parser.add_argument("--json", type=Path, help="write all raw figures there")
    parser.add_argument("--plot", type=Path, help="draw them there, as a PNG")
    parser.add_argument("--only", nargs="*", choices=PARTS, help="add these to what --json holds")
    parser.add_argument("--smoke", action="store_true", help="little; only to see it work")
    options = parser.parse_args()
    options.samples, options.val_size = SAMPLES, 5000
    options.epochs, options.samples_of_epochs = 50, 6000
    options.epochs_with, options.values = list(EPOCHS_WITH), VALUES
    options.old = options.json if options.only is not None else None
    options.only = PARTS if options.only is None else options.only
    if options.smoke:
        options.values, options.only = {"samples": [500, 1000]}, ["samples", "epochs"]
        options.samples, options.val_size, options.samples_of_epochs = 500, 100, 300
        options.epochs, options.epochs_with = 7, ["all on"]
        options.threads, options.tries = 1, 1
    return options


def main() -> None:
    """Measure, print and draw; exit with 1 where a training fails."""
    options = parse()
    raw = (
        json.loads(options.old.read_text(encoding="utf-8"))
        if options.old and options.old.exists()
        else {}
    )
    try:
        measure(options, raw)
    except FailedError as error:
        sys.exit(str(error))
    if options.plot is not None:
        from growth_plot import draw  # needs torch: only when all processes are done

        options.plot.write_bytes(draw(raw))


if __name__ == "__main__":
    main()
