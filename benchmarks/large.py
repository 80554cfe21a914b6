"""Train on more data than fit into memory, and see how much memory that takes and how fast it is.

    python benchmarks/large.py [--gigabytes 12] [--folder DIR] [--json FILE] [--smoke]

The data, float32 images in a folder of .npy files, are generated and deleted in the end. The
command line trains 784-256-128 on them with --pretrain.cache disk, one epoch a phase, pictures and
TensorBoard as they are by default; its memory is looked at from outside all the time. Then it does
the same with the first part of the same files in memory and --pretrain.cache memory.

Before each run the files are dropped from the page cache. --leave_gigabytes N has another process
hold all memory but N GB during the run on disk, so that no cache can hold the data either.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from processes import ROOT, SCRIPTS, FailedError, environment, figures, machine, measure_aside
from quiet import Others
from watch import Watched, on_disk, watched

FEATURES, SIZES, BATCH = 784, [784, 256, 128], 256
PHASES = ("stage1", "stage2", "finetune")
CODES = "lightning_logs/*/version_*/codes/*"
UNITS = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


def samples_of(gigabytes: float) -> int:
    return int(1e9 * gigabytes / (4 * FEATURES))


def drop(folder: Path) -> None:
    """Have the system forget what it keeps of files in memory; they are on the disk already."""
    for path in folder.glob("*.npy"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def ballast(leave_gigabytes: float | None) -> Iterator[int]:
    """Have another process hold all memory but so much; how many bytes that is."""
    if leave_gigabytes is None:
        yield 0
        return
    words = [str(SCRIPTS / "ballast.py"), "--leave_gigabytes", str(leave_gigabytes)]
    with subprocess.Popen(
        [sys.executable, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield int(process.stdout.readline())
        if process.poll() is not None:
            print("warning: the process that holds memory was ended meanwhile", flush=True)
        process.stdin.close()


def fit(options: argparse.Namespace, cwd: Path, words: list[str], cache: str) -> dict[str, Any]:
    """Run ``cli.py fit`` in an empty folder; what was seen, and its own figures."""
    cwd.mkdir()
    command = [sys.executable, str(ROOT / "cli.py"), "fit", "--model.sizes", str(SIZES)]
    command += ["--pretrain.epochs", "1", "--finetune.epochs", "1", "--pretrain.cache", cache]
    command += ["--trainer.accelerator", "cpu", *words, "--data.batch_size", str(BATCH)]
    command += ["--data.val_size", str(options.val_size)]
    env = environment(options.threads)
    env["PYTHONPATH"] = f"{SCRIPTS}{os.pathsep}{env['PYTHONPATH']}"
    with Others() as others:
        seen = watched(command, env, cwd, CODES, every=options.every)
    if seen.code != 0:
        last = "\n".join(seen.errors.replace("\r", "\n").splitlines()[-12:])
        raise FailedError(f"fit with cache {cache} ended with {seen.code}:\n{last}")
    (folder,) = cwd.glob("lightning_logs/*/version_0")
    own = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    n = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["data"]["train"]
    return {**summed_up(seen, own, n, on_disk(cwd, CODES)), "others": others.share}


def summed_up(seen: Watched, own: dict[str, Any], n: int, left: int) -> dict[str, Any]:
    """The figures of a run."""
    seconds, ends = own["seconds"], phase_ends(seen)
    begin = ends["stage1"] - seconds["stage1"]
    training = ends["finetune"] - begin
    spans = {
        "before": (0.0, begin),
        "stage1": (begin, ends["stage1"]),
        "codes and stage2": (ends["stage1"], ends["stage2"]),
        "finetune": (ends["stage2"], ends["finetune"]),
        "test and pictures": (ends["finetune"], seen.seconds),
    }
    return {
        "samples": n,
        "seconds": {**seconds, "training": training, "command": seen.seconds},
        "rates": {
            **{phase: n / seconds[phase] for phase in PHASES},
            "training": 3 * n / training,
            "command": 3 * n / seen.seconds,
        },
        "test_sse": own["test"]["sse"],
        "peak_mb": seen.peak_mb(),
        "median_mb": statistics.median(look[1] for look in seen.memory) / 1024,
        "peaks_mb": {name: seen.peak_mb("RssAnon", *span) for name, span in spans.items()},
        "peak_file_mb": seen.peak_mb("RssFile"),
        "peak_swap_mb": seen.peak_mb("VmSwap"),
        "looks": len(seen.memory),
        "longest_gap": max(b[0] - a[0] for a, b in zip(seen.memory, seen.memory[1:], strict=False)),
        "read_bytes": seen.read_bytes,
        "codes_announced": announced(seen),
        "codes_peak": seen.kept_bytes,
        "codes_left": left,
        "memory": seen.memory,
    }


def phase_ends(seen: Watched) -> dict[str, float]:
    """When the lines came that say that a phase is done."""
    heads = {"stage1": "stage 1/2 ", "stage2": "stage 2/2 ", "finetune": "fine-tune "}
    return {
        phase: next(when for when, line in seen.lines if line.startswith(head))
        for phase, head in heads.items()
    }


def announced(seen: Watched) -> float:
    """Bytes on disk that a run has said its codes would take."""
    found = re.findall(r"codes of the \w+ samples take ([\d.]+) (\w+) on disk", seen.text())
    return sum(float(number) * UNITS[unit] for number, unit in found)


def table(disk: dict[str, Any], memory: dict[str, Any]) -> str:
    """Both runs side by side."""
    lines = [f"{'':34} {'on disk':>12} {'in memory':>12} {'ratio':>7}"]

    def row(name: str, key: str, form: str = ",.0f", ratio: bool = False, part: str = "") -> None:
        a, b = ((told[part] if part else told)[key] for told in (disk, memory))
        tail = f" {a / b:7.2f}" if ratio else ""
        lines.append(f"{name:34} {a:12{form}} {b:12{form}}{tail}")

    row("samples trained on", "samples")
    for phase in PHASES:
        row(f"{phase}, samples/s", phase, ratio=True, part="rates")
    row("three phases and codes, samples/s", "training", ratio=True, part="rates")
    row("whole command, samples/s", "command", ratio=True, part="rates")
    row("whole command, seconds", "command", ".1f", part="seconds")
    row("test SSE per image", "test_sse", ".3f")
    row("anonymous memory, peak MB", "peak_mb")
    for name in disk["peaks_mb"]:
        row(f"  {name}", name, part="peaks_mb")
    row("anonymous memory, median MB", "median_mb")
    row("mapped files, peak MB", "peak_file_mb")
    row("swapped out, peak MB", "peak_swap_mb")
    row("cores that others took", "others", ".1%")
    row("looks at the memory", "looks")
    row("longest time between two, s", "longest_gap", ".2f")
    for name, key in (
        ("read from disk, MB", "read_bytes"),
        ("codes on disk, announced MB", "codes_announced"),
        ("  measured, peak MB", "codes_peak"),
        ("  after the end, MB", "codes_left"),
    ):
        lines.append(f"{name:34} {disk[key] / 1e6:12,.1f} {memory[key] / 1e6:12,.1f}")
    return "\n".join(lines)


def measure(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """Write the data, run both, print and give the raw figures."""
    data, n = place / "data", samples_of(options.gigabytes)
    n_memory = min(n, samples_of(options.memory_gigabytes))
    data.mkdir()
    about, load = machine(options.threads), os.getloadavg()[0]
    print(f"{about}; load {load:.1f} at the start", flush=True)
    files = max(2, math.ceil(options.gigabytes))
    words = ["--folder", str(data), "--files", str(files), "--samples", str(n)]
    written = figures("write_shards.py", words, options.threads)["bytes"]
    print(
        f"data: {written / 1e9:.2f} GB, {n:,} samples of {FEATURES} float32 in {files} files, "
        f"generated, seed 0; {'-'.join(map(str, SIZES))}, batch {BATCH}, one epoch a phase",
        flush=True,
    )
    raw: dict[str, Any] = {"machine": about, "load": load, "bytes": written, "files": files}
    drop(data)
    with ballast(options.leave_gigabytes) as held:
        if held:
            print(f"another process holds {held / 1e9:.1f} GB of memory during the run on disk")
        words = ["--data", "ArrayDataModule", "--data.train", str(data)]
        raw["held_bytes"], raw["disk"] = held, fit(options, place / "disk", words, "disk")
    drop(data)
    words = ["--data", "shards.ShardsInMemory", "--data.folder", str(data)]
    words += ["--data.samples", str(n_memory)]
    raw["memory"] = fit(options, place / "memory", words, "memory")
    if n_memory < n:
        print(f"in memory: the first {n_memory:,} samples, {options.memory_gigabytes:g} GB of them")
    print(f"\n{table(raw['disk'], raw['memory'])}")
    return raw


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=12)
    parser.add_argument("--memory_gigabytes", type=float, default=4, help="of the run in memory")
    parser.add_argument("--leave_gigabytes", type=float, help="hold all other memory meanwhile")
    parser.add_argument("--folder", type=Path, help="where there is room; the system's if left out")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--threads", type=int, default=cores, help="all cores if left out")
    parser.add_argument("--json", type=Path, help="write all raw figures there")
    parser.add_argument("--smoke", action="store_true", help="a few MB; only to see it work")
    options = parser.parse_args()
    options.val_size, options.every = 5000, 0.1
    if options.smoke:
        options.gigabytes, options.val_size, options.threads, options.every = 0.02, 300, 1, 0.02
    return options


def check_room(options: argparse.Namespace, place: Path) -> None:
    """Say what is about to be written, and stop where it does not fit."""
    needed = 1e9 * options.gigabytes * (1 + SIZES[1] / FEATURES)
    free = shutil.disk_usage(place).free
    print(f"needs {needed / 1e9:.2f} GB of disk in {place}; {free / 1e9:.0f} GB are free")
    print("all of it is deleted in the end", flush=True)
    if needed > free:
        raise FailedError("too little room: name another place with --folder")


def main() -> None:
    """Measure and print; exit with 1 where a run fails."""
    options = parse()

    def checked(place: Path) -> dict[str, Any]:
        check_room(options, place)
        return measure(options, place)

    measure_aside(checked, options.json, options.folder)


if __name__ == "__main__":
    main()
