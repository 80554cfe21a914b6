"""What ``predict`` leaves: the codes of the images as a table, written batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer
from torch import Tensor


class CodesCSV(Callback):
    """Write ``codes.csv`` while a Trainer predicts: no more than a batch is held in memory.

    A row an image, in the order of the data: ``label`` (where there are labels), ``sse`` and the
    code ``h0``, ``h1``, ….

    Args:
        folder: A new folder for it.
        class_names: What the labels 0, 1, … are called; empty where they are called so.

    Attributes:
        path: The file.
    """

    def __init__(self, folder: Path, class_names: Sequence[str] = ()) -> None:
        self.path, self._class_names = folder / "codes.csv", class_names
        self._sse, self._n = 0.0, 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the file."""
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
        """Append a batch's rows, below the names of the columns."""
        columns = {key: _array(value) for key, value in outputs.items()}
        self._sse += float(columns["sse"].sum(dtype=np.float64))
        self._n += len(columns["sse"])
        code = columns.pop("code")
        names = sorted(columns)
        formats = ["%d" if key == "label" else "%.6g" for key in names]
        formats += ["%.6g"] * code.shape[1]
        parts = [columns[key] for key in names]
        if self._class_names and "label" in names:
            place = names.index("label")
            cells = np.array([cell(name) for name in self._class_names], dtype=object)
            parts[place], formats[place] = cells[parts[place]], "%s"
        table = np.column_stack([*parts, code])
        with self.path.open("a", encoding="utf-8") as file:
            if batch_idx == 0:
                file.write(",".join([*names, *(f"h{k}" for k in range(code.shape[1]))]) + "\n")
            np.savetxt(file, table, fmt=formats, delimiter=",")

    def figures(self, n_features: int) -> dict[str, float]:
        """SSE per image and MSE per pixel over all images predicted."""
        sse = self._sse / self._n
        return {"sse": sse, "mse": sse / n_features}


def cell(words: str) -> str:
    """Words for a CSV, in quotes where they would end a cell."""
    quoted = '"' + words.replace('"', '""') + '"'
    return quoted if any(c in words for c in ',"\r\n') else words


def _array(value: Tensor) -> np.ndarray:
    value = value.float() if value.is_floating_point() else value  # numpy has no bf16
    return value.cpu().numpy()
