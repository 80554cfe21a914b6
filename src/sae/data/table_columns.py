"""Describe each column of a table in one line."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from sae.data.source import Source
from sae.data.table_source import NUMBER, TEXT, TableSource, distinct, numbers_of

CHUNK_ROWS = 2**16
# Most columns that are listed, and most values that are listed for one column.
MOST_LISTED, MOST_VALUES = 60, 6
# Counting stops at this number of different texts.
MOST_COUNTED = 10_000


# Common names of columns that are not inputs, and the option for each.
LIKELY = {
    **dict.fromkeys(("id", "ids", "index", "uuid"), "--data.id"),
    **dict.fromkeys(("label", "labels", "class", "target", "y"), "--data.label"),
}


@dataclass
class _Seen:
    """The range and the values of one column."""

    low: float = np.inf
    high: float = -np.inf
    missing: int = 0
    values: set[str] = field(default_factory=set)

    def line(self, kind: str) -> str:
        """One line about the column."""
        if kind == NUMBER:
            line = (
                f"number, {self.low:.6g} to {self.high:.6g}" if self.low <= self.high else "number"
            )
            line += ", constant" if self.low == self.high else ""
        elif kind == TEXT:
            names = sorted(self.values)
            more = ", …" if len(names) > MOST_VALUES else ""
            least = "at least " if len(names) >= MOST_COUNTED else ""
            line = f"text, {least}{len(names):,} different: {', '.join(names[:MOST_VALUES])}{more}"
        else:
            line = kind
        return line + (f", {self.missing:,} missing" if self.missing else "")


def column_lines(source: Source, chosen: Collection[str]) -> list[str]:
    """One line per column, in the order of the file: type, range or values, missing values.

    Args:
        source: The table.
        chosen: The columns that are inputs; the lines of the others say ``not an input``.
    """
    if not isinstance(source, TableSource):
        return []
    names = list(source.types)[:MOST_LISTED]
    seen = {name: _Seen() for name in names}
    for frame in source.frames(CHUNK_ROWS, names):
        for name, each in seen.items():
            column = frame.column(name)
            each.missing += column.null_count
            if source.types[name] == NUMBER:
                numbers = numbers_of(column)
                numbers = numbers[~np.isnan(numbers)]
                each.missing = each.missing + len(column) - column.null_count - len(numbers)
                if len(numbers):
                    each.low = min(each.low, float(numbers.min()))
                    each.high = max(each.high, float(numbers.max()))
            elif source.types[name] == TEXT and len(each.values) < MOST_COUNTED:
                each.values.update(map(str, distinct(column)))
    lines = []
    for name, each in seen.items():
        line = f"column {name}: {each.line(source.types[name])}"
        if name not in chosen:
            line += "; not an input"
        elif name.lower() in LIKELY:
            line += f"; an input: if it should not be one, add {LIKELY[name.lower()]} {name}"
        lines.append(line)
    more = len(source.types) - len(names)
    return [*lines, f"and {more:,} more columns"] if more else lines
