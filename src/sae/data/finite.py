"""Find the positions of values that are not finite; used only after one has been found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sae.data.loader import chunk_rows
from sae.data.rows import FileRows
from sae.errors import InputError

MOST_SHOWN = 3


def not_finite(rows: FileRows) -> InputError | None:
    """The error for values that are not finite: names the file, the first positions, the number.

    Rows and columns are counted from 0.

    Args:
        rows: The rows to search.

    Returns:
        The error to raise; None if all values are finite.
    """
    if rows.dtype.kind != "f":
        return None
    places: list[tuple[Path, int, int, float]] = []
    total, in_column = 0, torch.zeros(rows.shape[1], dtype=torch.long)
    step = chunk_rows(rows.shape[1])
    for first in range(0, len(rows), step):
        x = rows[first : first + step]
        odd = ~x.isfinite()
        total, in_column = total + int(odd.sum()), in_column + odd.sum(dim=0)
        for row, column in odd.nonzero()[: MOST_SHOWN - len(places)].tolist():
            places.append((*rows.place(first + row), column, float(x[row, column])))
    if not places:
        return None
    path = places[0][0]
    flat = "x" if len(rows.sample_shape) == 1 else "x.reshape(len(x), -1)"
    empty = (in_column == len(rows)).nonzero().flatten().tolist()
    if empty:
        names = ", ".join(map(str, empty[:MOST_SHOWN])) + ", …" * (len(empty) > MOST_SHOWN)
        found = f"none in any row of column{'s' * (len(empty) > 1)} {names}"
        remedy = f"leave out empty columns: numpy.delete({flat}, {empty}, axis=1)"
        return InputError(str(path), "finite numbers", found, remedy)
    listed = [_shown(place, rows) for place in places if place[0] == path]
    of_all = " in all files" if len(rows.paths) > 1 else ""
    found = f"{total:,} that are not{of_all}: {', '.join(listed)}" + ", …" * (total > len(listed))
    remedy = f"fill them in, or leave out their rows: x[numpy.isfinite({flat}).all(axis=1)]"
    return InputError(str(path), "finite numbers", found, remedy)


def _shown(place: tuple[Path, int, int, float], rows: FileRows) -> str:
    _, row, column, value = place
    if len(rows.sample_shape) == 1:
        return f"{value} in row {row} column {column}"
    index = tuple(map(int, np.unravel_index(column, rows.sample_shape)))
    return f"{value} in row {row} at {index}"
