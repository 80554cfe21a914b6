"""Training on a GPU, beside the floor: a bare loop whose step is one CUDA graph.

    python benchmarks/gpu.py [--runs 5] [--json FILE]
    python benchmarks/gpu.py --device cpu --smoke   (no GPU: only to see that it works)

The job of speed.py, then configs/stacked.yaml's own (5 epochs a stage, 45 of fine-tuning, one
cycle) in full. In turns, each in a process of its own; ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path
from typing import Any

from processes import figures, machine, measure_aside

# Name -> script, and what it is told.
CONTESTANTS: dict[str, tuple[str, list[str]]] = {
    "graph": ("graph.py", []),
    "bare": ("bare.py", []),
    "sae": ("sae_cli.py", []),
    "sae_bf16": ("sae_cli.py", ["--precision", "bf16-mixed"]),
}
STACKED = ["--stacked", "--epochs", "5", "--finetune_epochs", "45"]


def gpu_name() -> str | None:
    """The GPU that torch sees; None where there is none."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def table(found: list[dict[str, Any]]) -> str:
    """A line for each contestant."""
    lines = [f"{'contestant':12} {'seconds':>8} {'ratio to graph':>20} {'test SSE':>9}"]
    for name in found[0]:
        seconds = statistics.median(each[name]["seconds"] for each in found)
        ratios = [each[name]["seconds"] / each["graph"]["seconds"] for each in found]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        sse = statistics.median(each[name]["test_sse"] for each in found)
        lines.append(f"{name:12} {seconds:8.2f} {ratio:>20} {sse:9.2f}")
    return "\n".join(lines)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run all, print the table, and give the raw figures."""
    epochs, samples = ("1", "2000") if options.smoke else ("3", "55000")
    place = ["--images", str(folder), "--samples", samples]
    data = figures("prepare.py", [*place, "--root", options.data], options.threads)
    print(f"{data['data']}; {samples} images, batch 256, 3 x {epochs} epochs, seed 0", flush=True)
    words = [*place, "--batch_size", "256", "--threads", str(options.threads)]
    words += ["--device", options.device]
    words += ["--root", data["root"]] if data["root"] else []
    raw: dict[str, Any] = {"data": data["data"], "runs": []}
    for _ in range(options.runs):
        runs = {
            name: figures(script, [*words, "--epochs", epochs, *own], options.threads)
            for name, (script, own) in CONTESTANTS.items()
        }
        raw["runs"].append(runs)
    print(table(raw["runs"]))
    if not options.smoke:
        raw["stacked"] = figures("sae_cli.py", [*words, *STACKED], options.threads)
        seconds, sse = raw["stacked"]["seconds"], raw["stacked"]["test_sse"]
        print(f"stacked.yaml: {seconds:.1f} s of training, test SSE {sse:.2f}")
    return raw


def main() -> None:
    """Measure and print; say so where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--data", default=os.environ.get("SAE_DATA") or "data", help="of MNIST")
    parser.add_argument("--json", type=Path, help="write all raw figures there")
    parser.add_argument("--smoke", action="store_true", help="once, little")
    options = parser.parse_args()
    if options.smoke:
        options.runs = options.threads = 1
    name = gpu_name() if options.device == "cuda" else "the CPU, for want of a GPU"
    if name is None:
        print("skipped: torch sees no GPU here")
        return
    print(f"{name}; {machine(options.threads)}", flush=True)
    measure_aside(lambda folder: {"device": name, **measure(options, folder)}, options.json)


if __name__ == "__main__":
    main()
