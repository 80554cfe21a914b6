"""Unknown categories: values of new samples that no training row has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sae.data.prepare import Preparation
from sae.errors import show


@dataclass
class _Column:
    count: int
    row: int
    value: Any


class Unseen:
    """Counts unknown categories over all parts of a file. A network gets them as missing values.

    Args:
        preparation: Preparation of the run; without categories nothing is counted.
    """

    def __init__(self, preparation: Preparation) -> None:
        table = getattr(preparation, "table", [])
        # Includes text columns with a single value: they are not inputs, but may differ now.
        self._coded = {k: each.name for k, each in enumerate(table) if each.values}
        self._found: dict[str, _Column] = {}

    def add(self, raw: Tensor, values: NDArray[Any], first_row: int) -> None:
        """Count more rows.

        Args:
            raw: The rows as numbers, below 0 for an unknown category: (n, columns).
            values: The original values, (n, columns).
            first_row: Number of the first row.
        """
        for k, name in self._coded.items():
            rows = np.flatnonzero((raw[:, k] < 0).numpy())
            if not len(rows):
                continue
            first = int(rows[0])
            start = _Column(0, first_row + first, values[first, k])
            self._found.setdefault(name, start).count += len(rows)

    def __str__(self) -> str:
        """Return a sentence without a full stop; empty if nothing is unknown."""
        parts = [
            f"{each.count:,} in column {name} (the first is {show(str(each.value))} in row "
            f"{each.row:,})"
            for name, each in self._found.items()
        ]
        if not parts:
            return ""
        return f"values that no training row has, which count as missing: {'; '.join(parts)}"
