"""How fast sae trains, beside a bare loop of PyTorch and what else does the same job.

    python benchmarks/speed.py [--runs 5] [--contestants bare,sae] [--json FILE]
    python benchmarks/speed.py --startup | --where | --classify [--smoke]

The job (contestants/job.py): 784-256-128, two stages on 55,000 images of MNIST, then fine-tuning.
Each contestant does it in a process of its own; they work in turns of a fifth of a second
(turns.py), so that what else the machine does meets them alike, and ratios are taken within a
round. Seconds are those of the training, from images in memory to the trained stack. Without MNIST
the images are generated. ``clustpy`` needs ``pip install -e ".[bench]"``.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path
from typing import Any

import startup
from processes import figures, machine, measure_aside
from quiet import Others, warning
from turns import in_turns

SIZES = (784, 256, 128)  # as in contestants/job.py, which needs torch
# Name -> script, and what else it is told.
CONTESTANTS = {
    "bare": ("bare.py", []),
    "sae_alone": ("sae_cli.py", ["--job_alone"]),
    "sae": ("sae_cli.py", []),
    "sae_all": ("sae_cli.py", ["--all_on"]),
    "sae_bf16": ("sae_cli.py", ["--job_alone", "--precision", "bf16-mixed"]),
    "clustpy": ("clustpy_stack.py", []),
    "dataloader": ("dataloader.py", []),
    "dataloader_2": ("dataloader.py", ["--workers", "2"]),
}
# The same with --classify: the fine-tuning of a classifier, 784-256-128-10, alone.
CLASSIFIERS = {
    "bare": ("bare_classifier.py", []),
    "sae_alone": ("sae_classifier.py", ["--job_alone"]),
    "sae": ("sae_classifier.py", []),
}
LEGEND = """\
bare: a plain loop, nothing validated or saved. sae_alone: fit, nothing validated or saved either;
sae: with validation, checkpoints, metrics.csv; sae_all: and with TensorBoard and pictures.
sae_bf16: as sae_alone, products in half precision (--trainer.precision bf16-mixed).
clustpy: its stages are linear. dataloader: torchvision, DataLoader, Lightning, nothing validated or
saved; _2: two workers, their memory not counted.
ratio: to bare in the same round, median (least–most). of mm: share of the matrix product.
peak: most memory held up to the end of the training. test SSE: each has its own initial weights."""


def flops_a_sample() -> int:
    """Floating-point operations of one sample in one epoch of all three trainings together.

    Multiply and add count as two. Forward: 2 for each weight. Backward: 2 for the gradient of each
    weight, 2 for that of its input, but for the inputs of the first layer, which nobody asks for.
    With w = 784*256 and v = 256*128: stage 1 has 2w weights, 6*2w - 2w = 10w; stage 2 likewise 10v;
    the stack has 2(w + v), so 12(w + v) - 2w. Not counted, and done by all: biases, sigmoids, loss,
    Adam, the codes handed over.
    """
    w, v = SIZES[0] * SIZES[1], SIZES[1] * SIZES[2]
    return 10 * w + 10 * v + 12 * (w + v) - 2 * w


def flops_of_a_classifier() -> int:
    """The same of one sample in one epoch of a classifier: 6 for each weight, less 2w."""
    w, v = SIZES[0] * SIZES[1], SIZES[1] * SIZES[2]
    return 6 * (w + v + 10 * SIZES[2]) - 2 * w


def rounds(options: argparse.Namespace, words: list[str]) -> list[dict[str, Any]]:
    """Figures of each contestant, a dictionary a round; those that are skipped say so once."""
    there = CLASSIFIERS if options.classify else CONTESTANTS
    jobs = {name: there[name] for name in options.contestants}
    jobs = {name: (script, [*words, *own]) for name, (script, own) in jobs.items()}
    found: list[dict[str, Any]] = []
    for number in range(options.runs):
        with Others() as others:
            told = in_turns(jobs, options.threads)
        for name in [name for name in jobs if "skipped" in told[name]]:
            print(f"{name}: skipped, {told.pop(name)['skipped']}", flush=True)
            del jobs[name]
        found.append({name: {**each, "others": others.share} for name, each in told.items()})
        seconds = "  ".join(f"{name} {each['seconds']:.2f}" for name, each in told.items())
        print(f"round {number + 1} of {options.runs}, seconds: {seconds}", flush=True)
    return found


def table(found: list[dict[str, Any]], gflops: float, classify: bool = False) -> str:
    """A line for each contestant."""
    measure = "test error" if classify else "test SSE"
    flops = flops_of_a_classifier() if classify else flops_a_sample() / 3
    lines = [
        f"{'contestant':12} {'seconds':>8} {'ratio to bare':>19} {'samples/s':>10} {'GFLOP/s':>8} "
        f"{'of mm':>6} {'peak MB':>8} {'to bare':>8} {measure:>10}"
    ]
    for name in found[0]:
        told = [each[name] for each in found]
        seconds = statistics.median(t["seconds"] for t in told)
        samples, peak = told[0]["samples"], statistics.median(t["peak_mb"] for t in told)
        rate = samples * flops / seconds / 1e9
        ratio = more = "–"
        if "bare" in found[0]:
            ratios = [each[name]["seconds"] / each["bare"]["seconds"] for each in found]
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
            more = f"{peak - statistics.median(e['bare']['peak_mb'] for e in found):+.0f}"
        good = statistics.median(t[measure.lower().replace(" ", "_")] for t in told)
        lines.append(
            f"{name:12} {seconds:8.2f} {ratio:>19} {samples / seconds:10,.0f} {rate:8.1f} "
            f"{rate / gflops:6.0%} {peak:8.0f} {more:>8} {good:10.2f}"
        )
    return "\n".join(lines)


def where_table(told: dict[str, Any]) -> str:
    """Seconds and percent of each part."""
    total = sum(told["parts"].values())
    lines = [f"{'seconds':>8} {'%':>5}"]
    parts = {**told["parts"], "the training": total}
    lines += [f"{s:8.2f} {100 * s / total:5.1f}  {name}" for name, s in parts.items()]
    title = "before and after it: options, data, test, last pictures"
    return "\n".join([*lines, f"{told['outside']:8.2f} {'':5}  {title}"])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3, help="of each of the three trainings")
    parser.add_argument("--samples", type=int, default=55_000, help="the first so many")
    parser.add_argument("--batch_size", type=int, default=256)
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--threads", type=int, default=cores, help="all cores if left out")
    names = ",".join(CONTESTANTS)
    parser.add_argument("--contestants", help=f"some of {names}; all if left out")
    parser.add_argument("--data", help="folder of MNIST; $SAE_DATA or data if left out")
    parser.add_argument("--json", type=Path, help="write all raw figures there")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--startup", action="store_true", help="clock the start instead")
    kind.add_argument("--classify", action="store_true", help="a classifier's fine-tuning alone")
    kind.add_argument("--where", action="store_true", help="show where sae's time goes instead")
    parser.add_argument("--smoke", action="store_true", help="once, little; only to see it work")
    options = parser.parse_args()
    there = list(CLASSIFIERS if options.classify else CONTESTANTS)
    options.contestants = options.contestants.split(",") if options.contestants else there
    if unknown := set(options.contestants) - set(there):
        parser.error(f"no contestant {', '.join(sorted(unknown))}; there are {there}")
    if options.smoke:
        options.runs, options.epochs, options.samples, options.batch_size = 1, 1, 2000, 256
        few = ["bare", "sae_alone", "sae", "clustpy", "dataloader"]
        options.contestants = [name for name in few if name in there]
        options.threads = 1  # threads of several processes that wait for each other take minutes
    options.data = options.data or os.environ.get("SAE_DATA") or "data"
    return options


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Do what was asked for, print it, and give the raw figures."""
    threads = options.threads
    place = ["--images", str(folder), "--samples", str(options.samples)]
    about, load = machine(threads), os.getloadavg()[0]
    print(f"{about}; load {load:.1f} at the start", flush=True)
    data = figures("prepare.py", [*place, "--root", options.data], threads)
    raw: dict[str, Any] = {"machine": about, "load": load, "data": data["data"]}
    if options.startup:
        if data["root"]:
            os.environ["SAE_DATA"] = data["root"]
        startup.measure(threads, data["root"] is not None)  # warms the page cache
        raw["runs"] = [
            startup.measure(threads, data["root"] is not None) for _ in range(options.runs)
        ]
        print(startup.table(raw["runs"]))
        return raw
    epochs, batch = options.epochs, options.batch_size
    trainings = 1 if options.classify else 3
    job = f"{data['samples']:,} images, batch {batch}, {trainings} x {epochs} epochs"
    print(f"{data['data']}; {job}", flush=True)
    words = ["--images", str(folder), "--samples", str(data["samples"]), "--epochs", str(epochs)]
    words += ["--batch_size", str(batch), "--threads", str(threads)]
    words += ["--root", data["root"]] if data["root"] else []
    raw |= {"samples": data["samples"], "batch_size": batch, "epochs": epochs, "threads": threads}
    if options.where:
        raw["where"] = figures("where.py", words, threads)
        print(where_table(raw["where"]))
        return raw
    raw["matmul_gflops"] = figures("matmul.py", ["--threads", str(threads)], threads)["gflops"]
    print(f"float32 matrix product (mm): {raw['matmul_gflops']:.0f} GFLOP/s", flush=True)
    raw["runs"] = rounds(options, words)
    print(f"\n{table(raw['runs'], raw['matmul_gflops'], options.classify)}\n\n{LEGEND}")
    if options.smoke:
        print("smoke: so little work says that all of it runs, and nothing of how fast")
    if said := warning(told for each in raw["runs"] for told in each.values()):
        print(said)
    return raw


def main() -> None:
    """Measure and print; exit with 1 where a contestant fails."""
    options = parse()
    measure_aside(lambda folder: measure(options, folder), options.json)


if __name__ == "__main__":
    main()
