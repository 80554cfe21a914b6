"""One run from data to summary: stages, fine-tuning, test, and the files in the run's folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from sae.callbacks.checkpoints import BestWeights, Snapshot, phase_checkpoints
from sae.callbacks.metrics_csv import MetricsCSV, read_metrics
from sae.callbacks.phase_pictures import PhasePictures, draw, show, when, write
from sae.callbacks.progress import StageProgressBar
from sae.callbacks.step_losses import StepLosses
from sae.callbacks.whole_path import WholePath
from sae.data import SampleDataModule
from sae.data.prepare import FILE as PREPARATION
from sae.data.prepare import write_preparation
from sae.data.remarks import too_fast
from sae.devices import placed
from sae.errors import DivergedError
from sae.figure import Measured
from sae.look.knn import to_compare
from sae.look.pca import PCA, fit_pca, pca_sse
from sae.look.scores import sample_errors
from sae.pictures import losses, scatter
from sae.pictures.gallery import ours
from sae.pictures.picture import Picture
from sae.pictures.scene import Probe, Scene
from sae.pictures.style import render
from sae.run import summary
from sae.run.board import RunBoard, RunLogger
from sae.run.folder import Run, this_process
from sae.run.journal import METRICS, RunJournal
from sae.run.reference import write_errors, write_pca
from sae.run.start import StartingWeights
from sae.run.trackers import Trackers
from sae.text import cell
from sae.training.evaluate import (
    CodesSeen,
    denoises,
    errors_of,
    figures_on_test,
    figures_on_validation,
)
from sae.training.handover import CODES_FOLDER, Codes, CodesInMemory, CodesNotKept, CodesOnDisk
from sae.training.module import TrainingModule
from sae.training.plan import Phase, PhaseResult
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder


@dataclass(frozen=True)
class Extras:
    """What a run does in addition to training.

    Attributes:
        pictures_every: Epochs between pictures in TensorBoard; 0 for the end only, -1 for none.
        progress_bar: Whether to show a progress bar.
        checkpoints: Whether to save the weights of each phase: the best ones, which the next phase
            starts from, and the last state, for resuming.
        tensorboard: Whether to write event files.
        pictures: The pictures to draw.
        projector: Whether to put the codes into TensorBoard's embedding projector.
        step_losses_every: Steps between logged losses of single steps; 0 for none.
        cache: Where to keep the codes that the next stage trains on: memory, disk or none.
        trackers: Loggers that show all phases as one run.
        test: Whether to measure the test images at the end. A search over runs does not, because
            test images must choose nothing.
        after_phase: Called with the result of each phase; an error that it raises ends the run.
    """

    pictures_every: int = 10
    progress_bar: bool = True
    checkpoints: bool = True
    tensorboard: bool = True
    pictures: Sequence[Picture] = field(default_factory=ours)
    projector: bool = False
    step_losses_every: int = 0
    cache: str = "memory"
    trackers: Sequence[Logger] = ()
    test: bool = True
    after_phase: Callable[[PhaseResult], None] | None = None


class PrunedError(Exception):
    """Raised to end a run on purpose, because it is worse than others."""


class Experiment:
    """Train the stages, fine-tune the stack, test it, and write everything into a run folder.

    Args:
        model: The stack to train.
        data: Its data, set up.
        stages: Recipe of each stage.
        finetune: Recipe of the fine-tuning.
        seed: Seed of the run.
        run: The folder.
        new_trainer: Makes a Trainer from ``callbacks``, ``closing`` (callbacks that come after all
            others), ``logger`` and ``max_epochs``.
        extras: What to do in addition to training.
        head: Recipe of the head's own training; None for no such training.
        start: Initial weights from an earlier run; None for random weights.
    """

    def __init__(
        self,
        model: StackedAutoencoder,
        data: SampleDataModule,
        stages: Sequence[Recipe],
        finetune: Recipe,
        seed: int,
        run: Run,
        new_trainer: Callable[..., Trainer],
        extras: Extras,
        head: Recipe | None = None,
        start: StartingWeights | None = None,
    ) -> None:
        self.start_from = start
        self.model, self.data, self.seed, self.run = model, data, seed, run
        self.new_trainer, self.extras = new_trainer, extras
        self.journal = RunJournal(run, extras.checkpoints, self._tell, extras.after_phase)
        self.trackers = Trackers(extras.trackers, self._tell)
        self.pretrainer = GreedyPretrainer(
            stages,
            finetune,
            self._phase_trainer,
            seed,
            self.journal,
            self._codes(),
            head,
            None if start is None else start.weights,
        )
        model.image_shape = data.image_shape
        model.suit(data.preparation)
        self.phases = self.pretrainer.plan(model)
        self.board = RunBoard(run.folder) if extras.tensorboard else None
        self.probe = Probe(data, max(2, *model.sizes[1:])) if extras.pictures_every >= 0 else None

    def start(self) -> dict[str, Measured]:
        """Run everything; in a resumed run, everything that is not finished yet.

        Errors are raised; the manifest then has the status ``interrupted``, ``diverged`` or
        ``pruned``.

        Returns:
            The figures on the validation images.
        """
        self._note_begin()
        data = self.data
        try:
            train = data.train_dataloader()
            seen = train.survey()
            data.check_finite(seen)
            for line in (*data.remarks(seen), *too_fast(seen, self._rates())):
                self._tell(line)
            own = data.labelled_dataloader() if self.model.objective.needs_labels else None
            if own is not None and data.labelled is not None:
                self._tell(self._who_chooses(len(own.x), len(data.val)))
            if self.start_from is not None:
                for line in self.start_from.lines(data.preparation):
                    self._tell(line)
            if not self.model.objective.validation_chooses:
                self._tell(
                    "fine-tune: the weights of the last epoch are kept, because the validation "
                    "loss is not the loss that is minimised"
                )
            results = self.pretrainer.fit(
                self.model, train, data.val_dataloader(), own, data.n_classes
            )
            test, val = self._evaluate()
            self._draw(results)
            data.check_unchanged()
        except BaseException as error:
            status = "diverged" if isinstance(error, DivergedError) else "interrupted"
            status = "pruned" if isinstance(error, PrunedError) else status
            with suppress(OSError):  # on a full disk it stays ``running``
                self.run.update_manifest(status=status)
            self.trackers.end("failed", {}, self.run.folder)
            raise
        self._note_end(results, test, val)
        return val

    def _who_chooses(self, n: int, n_val: int) -> str:
        """Return a line with the number of training labels, and of those that choose the epoch."""
        recipes = {"head": self.pretrainer.head, "finetune": self.pretrainer.finetune_recipe}
        trained = {name: r for name, r in recipes.items() if r is not None and r.epochs}
        choosing = [name for name, r in trained.items() if r.keep == "best" or r.patience]
        line = f"data: {n:,} labels are used for training"
        if not choosing:
            return line
        return (
            f"{line}; the labels of {n_val:,} validation samples choose the best epoch "
            f"(not with {' '.join(f'--{name}.keep last' for name in choosing)})"
        )

    def _rates(self) -> dict[str, float]:
        """Return Adam's learning rates for the first layer, by option."""
        recipes = {"pretrain.lr": self.pretrainer.stages[0]}
        recipes["finetune.lr"] = self.pretrainer.finetune_recipe
        trained = {key: r for key, r in recipes.items() if r.epochs and r.optimizer != "sgd"}
        return {key: recipe.lr for key, recipe in trained.items()}

    def _codes(self) -> Codes:
        """Return how codes are passed from stage to stage."""
        if self.extras.cache == "disk":
            return CodesOnDisk(self.run.folder / CODES_FOLDER, self._tell)
        return CodesNotKept() if self.extras.cache == "none" else CodesInMemory()

    # A Trainer for each phase

    def _phase_trainer(self, phase: Phase, module: TrainingModule) -> Trainer:
        """Return a new Trainer with new callbacks."""
        loggers = self._loggers(phase.name)
        folder = self.run.phase_folder(phase.name) / "checkpoints"
        monitor = f"{phase.name}/{module.objective.monitor}"
        best, last = phase_checkpoints(folder, monitor if phase.recipe.keep == "best" else None)
        kept = self.extras.checkpoints
        return self._trainer(
            callbacks=[
                *([best] if kept else []),
                *self._training_callbacks(phase, module),
                *self._watching_callbacks(phase, module, loggers),
            ],
            closing=[last] if kept else [],
            logger=loggers,
            max_epochs=phase.recipe.epochs,
        )

    def _trainer(self, **kwargs: Any) -> Trainer:
        """Return a Trainer whose root folder is that of the run.

        On SLURM a Trainer loads any ``hpc_ckpt_N.ckpt`` that it finds in its root folder.
        """
        return self.new_trainer(default_root_dir=str(self.run.folder), **kwargs)

    def _training_callbacks(self, phase: Phase, module: TrainingModule) -> list[Callback]:
        """Return the callbacks that decide when a phase ends and which weights are kept."""
        monitor = f"{phase.name}/{module.objective.monitor}"
        callbacks: list[Callback] = []
        if self.extras.checkpoints:
            callbacks.append(Snapshot(partial(self._snapshot, phase.name)))
        if phase.recipe.patience is not None:
            callbacks.append(EarlyStopping(monitor, patience=phase.recipe.patience))
        return [*callbacks, BestWeights()]

    def _snapshot(self, phase: str, epochs: int, seconds: float) -> dict[str, Any]:
        """Return our entry in a checkpoint; raise an error if the data have changed."""
        self.data.check_unchanged()
        return self.journal.snapshot(phase, epochs, seconds)

    def _watching_callbacks(
        self, phase: Phase, module: TrainingModule, loggers: list[Logger]
    ) -> list[Callback]:
        """Return the callbacks that only log, draw or show progress."""
        callbacks: list[Callback] = [MetricsCSV(self.run.folder / METRICS)]
        if loggers:
            callbacks.append(WholePath(phase.epochs_before))
        if self.extras.step_losses_every:
            callbacks.append(StepLosses(self.extras.step_losses_every))
        if self.extras.progress_bar:
            callbacks.append(
                StageProgressBar(phase.name, phase.title, phase.epochs_before, phase.epochs_overall)
            )
        if self.probe is not None and phase.name != "head":  # the head does not change the stack
            scene = self._scene(self.probe, module, phase.title)
            folder = self.run.phase_folder(phase.name)
            callbacks.append(
                PhasePictures(scene, folder, self.extras.pictures_every, self.extras.pictures)
            )
        if loggers and phase.recipe.schedule != "constant":
            callbacks.append(LearningRateMonitor("epoch"))
        return callbacks

    def _loggers(self, phase: str) -> list[Logger]:
        ours = [RunLogger(self.run.phase_folder(phase))] if self.extras.tensorboard else []
        return [*ours, *self.trackers.of_phase(self.journal.steps)]

    def _scene(self, probe: Probe, module: TrainingModule, title: str) -> Scene:
        """Return what the pictures of a phase show, with the trained stages below it."""
        below = len(module.below) or len(self.model.stack) * (module is self.model)
        trained = [k for k in range(1, below + 1) if self.pretrainer.stages[k - 1].epochs > 0]
        title = title.replace("fine-tune ", "fine-tuned stack ")
        return Scene(module, self.model.stack, probe, title, trained)

    # Figures

    def _evaluate(self) -> tuple[dict[str, Measured], dict[str, Measured]]:
        """Return figures on the test images, and on the validation images."""
        quiet: dict[str, Any] = {"callbacks": [], "enable_progress_bar": False, "profiler": None}
        trainer = self._trainer(logger=False, **quiet)
        val = figures_on_validation(trainer, self.model, self.data)
        test: dict[str, Measured] = {}
        if self.extras.test:
            trainer = self._trainer(logger=False, **quiet)
            # Only the main process computes PCA and compares.
            main = trainer.is_global_zero and self.model.objective.reconstructs
            pca = self.probe.pca if main and self.probe is not None else None
            if main and pca is None and denoises(self.model, self.data):  # it is saved with the run
                train = self.data.train_dataloader()
                pca = fit_pca(to_compare(train), self.model.sizes[-1], train.has_gaps)
            look = None if self.probe is None else self._draw_codes
            test = figures_on_test(trainer, self.model, self.data, pca=pca, look=look)
            self._write_tables()
            if main and self.extras.checkpoints:
                self._write_reference(trainer.strategy.root_device, pca)
        if self.extras.checkpoints and not self.checkpoint.exists():
            # Without fine-tuning they are not written yet. The checkpoint is written last.
            self.journal.write_weights("finetune", self.model)
            trainer.save_checkpoint(self.checkpoint)
        return test, val

    def _write_reference(self, device: torch.device, pca: PCA | None) -> None:
        """Write the files that new samples are compared with, if the run reconstructs."""
        with placed(self.model, device):
            errors = sample_errors(self.model.net, self.data.val_dataloader().whole())
        write_errors(self.run.folder, errors)
        if pca is not None and denoises(self.model, self.data):
            write_pca(self.run.folder, pca, self.model.sizes[-1])

    @rank_zero_only
    def _write_tables(self) -> None:
        """Write the results of the test that are tables."""
        model, data = self.model, self.data
        for name, rows in model.objective.tables(
            model.tables, len(data.test), data.class_names
        ).items():
            lines = [",".join(cell(str(value)) for value in row) for row in rows]
            self.run.write_text(f"test_{name}.csv", "\n".join([*lines, ""]))

    @rank_zero_only
    def _draw(self, results: Sequence[PhaseResult]) -> None:
        """Draw the pictures of the finished stack, and the losses of all phases."""
        if self.probe is None:
            return
        boards = [self.board.logger] if self.board is not None else []
        scene, pictures = self._finished_scene(self.probe, results)
        draw(pictures, scene, self.run.phase_folder("finetune"), boards)
        if results:
            self._draw_path(self.probe, results, boards)
        if self.board is not None and self.extras.projector:
            images = torch.from_numpy(self.probe.as_images(self.probe.images))
            names = self.probe.named(self.probe.labels)
            self.board.show_codes(torch.from_numpy(scene.codes()), names, images)

    def _finished_scene(
        self, probe: Probe, results: Sequence[PhaseResult]
    ) -> tuple[Scene, Sequence[Picture]]:
        """Return the finished stack as a scene, and the pictures that are not drawn yet."""
        last = results[-1] if results else None
        if last is not None and last.phase.name == "finetune":
            scene = self._scene(probe, self.model, last.phase.title)
            best = last.checkpoint is not None and last.phase.recipe.keep == "best"
            scene.when = when(last.epochs, best)
            return scene, [each for each in self.extras.pictures if not each.of_phases]
        scene = self._scene(probe, self.model, f"stack {self._network}")
        scene.remember_stages()
        return scene, self.extras.pictures

    def _draw_path(
        self, probe: Probe, results: Sequence[PhaseResult], boards: Sequence[RunLogger]
    ) -> None:
        phases = [(r.phase.name, r.phase.title, r.phase.epochs_before) for r in results]
        size = min(self.model.sizes[-1], len(probe.pca.components))
        val, errors = self.data.val_dataloader().whole(), errors_of(self.model)
        sse = pca_sse(probe.pca, val, size, errors)
        metrics, pca = self.run.folder / METRICS, (f"PCA-{size}\nof the pixels", sse)
        numbers = losses.numbers(read_metrics(metrics), phases, self.data.description, pca)
        image = render(losses.draw(numbers), self.model.words)
        write(self.run.folder, "losses", numbers, image)
        for board in boards:
            show(board, "path/losses", image)

    def _draw_codes(self, seen: CodesSeen) -> None:
        """The codes of the test samples, coloured by class: on the main process only."""
        data = self.data
        names = [str(name) for name in data.class_names]
        numbers = scatter.numbers(
            seen.codes, seen.labels, seen.n_samples, names, self._network, data.name
        )
        image = render(scatter.draw(numbers), self.model.words)
        write(self.run.folder, scatter.NAME, numbers, image)
        if self.board is not None:
            show(self.board.logger, f"test/{scatter.NAME}", image)

    @property
    def _network(self) -> str:
        """The network in one line."""
        return self.model.objective.path(self.model.sizes)

    @property
    def checkpoint(self) -> Path:
        """The checkpoint of the finished stack."""
        return self.run.phase_folder("finetune") / "checkpoints" / "best.ckpt"

    # Writing results

    def _note_begin(self) -> None:
        self.run.update_manifest(status="running", process=this_process())
        self._write_preparation()
        if self.board is not None:
            config = (self.run.folder / "config.yaml").read_text(encoding="utf-8")
            names = [(phase.name, phase.title) for phase in self.phases]
            self.board.begin(config, names, self.model.objective, self.model.words)
        if self.trackers.all:
            settings = self.run.manifest.get("settings", {})
            noted = self.trackers.begin(settings, self.run.folder / "config.yaml")
            self.run.update_manifest(trackers=noted)

    @rank_zero_only
    def _write_preparation(self) -> None:
        """Write the preparation, which a trained network needs in addition to its weights."""
        write_preparation(self.run.folder / PREPARATION, self.data.preparation)

    @rank_zero_only
    def _tell(self, line: str) -> None:
        print(line, flush=True)

    @rank_zero_only
    def _note_end(
        self,
        results: Sequence[PhaseResult],
        test: dict[str, Measured],
        val: dict[str, Measured],
    ) -> None:
        """Write the summary and print it."""
        seconds = {result.phase.name: result.seconds for result in results}
        seconds["total"] = sum(seconds.values())
        sizes = self.model.sizes
        shown = {**test, **{f"val_{name}": measured for name, measured in val.items()}}
        self.run.write_json(
            "summary.json",
            {
                "name": self.run.name,
                "data": self.data.name,
                "data_description": self.data.description,
                "sizes": sizes,
                "network": self._network,
                "code_size": sizes[-1],
                "seed": self.seed,
                "val": summary.rounded({key: each.value for key, each in val.items()}),
                "test": summary.rounded({key: each.value for key, each in test.items()}),
                "seconds": summary.rounded(seconds),
                "health": {r.phase.name: summary.rounded(r.health) for r in results},
                "table": summary.rows(shown, seconds, self.model.words),
            },
        )
        heading = summary.heading(self.data.description, self._network, self.seed)
        table = summary.table(heading, shown, seconds, self.model.words)
        tags = {f"test/{key}": each.value for key, each in test.items()}
        tags |= {f"val/{key}": each.value for key, each in val.items()}
        if self.board is not None:
            self.board.end(self.run.manifest.get("settings", {}), tags, table)
        self.run.update_manifest(status="finished")
        self.trackers.end("success", tags, self.run.folder)
        print()
        print(table)
        for line in summary.beside_pca(test, sizes[-1], self.model.words):
            print(line)
        print(summary.closing_lines(self.run.folder, self.checkpoint), flush=True)
