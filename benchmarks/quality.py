"""How long it takes to a good code: seconds of training until the test error is below a goal.

    python benchmarks/quality.py [--goals 3.3,1.6] [--contestants bare,sae] [--json FILE]
    python benchmarks/quality.py --smoke

784-256-128 on 55,000 images of MNIST, batch 256; the goals are test SSE per image: 3.3 is what PCA
with 128 components reaches. After each epoch of the fine-tuning the clock stands still while the
test error is looked at; it chooses nothing. sae's rates follow one_cycle, which is good at its end:
it runs with several numbers of epochs, each to its end, and all are shown. The others train at a
constant rate until they reach the last goal or the time is up. Each run is a process of its own,
alone on the machine.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from processes import figures, machine, measure_aside

# Name -> script, what it is told, and numbers of epochs: of each stage, and of the fine-tuning.
CONTESTANTS: dict[str, tuple[str, list[str], list[tuple[int, int]]]] = {
    "sae": ("sae_cli.py", ["--stacked"], [(1, 2), (1, 4), (2, 8), (3, 15), (5, 45)]),
    "bare": ("bare.py", [], [(3, 1000)]),
    "clustpy": ("clustpy_stack.py", ["--own_units"], [(3, 1000)]),
    "dataloader": ("dataloader.py", [], [(3, 1000)]),
}
LEGEND = """\
sae: the recipe of configs/stacked.yaml with so many epochs, validation and checkpoints on.
bare, dataloader: as in speed.py, Adam at 0.001. clustpy: its own units (leaky ReLU, linear output),
Adam at 0.001, its linear stages."""


def reached(curve: list[list[float]], goal: float) -> float | None:
    """Seconds to the first look at which the error was no higher than the goal."""
    return next((seconds for seconds, sse in curve if sse <= goal), None)


def table(found: dict[str, list[dict[str, Any]]], goals: list[float]) -> str:
    """A line for each run."""
    heads = "".join(f"{f'to {goal:g}':>10}" for goal in goals)
    lines = [f"{'contestant':12}{'epochs':>12}{heads}{'in the end':>12}{'test SSE':>10}"]
    for name, runs in found.items():
        for told in runs:
            times = [reached(told["curve"], goal) for goal in goals]
            cells = "".join(f"{'–' if t is None else f'{t:.1f} s':>10}" for t in times)
            stage, tuned = told["epochs"]
            end, sse = told["curve"][-1]
            lines.append(
                f"{name:12}{f'2x{stage}+{tuned}':>12}{cells}{f'{end:.1f} s':>12}{sse:10.2f}"
            )
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--goals", default="3.3,1.6", help="test SSE per image")
    parser.add_argument("--limit", type=float, default=240, help="seconds of training, at most")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--threads", type=int, default=cores, help="all cores if left out")
    parser.add_argument("--contestants", default=",".join(CONTESTANTS), help="some of these")
    parser.add_argument("--data", help="folder of MNIST; $SAE_DATA or data if left out")
    parser.add_argument("--json", type=Path, help="write all raw figures there")
    parser.add_argument("--smoke", action="store_true", help="little; only to see it work")
    options = parser.parse_args()
    options.goals = sorted((float(goal) for goal in options.goals.split(",")), reverse=True)
    options.contestants = options.contestants.split(",")
    if unknown := set(options.contestants) - set(CONTESTANTS):
        parser.error(f"no contestant {', '.join(sorted(unknown))}; there are {list(CONTESTANTS)}")
    options.data = options.data or os.environ.get("SAE_DATA") or "data"
    if options.smoke:
        options.threads = 1
    return options


def runs(name: str, options: argparse.Namespace, words: list[str]) -> list[dict[str, Any]]:
    """Figures of a contestant, for each number of epochs; none where it is skipped."""
    script, own, budgets = CONTESTANTS[name]
    found = []
    for stage, tuned in [(1, 2)] if options.smoke else budgets:
        epochs = ["--epochs", str(stage), "--finetune_epochs", str(tuned)]
        told = figures(script, [*words, *epochs, *own], options.threads)
        if "skipped" in told:
            print(f"{name}: skipped, {told['skipped']}", flush=True)
            return []
        end, sse = told["curve"][-1]
        told["epochs"] = [stage, len(told["curve"])]
        print(f"{name}, {stage} epochs a stage: SSE {sse:.2f} after {end:.1f} s", flush=True)
        found.append(told)
    return found


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run all, print the table, and give the raw figures."""
    samples = 2000 if options.smoke else 55_000
    place = ["--images", str(folder), "--samples", str(samples)]
    about = machine(options.threads)
    data = figures("prepare.py", [*place, "--root", options.data], options.threads)
    print(f"{about}\n{data['data']}; {data['samples']:,} images, batch 256, seed 0", flush=True)
    words = [*place, "--batch_size", "256", "--threads", str(options.threads)]
    words += ["--goal", str(options.goals[-1]), "--limit", str(options.limit)]
    words += ["--root", data["root"]] if data["root"] else []
    found = {name: runs(name, options, words) for name in options.contestants}
    print(f"\n{table(found, options.goals)}\n\n{LEGEND}")
    return {"machine": about, "data": data["data"], "goals": options.goals, "runs": found}


def main() -> None:
    """Measure and print; exit with 1 where a contestant fails."""
    options = parse()
    measure_aside(lambda folder: measure(options, folder), options.json)


if __name__ == "__main__":
    main()
