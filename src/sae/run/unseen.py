"""Values of new samples that no training row has: how many, and where the first one is."""

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
    """Counts them over all parts of a file, by column. A network is given them as missing values.

    Args:
        preparation: That of the run. Of one without categories nothing is counted.
    """

    def __init__(self, preparation: Preparation) -> None:
        table = getattr(preparation, "table", [])
        # Also of columns of texts that had one value alone: they are no inputs, yet not the same.
        self._coded = {k: each.name for k, each in enumerate(table) if each.values}
        self._found: dict[str, _Column] = {}

    def add(self, raw: Tensor, values: NDArray[Any], first_row: int) -> None:
        """Look through more rows.

        Args:
            raw: They as numbers, below 0 where a category is none of the run's: (n, columns).
            values: The same as they were given.
            first_row: Number of the first of them.
        """
        for k, name in self._coded.items():
            rows = np.flatnonzero((raw[:, k] < 0).numpy())
            if not len(rows):
                continue
            first = int(rows[0])
            start = _Column(0, first_row + first, values[first, k])
            self._found.setdefault(name, start).count += len(rows)

    def __str__(self) -> str:
        """A sentence without its end; nothing where there are none."""
        parts = [
            f"{each.count:,} in column {name} (the first is {show(str(each.value))} in row "
            f"{each.row:,})"
            for name, each in self._found.items()
        ]
        if not parts:
            return ""
        return f"values that no training row has, which count as missing: {'; '.join(parts)}"
