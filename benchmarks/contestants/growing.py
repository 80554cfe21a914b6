"""One training of generated images by the command line of sae: its seconds and its memory.

On are validation, checkpoints, the best weights and metrics.csv, as they are by default;
TensorBoard and pictures with ``--all_on`` only. Clocked is the training of all phases with all that
is done in between. The peak is that of the process up to the end of the training, from its start:
images are in memory twice while they are split.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from growth_parts import MemoryOfEpochs
from job import LR, SEED, say, warm_up
from sae_cli import QUIET, ClockedPretrainer, fit_clocked


def config(job: argparse.Namespace) -> dict[str, Any]:
    """The training as it stands in a config."""
    recipe = {"epochs": job.epochs, "lr": LR}
    data = {"samples": job.samples, "batch_size": job.batch_size, "val_size": job.val_size}
    return {
        "seed_everything": SEED,
        "model": {"sizes": job.sizes},
        "pretrain": recipe,
        "finetune": {**recipe, "epochs": 0 if job.stages_only else job.epochs},
        "data": {"class_path": "growth_parts.GeneratedData", "init_args": data},
        "trainer": {
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "callbacks": [{"class_path": "growth_parts.MemoryOfEpochs"}],
        },
    }


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser()
    for name in ("samples", "val_size", "epochs", "batch_size", "threads"):
        options.add_argument(f"--{name}", type=int, required=True)
    options.add_argument("--sizes", type=int, nargs="+", required=True)
    options.add_argument("--stages_only", action="store_true", help="no fine-tuning")
    options.add_argument("--all_on", action="store_true", help="TensorBoard and pictures, too")
    return options


def main() -> None:
    job = parser().parse_args()
    torch.set_num_threads(job.threads)
    warm_up("cpu")
    fit_clocked(config(job), [] if job.all_on else QUIET)
    clock = ClockedPretrainer.clock
    told = {"seconds": clock.seconds, "peak_mb": clock.peak_mb}
    say({**told, "epochs_kb": MemoryOfEpochs.kb})


if __name__ == "__main__":
    main()
