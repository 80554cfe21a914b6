"""How training by several processes scales: measured with two, modelled for more.

    python benchmarks/scaling.py [--runs 3] [--batch_sizes 256,2048] [--json FILE] | --smoke

The job of contestants/job.py by ``cli.py fit``, a total batch size held fixed: by one process of
one thread, by two (DDP through the Trainer, gloo, one thread each), and by one of two threads. What
a process does in a step is measured alone, as a step of a run whose batch is its share; what two
need to add up their gradients, and to begin the trainings, is measured apart. The model adds these
up, as if nothing went on at the same time, and is compared with the measured run of two processes
before it says anything of more: those figures are modelled, for processes that each have a core,
and a network as quick as that between two processes here. Without MNIST the images are generated.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import socket
import statistics
from pathlib import Path
from typing import Any

from processes import SCRIPTS, figures, machine, measure_aside, run
from quiet import Others, warning
from scaling_model import Model, Network, gradient_bytes

SIZES = (784, 256, 128)  # as in contestants/job.py, which needs torch
MODELLED = (4, 8)
SMALLEST = 4  # bytes: what an all-reduce takes without any to speak of


def torchrun(script: str, words: list[str], processes: int) -> Any:
    """The JSON that the main one of several processes prints last."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    command += ["--master_addr", "127.0.0.1", "--master_port", str(port)]
    out = run([*command, str(SCRIPTS / script), *words], threads=1)
    return json.loads([line for line in out.splitlines() if line.startswith("{")][-1])


def one(words: list[str], threads: int = 1) -> dict[str, Any]:
    """Figures of a run by one process, and what others took of the processors meanwhile."""
    with Others() as others:
        told = figures("sae_cli.py", [*words, "--threads", str(threads)], threads)
    return {**told, "others": others.share}


def two(words: list[str]) -> dict[str, Any]:
    """The same by two processes of one thread each."""
    with Others() as others:
        told = torchrun("sae_ddp.py", [*words, "--threads", "1"], 2)
    return {**told, "others": others.share}


