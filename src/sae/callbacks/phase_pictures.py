"""The pictures of a phase: when they are drawn, and where they go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from tensorboard.compat.proto.summary_pb2 import Summary

from sae.pictures.gallery import ours
from sae.pictures.numbers import Numbers, save
from sae.pictures.picture import Picture
from sae.pictures.scene import Scene
from sae.pictures.style import PNG, render
from sae.training.module import TrainingModule


class PhasePictures(Callback):
    """Draw some pictures in TensorBoard every few epochs, and all at the end, also as files.

    During the training only pictures with ``slides = True`` are drawn. Each picture is written as a
    PNG, with its numbers as ``.npz``; see :mod:`sae.pictures`.

    Args:
        scene: What the pictures of this phase show.
        folder: Folder of the files.
        pictures: The pictures; all of ours if left out.
        every_n_epochs: Draw after every so many epochs; 0 or less for the end only.
    """

    looks_at_epochs_only = True  # see sae.training.steps

    def __init__(
        self,
        scene: Scene,
        folder: Path,
        every_n_epochs: int = 10,
        pictures: Sequence[Picture] | None = None,
    ) -> None:
        self.scene, self.folder, self.every_n_epochs = scene, Path(folder), every_n_epochs
        everything = ours() if pictures is None else pictures
        self.pictures = [picture for picture in everything if picture.of_phases]

    @rank_zero_only
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remember the weights at the start of the phase, also if it is resumed.

        This works because the Trainer loads a checkpoint after this call.
        """
        if stage == "fit":
            with looking(self.scene.module):
                self.scene.remember()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw in TensorBoard, if a drawing is due."""
        epoch = trainer.current_epoch + 1
        due = self.every_n_epochs > 0 and epoch % self.every_n_epochs == 0
        if due and epoch != trainer.max_epochs and tensorboards(trainer.loggers):
            self.scene.when = when(epoch)
            self._draw(trainer, [picture for picture in self.pictures if picture.slides], None)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw all pictures, with the weights that are kept."""
        keeper = trainer.checkpoint_callback
        best = bool(getattr(keeper, "best_model_path", "") and getattr(keeper, "monitor", None))
        self.scene.when = when(trainer.current_epoch, best)
        self._draw(trainer, self.pictures, self.folder)

    @rank_zero_only
    def _draw(self, trainer: Trainer, pictures: Iterable[Picture], folder: Path | None) -> None:
        draw(pictures, self.scene, folder, tensorboards(trainer.loggers), trainer.global_step)


@contextmanager
def looking(module: TrainingModule) -> Iterator[None]:
    """Set a network to eval mode without gradients; its mode is restored afterwards."""
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(training)


def draw(
    pictures: Iterable[Picture],
    scene: Scene,
    folder: Path | None,
    boards: Iterable[TensorBoardLogger] = (),
    step: int = 0,
) -> None:
    """Draw the pictures that are defined for a scene.

    Args:
        pictures: The pictures.
        scene: What they show.
        folder: Folder for PNGs and numbers; None to write no files.
        boards: TensorBoards to show them in, under the name of the phase.
        step: Step on TensorBoard's slider.
    """
    scene.look_again()
    with looking(scene.module):
        for picture in pictures:
            if picture.needs_decoder and not scene.module.objective.reconstructs:
                continue
            numbers = picture.numbers(scene)
            if numbers is None:
                continue
            image = render(picture.draw(numbers), scene.module.words)
            if folder is not None:
                write(folder, picture.name, numbers, image)
                if (table := picture.table(numbers, scene)) is not None:
                    write_table(folder / f"{picture.name}.csv", *table)
            for board in boards:
                show(board, f"{scene.module.phase}/{picture.name}", image, step)


def write(folder: Path, name: str, numbers: Numbers, image: PNG) -> None:
    """Write a picture as ``NAME.png`` and its numbers as ``NAME.npz``."""
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / f"{name}.npz", numbers)
    (folder / f"{name}.png").write_bytes(image.content)


def show(board: TensorBoardLogger, tag: str, image: PNG, step: int = 0) -> None:
    """Show a picture in TensorBoard, without encoding it again, as ``add_image`` would."""
    shown = Summary.Image(
        height=image.height,
        width=image.width,
        colorspace=3,
        encoded_image_string=image.content,
    )
    summary = Summary(value=[Summary.Value(tag=tag, image=shown)])
    board.experiment.file_writer.add_summary(summary, step)


def write_table(path: Path, heads: list[str], rows: NDArray[Any]) -> None:
    """Write a CSV; the first column may hold words or whole numbers, the others numbers."""
    words = rows.dtype == object
    first = "%s" if words else "%d" if (rows[:, 0] % 1 == 0).all() else "%.6g"
    formats, head = [first, *["%.6g"] * (len(heads) - 1)], ",".join(heads)
    np.savetxt(path, rows, formats, delimiter=",", header=head, comments="", encoding="utf-8")


def when(epochs: int, best: bool = False) -> str:
    """Return ``after 1 epoch``, or ``the best of 5 epochs`` for the best weights."""
    return f"{'the best of' if best else 'after'} {epochs} epoch{'s' * (epochs != 1)}"


def tensorboards(loggers: Iterable[Logger]) -> list[TensorBoardLogger]:
    """Return the loggers that can show pictures."""
    return [logger for logger in loggers if isinstance(logger, TensorBoardLogger)]
