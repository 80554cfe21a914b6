"""sae by its command line: ``fit`` with a YAML file, in a folder of its own.

Validation after every epoch, checkpoints, the best weights, health, metrics.csv and the progress
bar are on, as they are by default; ``--all_on`` leaves TensorBoard and pictures on, too, and
``--job_alone`` has neither validation nor checkpoints, as the other contestants. Clocked is
the training of all phases with all that is done in between; reading the images, the test and the
pictures of the finished stack are not.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from job import LR, SEED, SIZES, Clock, ReachedError, begin, parser, report
from lightning import Callback, Trainer

import sae.cli.command
import sae.experiment
from sae.experiment import Experiment
from sae.training.module import TrainingModule
from sae.training.plan import PhaseResult
from sae.training.pretrain import GreedyPretrainer
from sae.training.stacked import StackedAutoencoder

QUIET = ["--pictures_every", "-1", "--trainer.logger", "false"]
NOTHING_ELSE = ["--trainer.enable_checkpointing", "false"]
NOTHING_ELSE += ["--trainer.check_val_every_n_epoch", "1000000"]
STACKED = Path(__file__).parents[2] / "configs" / "stacked.yaml"


def config(job: argparse.Namespace) -> dict[str, Any]:
    """The job as it stands in a config."""
    recipes = {"model": {}, "pretrain": {"lr": LR}, "finetune": {"lr": LR}}
    if job.stacked:
        recipes = yaml.safe_load(STACKED.read_text(encoding="utf-8"))
    data = {"root": job.root, "samples": job.samples, "batch_size": job.batch_size}
    return {
        "seed_everything": SEED,
        "model": {**recipes["model"], "sizes": list(SIZES)},
        "pretrain": {**recipes["pretrain"], "epochs": job.epochs},
        "finetune": {**recipes["finetune"], "epochs": job.finetune_epochs},
        "data": {"class_path": "images.JobData", "init_args": data},
        "trainer": {
            "accelerator": "gpu" if job.device == "cuda" else "cpu",
            "devices": 1,
            "precision": job.precision,
        },
    }


class ClockedPretrainer(GreedyPretrainer):
    """Keeps the clock and the model of its fit."""

    clock = Clock()
    model: StackedAutoencoder

    def fit(self, model: StackedAutoencoder, *samples: Any) -> list[PhaseResult]:
        type(self).model = model
        with self.clock:
            return super().fit(model, *samples)


class Looks(Callback):
    """Look at the stack after each epoch of its fine-tuning."""

    def __init__(self, job: argparse.Namespace) -> None:
        self.job = job

    def on_train_epoch_end(self, trainer: Trainer, pl_module: TrainingModule) -> None:
        if pl_module.phase == "finetune":
            with suppress(ReachedError):  # a run with a schedule goes to its end
                ClockedPretrainer.clock.look(pl_module.net, self.job)


class LookingExperiment(Experiment):
    """Has it look where the job has a goal."""

    job: argparse.Namespace

    def _watching_callbacks(self, *args: Any) -> list[Callback]:
        return [*super()._watching_callbacks(*args), Looks(self.job)]


def fit(job: argparse.Namespace, words: list[str]) -> None:
    """Do the job by the command line."""
    if job.goal is not None:
        LookingExperiment.job = job
        sae.cli.command.Experiment = LookingExperiment  # type: ignore[misc]
    fit_clocked(config(job), words)


def fit_clocked(settings: dict[str, Any], words: list[str]) -> None:
    """Run the command line with a config, in a folder that is deleted."""
    sae.experiment.GreedyPretrainer = ClockedPretrainer  # type: ignore[misc]
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("job.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        sae.cli.command.main(["fit", "--config", "job.yaml", *words])
        os.chdir(before)


def options() -> argparse.ArgumentParser:
    """Those of every contestant, and two of its own."""
    own = parser()
    own.add_argument("--all_on", action="store_true", help="TensorBoard and pictures")
    own.add_argument("--job_alone", action="store_true", help="no validation, no checkpoints")
    own.add_argument("--precision", default="32-true", help="of the Trainer")
    own.add_argument("--stacked", action="store_true", help="units and rates as in stacked.yaml")
    return own


def main() -> None:
    job = begin(options())
    fit(job, [] if job.all_on else QUIET + NOTHING_ELSE * job.job_alone)
    report(job, ClockedPretrainer.clock, ClockedPretrainer.model.net.cpu())


if __name__ == "__main__":
    main()