def runs_of(batch: int, words: list[str], smoke: bool) -> dict[str, dict[str, Any]]:
    """Figures of a round: by how many processes and threads, and of each share of the batch."""
    at = [*words, "--batch_size", str(batch)]
    found = {"1 process, 1 thread": one(at), "2 processes, 1 thread each": two(at)}
    for n in (2,) if smoke else (2, *MODELLED):
        found[f"share of {n}"] = one([*words, "--batch_size", str(batch // n)])
    if not smoke:  # threads that wait for each other where others work take minutes
        found["1 process, 2 threads"] = one(at, threads=2)
    return found


def steps(told: dict[str, Any], batch: int) -> int:
    """Steps of a run, each training having as many: the last batch of an epoch is a step too."""
    return told["epochs"] * told["trainings"] * math.ceil(told["each"] / batch)


def beginnings(words: list[str], batch: int) -> dict[int, float]:
    """Seconds of a run of one step in each training, by one process and by two."""
    at = [*words, "--samples", str(batch), "--batch_size", str(batch)]
    return {1: one(at)["seconds"], 2: two(at)["seconds"]}


def median_of(found: list[dict[str, Any]], name: str) -> float:
    return statistics.median(each[name]["seconds"] for each in found)


def table(found: list[dict[str, Any]], batch: int) -> str:
    """What was measured, a line each."""
    base = median_of(found, "1 process, 1 thread")
    lines = [f"{'measured, batch ' + str(batch):28} {'seconds':>8} {'samples/s':>10} "]
    lines[0] += f"{'speed-up':>8} {'efficiency':>10} {'spread':>13}"
    for name in (name for name in found[0] if not name.startswith("share")):
        seconds = [each[name]["seconds"] for each in found]
        rate = found[0][name]["samples"] / statistics.median(seconds)
        speedup = base / statistics.median(seconds)
        workers = 1 if name.startswith("1 process, 1") else 2
        spread = f"{min(seconds):.2f}–{max(seconds):.2f} s"
        lines.append(
            f"{name:28} {statistics.median(seconds):8.2f} {rate:10,.0f} {speedup:8.2f} "
            f"{speedup / workers:10.0%} {spread:>13}"
        )
    return "\n".join(lines)


def modelled(
    found: list[dict[str, Any]], model: Model, job: dict[str, int]
) -> tuple[str, dict[str, Any]]:
    """The arithmetic, line by line, beside the measured run of two; and the figures of it."""
    base = median_of(found, "1 process, 1 thread")
    real = median_of(found, "2 processes, 1 thread each")
    samples = found[0]["1 process, 1 thread"]["samples"]
    lines = [f"model, batch {model.batch}: {model.steps:,} steps"]
    figures_of: dict[str, Any] = {}
    for n in (n for n in (2, *MODELLED) if f"share of {n}" in found[0]):
        seconds, own = median_of(found, f"share of {n}"), steps(job, model.batch // n)
        total, shown = model.run(n, seconds, own)
        speedup = base / total
        lines += [f"  {line}" for line in shown]
        lines.append(f"    modelled, {n} processes: {samples / total:,.0f} samples/s, ")
        lines[-1] += f"speed-up {speedup:.2f}, efficiency {speedup / n:.0%}; "
        lines[-1] += "not measured" if n > 2 else f"measured: {real:.2f} s, {base / real:.2f}, "
        lines[-1] += "" if n > 2 else f"the model is off by {total / real - 1:+.0%}"
        figures_of[str(n)] = {"seconds": total, "speedup": speedup}
    return "\n".join(lines), figures_of


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1, help="of each of the three trainings")
    parser.add_argument("--samples", type=int, default=20_000, help="the first so many")
    parser.add_argument("--batch_sizes", default="256,2048", help="of all processes together")
    parser.add_argument("--data", help="folder of MNIST; $SAE_DATA or data if left out")
    parser.add_argument("--json", type=Path, help="write all raw figures there")
    parser.add_argument("--smoke", action="store_true", help="once, little; only to see it work")
    options = parser.parse_args()
    options.batch_sizes = [int(size) for size in options.batch_sizes.split(",")]
    if options.smoke:
        options.runs, options.epochs, options.samples, options.batch_sizes = 1, 1, 500, [64]
    options.data = options.data or os.environ.get("SAE_DATA") or "data"
    return options


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure all, print it, and give the raw figures."""
    about = machine(1)
    print(f"{about}; load {os.getloadavg()[0]:.1f} at the start", flush=True)
    place = ["--images", str(folder), "--samples", str(options.samples)]
    data = figures("prepare.py", [*place, "--root", options.data], 1)
    job = {"epochs": options.epochs, "trainings": len(SIZES), "each": data["samples"]}
    print(f"{data['data']}; {data['samples']:,} images, 3 x {options.epochs} epochs, seed 0")
    words = ["--images", str(folder), "--samples", str(data["samples"])]
    words += ["--epochs", str(options.epochs)]
    words += ["--root", data["root"]] if data["root"] else []
    raw: dict[str, Any] = {"machine": about, "data": data["data"], **job, "batches": {}}
    raw["allreduce"] = network_figures(20 if options.smoke else 200)
    network = Network.fitted({int(n): s for n, s in raw["allreduce"].items()})
    print(network_line(raw["allreduce"], network), flush=True)
    begin = {1: 0.0, 2: 0.0} if options.smoke else beginnings(words, options.batch_sizes[0])
    raw["begin"] = begin
    print(f"one step in each training: {begin[1]:.2f} s by 1 process, {begin[2]:.2f} s by 2")
    mean_bytes = statistics.mean(gradient_bytes(SIZES))
    for batch in options.batch_sizes:
        found = [runs_of(batch, words, options.smoke) for _ in range(options.runs)]
        model = Model(network, mean_bytes, begin, batch, steps(job, batch))
        lines, said = modelled(found, model, job)
        raw["batches"][str(batch)] = {"runs": found, "model": said}
        print(f"\n{table(found, batch)}\n{lines}", flush=True)
        if said := warning(told for each in found for told in each.values()):
            print(said, flush=True)
    return raw


def network_figures(tries: int) -> dict[str, float]:
    """Seconds that two processes take to add up gradients, by bytes."""
    sizes = [str(n) for n in sorted({SMALLEST, *gradient_bytes(SIZES)})]
    return torchrun("allreduce.py", ["--bytes", *sizes, "--tries", str(tries)], 2)["seconds"]


def network_line(seconds: dict[str, float], network: Network) -> str:
    """What was measured of it, and what the model makes of that."""
    told = ", ".join(f"{int(n) / 1e6:.3f} MB {1e3 * s:.3f} ms" for n, s in seconds.items())
    found = f"latency {1e3 * network.latency:.3f} ms, bandwidth {network.bandwidth / 1e6:.0f} MB/s"
    return f"all-reduce between 2 processes (gloo): {told}: {found}"


def main() -> None:
    """Measure and print; exit with 1 where a process fails."""
    options = parse()
    measure_aside(lambda folder: measure(options, folder), options.json)


if __name__ == "__main__":
    main()
