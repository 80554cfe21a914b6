"""What ``predict`` leaves: the codes of the images as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch


def write(batches: Any, folder: Path) -> Path:
    """Write ``codes.csv``.

    Args:
        batches: What ``predict_step`` gave, a mapping for each batch.
        folder: A new folder for it.

    Returns:
        The file: a row an image, in the order of the data: ``label`` (where there are labels),
        ``sse`` and the code ``h0``, ``h1``, ….
    """
    joined = {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}
    columns = {
        key: (value.float() if value.is_floating_point() else value).numpy()  # numpy has no bf16
        for key, value in joined.items()
    }
    code = columns.pop("code")
    names = sorted(columns)
    table = np.column_stack([*(columns[key] for key in names), code])
    formats = ["%d" if key == "label" else "%.6g" for key in names] + ["%.6g"] * code.shape[1]
    header = ",".join([*names, *(f"h{k}" for k in range(code.shape[1]))])
    path = folder / "codes.csv"
    np.savetxt(path, table, fmt=formats, delimiter=",", header=header, comments="")
    return path


def figures(batches: Any, n_features: int) -> dict[str, float]:
    """SSE per image and MSE per pixel over all images predicted."""
    sse = float(torch.cat([batch["sse"] for batch in batches]).double().mean())
    return {"sse": sse, "mse": sse / n_features}
