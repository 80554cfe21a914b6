"""How fast `encode` goes through a file, beside the bare products of matrices.

    python benchmarks/encode.py --rows 1000000

It trains nothing: a 784-256-128 network of random weights encodes random bytes, once by a loop that
reads a batch, scales it and multiplies, and keeps nothing; once by what the verb does, which writes
the codes. Each in a process of its own, in turns; the least time of each counts, and its peak
memory. What a process needs to start (some seconds, most of it imports) is left out of the time.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

SIZES, BATCH = [784, 256, 128], 4096


def measured(work: Callable[[], None]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    # Not getrusage: its peak begins with that of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "megabytes": peak,
    }


def bare(path: Path) -> Callable[[], None]:
    generator = torch.Generator().manual_seed(0)
    pairs = pairwise(SIZES)
    weights = [torch.randn(above, below, generator=generator) / 28 for below, above in pairs]
    x = np.load(path, mmap_mode="r")

    @torch.no_grad()
    def work() -> None:
        for first in range(0, len(x), BATCH):
            h = torch.from_numpy(np.array(x[first : first + BATCH])).float().mul_(1 / 255)
            for weight in weights:
                h = torch.tanh(h @ weight.t())

    return work


def ours(path: Path) -> Callable[[], None]:
    from sae.data.prepare import Pixels
    from sae.run.model import TrainedRun
    from sae.run.sample_files import SampleFile, layout_of, write_result
    from sae.training.stacked import StackedAutoencoder

    model = StackedAutoencoder(SIZES, activation="tanh")
    run = TrainedRun(Path(), model.stack, Pixels(255), model.objective, (28, 28))
    samples = SampleFile(path, run)
    return lambda: write_result(
        samples,
        lambda chunk, first: [run.apply("encode", chunk, first)],
        path.with_name("codes.npy"),
        layout_of(run, "encode", samples),
        overwrite=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=["bare", "ours"])
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    if options.only:
        work = {"bare": bare, "ours": ours}[options.only]
        print(json.dumps(measured(work(options.file))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        x = np.lib.format.open_memmap(path, "w+", np.uint8, (options.rows, SIZES[0]))
        rng = np.random.default_rng(0)
        for first in range(0, options.rows, 50_000):
            part = x[first : first + 50_000]
            part[:] = rng.integers(0, 256, part.shape, np.uint8)
        x.flush()
        found: dict[str, list[dict[str, float]]] = {"bare": [], "ours": []}
        for name in ["bare", "ours"] * options.turns:
            command = [sys.executable, __file__, "--only", name, "--file", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[name].append(json.loads(done.stdout))
    least = {k: {n: min(t[n] for t in v) for n in ("wall", "cpu")} for k, v in found.items()}
    for name, times in least.items():
        peak = max(turn["megabytes"] for turn in found[name])
        print(f"{name}: {times['wall']:.2f} s, {times['cpu']:.2f} s of CPU, {peak:.0f} MB at most")
    ratios = {n: least["bare"][n] / least["ours"][n] for n in ("wall", "cpu")}
    share = {name: f"{100 * ratio:.0f} %" for name, ratio in ratios.items()}
    print(f"speed: {share['wall']} of the bare loop, by CPU {share['cpu']}")


if __name__ == "__main__":
    main()
