"""The table that ``predict`` writes: the codes of all images, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from sae.figure import Measured
from sae.text import cell
from sae.training.stacked import StackedAutoencoder


class CodesCSV(Callback):
    """Write ``codes.csv`` while a Trainer predicts, with only one batch in memory.

    There is one row per image, in the order of the data: ``label`` (if there are labels), the
    predictions of the objective (``sse``; ``predicted`` and ``probability``), and the code ``h0``,
    ``h1``, ….

    Args:
        folder: A new folder for the file.
        class_names: Names of the labels 0, 1, …; empty if they have none.

    Attributes:
        path: The file.
    """

    def __init__(self, folder: Path, class_names: Sequence[str] = ()) -> None:
        self.path, self._class_names = folder / "codes.csv", class_names
        self._sums: dict[str, float] = {}
        self._n = 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Create the file."""
        self.path.write_text("", encoding="utf-8")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Append the rows of a batch; before the first one, the header."""
        columns = {key: _array(value) for key, value in outputs.items()}
        code = columns.pop("code")
        self._n += len(code)
        for key, values in columns.items():
            if values.dtype.kind == "f":
                self._sums[key] = self._sums.get(key, 0.0) + float(values.sum(dtype=np.float64))
        names = sorted(columns)
        whole = [columns[key].dtype.kind != "f" for key in names]
        formats = ["%d" if number else "%.6g" for number in whole] + ["%.6g"] * code.shape[1]
        parts = [columns[key] for key in names]
        cells = np.array([cell(name) for name in self._class_names], dtype=object)
        for place in np.flatnonzero(whole) if len(cells) else ():  # these are classes
            parts[place], formats[place] = cells[parts[place]], "%s"
        table = np.column_stack([*parts, code])
        with self.path.open("a", encoding="utf-8") as file:
            if batch_idx == 0:
                file.write(",".join([*names, *(f"h{k}" for k in range(code.shape[1]))]) + "\n")
            np.savetxt(file, table, fmt=formats, delimiter=",")

    def measured(self, model: StackedAutoencoder) -> dict[str, Measured]:
        """Return the means over all samples of the predictions that are figures of the model."""
        means = {key: torch.tensor(total / self._n) for key, total in self._sums.items()}
        means = model.objective.finish(model.net, means)
        named = model.figures()
        return {
            key: Measured(figure, means[key].item())
            for key, figure in named.items()
            if key in means
        }


def _array(value: Tensor) -> np.ndarray:
    value = value.float() if value.is_floating_point() else value  # numpy has no bf16
    return value.cpu().numpy()
