"""What ``predict`` leaves: the codes of the images as a table, written batch by batch."""

from __future__ import annotations

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

    Attributes:
        path: The file.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "codes.csv"
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
        table = np.column_stack([*(columns[key] for key in names), code])
        formats = ["%d" if key == "label" else "%.6g" for key in names]
        formats += ["%.6g"] * code.shape[1]
        with self.path.open("a", encoding="utf-8") as file:
            if batch_idx == 0:
                file.write(",".join([*names, *(f"h{k}" for k in range(code.shape[1]))]) + "\n")
            np.savetxt(file, table, fmt=formats, delimiter=",")

    def figures(self, n_features: int) -> dict[str, float]:
        """SSE per image and MSE per pixel over all images predicted."""
        sse = self._sse / self._n
        return {"sse": sse, "mse": sse / n_features}


def _array(value: Tensor) -> np.ndarray:
    value = value.float() if value.is_floating_point() else value  # numpy has no bf16
    return value.cpu().numpy()
