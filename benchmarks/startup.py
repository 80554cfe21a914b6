"""How long a start takes: what must be imported, a typo and ``--help``, the first step of a fit.

Typos and ``--help`` are answered before torch and Lightning are imported. A process that has
imported torch takes long to tidy up; the first step is clocked before that, so it is compared with
imports that leave at once.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from processes import ROOT, figures, wall_seconds

IMPORTS = "import lightning.pytorch.cli, torchvision"
# Name -> what it is, and what it is compared with.
ROWS = {
    "imports": (f'python -c "{IMPORTS}"', "imports"),
    "help": ("cli.py --help", "imports"),
    "help_fit": ("cli.py fit --help", "imports"),
    "verb": ("cli.py fitt", "imports"),
    "option": ("cli.py fit --config configs/stacked.yaml --finetune.epoch 3", "imports"),
    "key": ("cli.py fit --config FILE, with pretrain: {epoch: 3}", "imports"),
    "imports_left": ("the imports, left by os._exit", "imports_left"),
    "first_step": (
        "cli.py fit --config configs/stacked.yaml, to the end of its first step",
        "imports_left",
    ),
}


def measure(threads: int, mnist: bool) -> dict[str, float]:
    """Seconds of each, once."""
    words = ["fit", "--config", str(ROOT / "configs" / "stacked.yaml")]
    words += ["--trainer.accelerator", "cpu"]
    if not mnist:  # or it would look for the web first
        words += ["--data", "DigitsDataModule"]
    cli = str(ROOT / "cli.py")
    seconds = {
        "imports": wall_seconds(["-c", IMPORTS], threads),
        "help": wall_seconds([cli, "--help"], threads),
        "help_fit": wall_seconds([cli, "fit", "--help"], threads),
        "verb": wall_seconds([cli, "fitt"], threads, 2),
        "option": wall_seconds([cli, *words, "--finetune.epoch", "3"], threads, 2),
        "imports_left": wall_seconds(["-c", f"{IMPORTS}, os; os._exit(0)"], threads),
    }
    with tempfile.TemporaryDirectory() as folder:
        bad = Path(folder) / "bad.yaml"
        bad.write_text("pretrain: {epoch: 3}\ndata: DigitsDataModule\n", encoding="utf-8")
        seconds["key"] = wall_seconds([cli, "fit", "--config", str(bad)], threads, 2)
        started = str(time.time())
        told = figures("first_step.py", [started, *words], threads, Path(folder))
    return {**seconds, "first_step": told["seconds"]}


def table(runs: list[dict[str, float]]) -> str:
    """Median seconds of each, and how many times those of the imports above it."""
    lines = [f"{'median s':>8}  {'to imports':>10}  {'spread':>11}"]
    for name, (title, base) in ROWS.items():
        ratios = [run[name] / run[base] for run in runs]
        seconds = statistics.median(run[name] for run in runs)
        spread = f"{min(ratios):.2f}–{max(ratios):.2f}"
        lines.append(f"{seconds:8.2f}  {statistics.median(ratios):10.2f}  {spread:>11}  {title}")
    return "\n".join(lines)
