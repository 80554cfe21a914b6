"""One run from data to summary: stages, fine-tuning, test, and what is left in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from sae import summary
from sae.callbacks import (
    BestWeights,
    MetricsCSV,
    Snapshot,
    StageProgressBar,
    phase_checkpoints,
    pictures,
)
from sae.data import ImageDataModule
from sae.errors import DivergedError
from sae.evaluate import figures_on_test, validation_sse
from sae.journal import METRICS, RunJournal
from sae.modules import ReconstructionModule, StackedAutoencoder
from sae.pretrain import GreedyPretrainer, Phase, PhaseResult
from sae.recipe import Recipe
from sae.run import Run, this_process


@dataclass(frozen=True)
class Extras:
    """What a run does beside training.

    Attributes:
        pictures_every: Epochs between pictures in TensorBoard; 0 at the end only, -1 none at all.
        progress_bar: Show one.
        checkpoints: Keep the weights of each phase: the best, which go on, and the last state,
            from which a run that was broken off goes on.
        tensorboard: Write event files.
    """

    pictures_every: int = 5
    progress_bar: bool = True
    checkpoints: bool = True
    tensorboard: bool = True


class Experiment:
    """Train the stages, fine-tune the stack, test it, and write everything into a run folder.

    Args:
        model: The stack to train.
        data: Its data, set up.
        stages: Recipe of each stage.
        finetune: Recipe of the fine-tuning.
        seed: Seed of the run.
        run: The folder.
        new_trainer: Makes a Trainer from ``callbacks``, ``closing`` ones that come after all
            others, ``logger`` and ``max_epochs``.
        extras: What else to do.
    """

    def __init__(
        self,
        model: StackedAutoencoder,
        data: ImageDataModule,
        stages: Sequence[Recipe],
        finetune: Recipe,
        seed: int,
        run: Run,
        new_trainer: Callable[..., Trainer],
        extras: Extras,
    ) -> None:
        self.model, self.data, self.seed, self.run = model, data, seed, run
        self.new_trainer, self.extras = new_trainer, extras
        self.journal = RunJournal(run, extras.checkpoints, self._tell)
        self.pretrainer = GreedyPretrainer(
            stages, finetune, self._phase_trainer, seed, self.journal
        )

    def start(self) -> None:
        """Do it all, but for what was done before the run was broken off.

        What breaks it off now is raised; the manifest then says ``broken off``, or ``diverged``.
        """
        self._note_begin()
        data = self.data
        try:
            results = self.pretrainer.fit(
                self.model, data.train_dataloader(), data.val_dataloader()
            )
            figures = self._evaluate()
        except BaseException as error:
            diverged = isinstance(error, DivergedError)
            with suppress(OSError):  # a full disk takes no manifest: ``running`` will do, too
                self.run.update_manifest(status="diverged" if diverged else "broken off")
            raise
        self._note_end(results, figures)

    # A Trainer for each phase

    def _phase_trainer(self, phase: Phase, module: ReconstructionModule) -> Trainer:
        """A fresh Trainer with fresh callbacks."""
        loggers = self._loggers(phase.name)
        folder = self.run.phase_folder(phase.name) / "checkpoints"
        best, last = phase_checkpoints(folder, f"{phase.name}/val/loss")
        kept = self.extras.checkpoints
        return self.new_trainer(
            callbacks=[
                *([best] if kept else []),
                *self._training_callbacks(phase),
                *self._watching_callbacks(phase, loggers),
            ],
            closing=[last] if kept else [],
            logger=loggers,
            max_epochs=phase.recipe.epochs,
        )

    def _training_callbacks(self, phase: Phase) -> list[Callback]:
        """Those that decide when a phase ends and which of its weights go on."""
        monitor = f"{phase.name}/val/loss"
        callbacks: list[Callback] = []
        if self.extras.checkpoints:
            callbacks.append(Snapshot(partial(self.journal.snapshot, phase.name)))
        if phase.recipe.patience is not None:
            callbacks.append(EarlyStopping(monitor, patience=phase.recipe.patience))
        return [*callbacks, BestWeights()]

    def _watching_callbacks(self, phase: Phase, loggers: list[Logger]) -> list[Callback]:
        """Those that only look on."""
        callbacks: list[Callback] = [MetricsCSV(self.run.folder / METRICS)]
        if self.extras.progress_bar:
            callbacks.append(
                StageProgressBar(phase.name, phase.title, phase.epochs_before, phase.epochs_overall)
            )
        if self.extras.pictures_every >= 0:
            folder = self.run.phase_folder(phase.name)
            callbacks += pictures(phase.title, self.data, folder, self.extras.pictures_every)
        if loggers and phase.recipe.schedule != "constant":
            callbacks.append(LearningRateMonitor("epoch"))
        return callbacks

    def _loggers(self, phase: str) -> list[Logger]:
        if not self.extras.tensorboard:
            return []
        # Name and version given, or each Trainer would take the next version_N for itself.
        return [TensorBoardLogger(self.run.folder, name="", version=phase, default_hp_metric=False)]

    # Figures

    def _evaluate(self) -> dict[str, float]:
        quiet = {"callbacks": [], "enable_progress_bar": False}
        val_sse = validation_sse(self.new_trainer(logger=False, **quiet), self.model, self.data)
        self.journal.before_test()
        trainer = self.new_trainer(logger=self._loggers("finetune"), **quiet)
        figures = figures_on_test(trainer, self.model, self.data)
        if self.extras.checkpoints and not self.checkpoint.exists():
            # Without fine-tuning nobody has yet. Once the checkpoint is there, both are.
            self.journal.write_weights("finetune", self.model)
            trainer.save_checkpoint(self.checkpoint)
        return {"val_sse": val_sse, **figures}

    @property
    def checkpoint(self) -> Path:
        """The weights of the finished stack."""
        return self.run.phase_folder("finetune") / "checkpoints" / "best.ckpt"

    # What is written down

    def _note_begin(self) -> None:
        self.run.update_manifest(status="running", process=this_process())

    @rank_zero_only
    def _tell(self, line: str) -> None:
        print(line, flush=True)

    @rank_zero_only
    def _note_end(self, results: Sequence[PhaseResult], figures: dict[str, float]) -> None:
        """Write the summary and print it."""
        seconds = {result.phase.name: result.seconds for result in results}
        seconds["total"] = sum(seconds.values())
        sizes = self.model.sizes
        test = {key: value for key, value in figures.items() if key != "val_sse"}
        self.run.write_json(
            "summary.json",
            {
                "name": self.run.name,
                "data": self.data.name,
                "data_description": self.data.description,
                "sizes": sizes,
                "code_size": sizes[-1],
                "seed": self.seed,
                "val": summary.rounded({"sse": figures["val_sse"]}),
                "test": summary.rounded(test),
                "seconds": summary.rounded(seconds),
                "health": {r.phase.name: summary.rounded(r.health) for r in results},
            },
        )
        self.run.update_manifest(status="finished")
        heading = summary.heading(self.data.description, sizes, self.seed)
        print()
        print(summary.table(heading, sizes[-1], figures, seconds))
        print(summary.closing_lines(self.run.folder, self.checkpoint), flush=True)
