"""sae's fine-tuning of a classifier, by its command line: no stages, no head alone.

What is on beside is as in sae_cli.py.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from job import LR, SEED, SIZES, begin, report_error
from sae_cli import NOTHING_ELSE, QUIET, ClockedPretrainer, fit_clocked, options
from torch import Tensor


def config(job: argparse.Namespace) -> dict[str, Any]:
    """The job as it stands in a config."""
    data = {"root": job.root, "samples": job.samples, "batch_size": job.batch_size}
    return {
        "seed_everything": SEED,
        "model": {"sizes": list(SIZES), "objective": "classify"},
        "pretrain": {"epochs": 0},
        "finetune": {"lr": LR, "epochs": job.finetune_epochs},
        "data": {"class_path": "images.JobData", "init_args": data},
        "trainer": {"accelerator": "cpu", "devices": 1, "precision": job.precision},
    }


def main() -> None:
    job = begin(options())
    fit_clocked(config(job), [] if job.all_on else QUIET + NOTHING_ELSE * job.job_alone)
    model = ClockedPretrainer.model

    def logits(x: Tensor) -> Tensor:
        with torch.no_grad():
            return model.objective.logits(model.net.encode(x))

    report_error(job, ClockedPretrainer.clock, logits)


if __name__ == "__main__":
    main()
