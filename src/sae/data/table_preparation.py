"""The preparation of a table: scales numbers by column, and encodes categories one-hot.

It is fitted only on training samples. Features begin with the numbers, in the order of the table.
Then each column of categories has one feature for each value in the training samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sae.data.loader import chunk_rows
from sae.data.prepare import Preparation
from sae.data.rows import Rows, take
from sae.data.scaling import (
    LEAST_APART,
    LEAST_SPREAD,
    has_heavy_tails,
    of_most,
    of_quartiles,
    squash,
    unsquash,
)
from sae.data.table_source import few_of
from sae.errors import InputError, check_choice, show
from sae.nets.columns import Columns, is_missing, marked
from sae.seeding import derive_generator
from sae.text import of_samples

SCALINGS = ("auto", "minmax", "standard", "robust", "squashed", "none")
MISSINGS = ("error", "mask", "mean")
CATEGORIES = "categories"
NUMBER, CATEGORY, CONSTANT = "number", "category", "constant"
# Most rows that are used to compute quantiles.
QUANTILE_ROWS = 100_000
# Columns in [0, 1] are not scaled if each has at least this range.
LEAST_WIDTH = 0.5


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        name: The name of the column.
        kind: ``number``, ``category``, or ``constant`` for a column that is left out.
        scaling: For numbers: ``minmax``, ``standard``, ``robust``, ``squashed`` or ``none``.
        values: For categories: the values with the indices 0, 1, ….
    """

    name: str
    kind: str = NUMBER
    scaling: str = "none"
    values: Sequence[Any] = ()

    @property
    def is_text(self) -> bool:
        """Whether the categories are texts."""
        return any(isinstance(value, str) for value in self.values)


class TablePreparation(Preparation):
    """Scales numbers by column and encodes categories; created by :meth:`fit`.

    With ``mask`` a missing value is marked (:mod:`sae.nets.columns`). With ``mean`` it is replaced
    by the mean of its column, or by the most frequent category. A category that is not in the
    training samples is treated as missing.

    Args:
        columns: The columns of the table in order: :class:`Column`, or mappings of its attributes.
        missing: ``error``, ``mask`` or ``mean``.
        passed_over: Names of other columns that a file may have: label, id, and ignored columns.
        named: Whether the columns have names; false for the columns of an array.
        bounded: Whether all numbers of the training samples are in [0, 1] without scaling.
    """

    words = staticmethod(of_samples)
    shift: Tensor  # subtracted from each raw column, (raw columns,)
    scale: Tensor  # divides each raw column, (raw columns,); 1 for categories
    fill: Tensor  # (raw columns,): the mean, the most frequent category, or the constant

    def __init__(
        self,
        columns: Sequence[Column | Mapping[str, Any]],
        missing: str = "error",
        passed_over: Sequence[str] = (),
        named: bool = True,
        bounded: bool = False,
    ) -> None:
        super().__init__()
        check_choice("missing", missing, MISSINGS)
        self.table = [each if isinstance(each, Column) else Column(**each) for each in columns]
        self.missing, self.passed_over, self.named = missing, tuple(passed_over), named
        self.columns = tuple(column.name for column in self.table) if named else None
        self.bounded = bounded
        n = len(self.table)
        self.register_buffer("shift", torch.zeros(n))
        self.register_buffer("scale", torch.ones(n))
        self.register_buffer("fill", torch.zeros(n))
        self._numbers = [k for k, each in enumerate(self.table) if each.kind == NUMBER]
        self._categories = [k for k, each in enumerate(self.table) if each.kind == CATEGORY]
        self._squashes = any(self.table[k].scaling == "squashed" for k in self._numbers)

    @property
    def settings(self) -> dict[str, Any]:
        """See :class:`~sae.data.prepare.Preparation`."""
        return {
            "columns": [{**asdict(each), "values": list(each.values)} for each in self.table],
            "missing": self.missing,
            "passed_over": list(self.passed_over),
            "named": self.named,
            "bounded": self.bounded,
        }

    @property
    def outputs(self) -> Columns | None:
        """See :class:`~sae.data.prepare.Preparation`."""
        groups = [len(self.table[k].values) for k in self._categories]
        if not groups and self.missing != "mask":
            return None
        return Columns(len(self._numbers), tuple(groups))

    @property
    def feature_names(self) -> list[str]:
        """The name of each feature: ``COLUMN``, or ``COLUMN=VALUE`` for categories."""
        numbers = [self.table[k].name for k in self._numbers]
        columns = [self.table[k] for k in self._categories]
        return numbers + [f"{each.name}={value}" for each in columns for value in each.values]

    def forward(self, x: Tensor) -> Tensor:
        """See :class:`~sae.data.prepare.Preparation`; a missing value is NaN."""
        x = x.float()
        if self.missing == "mean":
            x = torch.where(x.isnan(), self.fill, x)
        numbers = ((x - self.shift) / self.scale)[:, self._numbers]
        if self._squashes:
            numbers = torch.where(self._are_squashed(x), squash(numbers), numbers)
        absent = numbers.isnan()
        parts = [marked(numbers.nan_to_num(nan=0.0), absent) if self.missing == "mask" else numbers]
        for k in self._categories:
            code = x[:, k : k + 1]
            n = len(self.table[k].values)
            one = (code == torch.arange(n, device=x.device, dtype=x.dtype)).to(x.dtype)
            known = (code >= 0) & (code < n)  # false for NaN
            parts.append(marked(one, (~known).expand_as(one)))
        return torch.cat(parts, dim=1)

    def inverse(self, x: Tensor) -> Tensor:
        """See :class:`~sae.data.prepare.Preparation`."""
        n, numbers = len(self._numbers), self._numbers
        found = x[:, :n].float()
        if self._squashes:
            found = torch.where(self._are_squashed(x), unsquash(found), found)
        parts = [found * self.scale[numbers] + self.shift[numbers]]
        for k in self._categories:
            last = n + len(self.table[k].values)
            parts.append(x[:, n:last].argmax(dim=1, keepdim=True).float())
            n = last
        constants = [k for k, each in enumerate(self.table) if each.kind == CONSTANT]
        parts.append(self.fill[constants].expand(x.shape[0], -1))
        order = [*numbers, *self._categories, *constants]
        return torch.cat(parts, dim=1)[:, np.argsort(order).tolist()]

    def _are_squashed(self, like: Tensor) -> Tensor:
        """Which features of numbers are squashed, (numbers,), on the device of ``like``."""
        columns = [self.table[k].scaling == "squashed" for k in self._numbers]
        return torch.tensor(columns, device=like.device)

    @property
    def used(self) -> list[int]:
        """The indices of the raw columns that become inputs: all that are not constant."""
        return sorted([*self._numbers, *self._categories])

    def marked_columns(self, x: Tensor) -> Tensor:
        """Which raw columns are marked as missing: (b, features) -> (b, raw columns)."""
        marks = is_missing(x)
        found = torch.zeros(len(x), len(self.table), dtype=torch.bool, device=x.device)
        n = len(self._numbers)
        found[:, self._numbers] = marks[:, :n]
        for k in self._categories:
            last = n + len(self.table[k].values)
            found[:, k] = marks[:, n:last].all(dim=1)
            n = last
        return found

    # Values

    def to_raw(self, values: ArrayLike, columns: Sequence[str] | None = None) -> Tensor:
        """See :class:`~sae.data.prepare.Preparation`.

        Raises:
            InputError: The columns differ from those of the training data, or a value is not a
                number in a column of numbers.
        """
        names = getattr(values, "columns", columns) if columns is None else columns
        array = np.asarray(values, object if self._has_texts else None)
        array = array.reshape(len(array), -1)
        if names is not None and self.named:
            array = array[:, self.order_of([str(name) for name in names])]
        elif array.shape[1] != len(self.table):
            remedy = "give the columns of the training data, in their order"
            expected = f"{len(self.table)} columns"
            raise InputError("data", expected, str(array.shape[1]), remedy)
        raw = np.empty(array.shape, np.float32)
        for k, column in enumerate(self.table):
            raw[:, k] = self._column(column, array[:, k])
        return torch.from_numpy(raw)

    @property
    def _has_texts(self) -> bool:
        return any(each.is_text for each in self.table)

    def order_of(self, names: Sequence[str], of: str = "data", id: str | None = None) -> list[int]:
        """The position of each column of the table in a file.

        Args:
            names: Names of the columns of the file.
            of: The file, for messages.
            id: The name of a column of ids that the file may also have.

        Raises:
            InputError: Columns are missing, or there are other columns.
        """
        wanted = [each.name for each in self.table]
        lacking = [name for name in wanted if name not in names]
        if lacking:
            found = f"none called {', '.join(map(show, lacking[:3]))}"
            found += f" (and {len(lacking) - 3} more)" if len(lacking) > 3 else ""
            remedy = f"its columns are {few_of(names)}"
            if self.missing != "error":
                which = "that name" if len(lacking) == 1 else "each name"
                remedy = f"add an empty column of {which} if its values are missing; {remedy}"
            raise InputError(of, "the columns of the training data", found, remedy)
        known = {*wanted, *self.passed_over, id}
        others = [name for name in names if name not in known]
        if others:
            expected = "only the columns of the training data"
            found = f"also {', '.join(map(show, others[:3]))}"
            raise InputError(of, expected, found, "remove the others from the file")
        return [list(names).index(name) for name in wanted]

    def _column(self, column: Column, values: NDArray) -> NDArray:
        """Convert the values of one column to numbers, (n,)."""
        if column.kind == NUMBER or not column.values:
            numbers = _as_numbers(values, column.name)
        elif column.is_text:
            index = {value: k for k, value in enumerate(column.values)}
            numbers = np.array(
                [np.nan if _absent(each) else _place(each, index) for each in values]
            )
        else:
            found = _as_numbers(values, column.name)
            known = np.array(column.values, float)
            place = np.searchsorted(known, found).clip(max=len(known) - 1)
            numbers = np.where(known[place] == found, place, -1.0)
            numbers[np.isnan(found)] = np.nan
        gaps = np.flatnonzero(np.isnan(numbers))
        if self.missing == "error" and len(gaps) and column.kind != CONSTANT:
            found_ = f"{len(gaps):,} missing in column {column.name}, first in row {gaps[0]}"
            remedy = "fill them in, or train with --data.missing mask or mean"
            raise InputError("data", "a value in each row", found_, remedy)
        return numbers

    def from_raw(self, raw: Tensor) -> NDArray:
        """See :class:`~sae.data.prepare.Preparation`."""
        array = raw.detach().cpu().numpy()
        coded = [k for k, each in enumerate(self.table) if each.values]
        if not coded:
            return array
        found: NDArray = array.astype(object)
        for k in coded:
            values = self.table[k].values
            index = array[:, k]
            found[:, k] = [
                values[int(each)] if each >= 0 else None  # None also for NaN
                for each in index
            ]
        return found

    def absent(self, raw: Tensor) -> Tensor:
        """Which values are missing, or categories that are not in the training samples.

        Args:
            raw: (n, raw columns).

        Returns:
            bool, (n, input columns), numbers first.
        """
        inputs = [*self._numbers, *self._categories]
        lacking = raw.isnan()
        lacking[:, self._categories] |= raw[:, self._categories] < 0
        return lacking[:, inputs]

    def unknown(self, raw: Tensor) -> dict[str, int]:
        """Count the values that are categories which are not in the training samples.

        Args:
            raw: (n, raw columns).

        Returns:
            The count of each column that has such values, by name.
        """
        counts = {self.table[k].name: int((raw[:, k] < 0).sum()) for k in self._categories}
        return {name: count for name, count in counts.items() if count}

    # Fitting

    @classmethod
    def fit(
        cls,
        raw: Tensor | Rows,
        columns: Sequence[Column],
        missing: str = "error",
        passed_over: Sequence[str] = (),
        named: bool = True,
    ) -> tuple[TablePreparation, dict[int, Tensor]]:
        """Fit a preparation on training samples.

        Args:
            raw: Training samples, (n, raw columns); a missing value is NaN.
            columns: The columns of the table: numbers with the scaling asked for, which may be
                ``auto``, and categories with all their values in all files.
            missing: ``error``, ``mask`` or ``mean``.
            passed_over: See the class.
            named: See the class.

        Returns:
            The preparation; and for each column of categories the new index of each of its values,
            (values,): -1 for a value that is not in the training samples.
        """
        seen = Seen(raw, columns)
        decided = [seen.decide(k) for k in range(len(columns))]
        renumbered: dict[int, Tensor] = {}
        for k, column in enumerate(columns):
            if column.kind == CATEGORY:
                renumbered[k] = seen.renumbered(k)
        self = cls(decided, missing, passed_over, named, seen.bounded(decided))
        for k, column in enumerate(decided):
            self.shift[k], self.scale[k] = seen.scaling(k, column)
            self.fill[k] = seen.typical(k, column)
        return self, renumbered


class Seen:
    """Statistics of the columns of training samples.

    Args:
        raw: Training samples, (n, raw columns); a missing value is NaN.
        columns: The columns of the table.
    """

    def __init__(self, raw: Tensor | Rows, columns: Sequence[Column]) -> None:
        self.columns = columns
        self.counts = {
            k: np.zeros(len(each.values), np.int64)
            for k, each in enumerate(columns)
            if each.kind == CATEGORY
        }
        n = raw.shape[1]
        self.n, self.mean, squares = np.zeros(n), np.zeros(n), np.zeros(n)
        self.low, self.high = np.full(n, np.inf), np.full(n, -np.inf)
        for chunk in chunks_of(raw):
            x = chunk.double().numpy()
            # Not scikit-learn's scalers: they fail if a column has no value in one of the chunks.
            self.low = np.fmin(self.low, np.fmin.reduce(x, axis=0))
            self.high = np.fmax(self.high, np.fmax.reduce(x, axis=0))
            squares += self._merge(x)
            for k, counts in self.counts.items():
                code = x[:, k]
                code = code[~np.isnan(code)].astype(np.int64)
                counts += np.bincount(code, minlength=len(counts))
        self.std = np.sqrt(squares / np.maximum(self.n, 1))
        some = take(raw, _spread_out(len(raw))).double().numpy()
        self.some = np.sort(some, axis=0)  # NaN comes last
        numbers = [k for k, each in enumerate(columns) if each.kind == NUMBER and self.varies(k)]
        self.as_they_are = all(
            self.low[k] >= 0 and self.high[k] <= 1 and self.high[k] - self.low[k] >= LEAST_WIDTH
            for k in numbers
        )

    def _merge(self, x: NDArray) -> NDArray:
        """Update the means with more rows; return the increase of the squared deviations.

        Chan, Golub & LeVeque (1983), "Algorithms for computing the sample variance", equation 2.1.

        Args:
            x: (rows, columns).
        """
        there = ~np.isnan(x)
        n = there.sum(axis=0)
        mean = np.where(there, x, 0).sum(axis=0) / np.maximum(n, 1)
        squares = np.square(np.where(there, x - mean, 0)).sum(axis=0)
        total, apart = self.n + n, mean - self.mean
        added = squares + np.square(apart) * self.n * n / np.maximum(total, 1)
        self.mean = self.mean + apart * n / np.maximum(total, 1)
        self.n = total
        return np.asarray(added)

    def varies(self, k: int) -> bool:
        """Whether column ``k`` has more than one value."""
        if k in self.counts:
            return int((self.counts[k] > 0).sum()) > 1
        return bool(self.high[k] - self.low[k] > LEAST_SPREAD)

    def decide(self, k: int) -> Column:
        """Column ``k`` with its final kind, scaling and values."""
        column = self.columns[k]
        if column.kind == CATEGORY:
            values = [v for v, n in zip(column.values, self.counts[k], strict=True) if n]
            return replace(column, kind=CATEGORY if len(values) > 1 else CONSTANT, values=values)
        if not self.varies(k):
            return replace(column, kind=CONSTANT, scaling="none")
        if column.scaling != "auto":
            return column
        return replace(column, scaling=self._auto(k))

    def _auto(self, k: int) -> str:
        if self.as_they_are:
            return "none"
        heavy = has_heavy_tails(self._values(k), self.std[k])
        return "squashed" if heavy else "standard"

    def _values(self, k: int) -> NDArray:
        values = self.some[:, k]
        return values[~np.isnan(values)]

    def scaling(self, k: int, column: Column) -> tuple[float, float]:
        """The number to subtract from column ``k``, and the number to divide by."""
        if column.kind != NUMBER or column.scaling == "none":
            return 0.0, 1.0
        if column.scaling == "minmax":
            return float(self.low[k]), float(self.high[k] - self.low[k])
        if column.scaling == "robust":
            middle, apart = of_quartiles(self._values(k))
            wide = apart > LEAST_APART * (self.high[k] - self.low[k])
            return middle, float(apart if wide else self.std[k])
        if column.scaling == "squashed":
            return of_most(self._values(k), float(self.std[k]))
        return float(self.mean[k]), float(self.std[k])

    def typical(self, k: int, column: Column) -> float:
        """The mean of column ``k``, its constant, or the new index of its commonest category."""
        if self.columns[k].kind == CATEGORY:
            return float(self.renumbered(k)[int(self.counts[k].argmax())])
        if column.kind != CONSTANT:
            return float(self.mean[k])
        return float(self.low[k]) if self.n[k] else math.nan

    def bounded(self, decided: Sequence[Column]) -> bool:
        """Whether all numbers are in [0, 1] without scaling."""
        return all(
            column.scaling == "none" and self.low[k] >= 0 and self.high[k] <= 1
            for k, column in enumerate(decided)
            if column.kind == NUMBER
        )

    def renumbered(self, k: int) -> Tensor:
        """The new index of each category of column ``k``; -1 if no training sample has it."""
        present = torch.from_numpy(self.counts[k] > 0)
        return torch.where(present, present.long().cumsum(0) - 1, -1).float()


def chunks_of(raw: Tensor | Rows) -> Iterator[Tensor]:
    """Yield all rows in order, in chunks."""
    step = chunk_rows(raw.shape[1])
    for first in range(0, len(raw), step):
        yield take(raw, slice(first, min(first + step, len(raw))))


def _spread_out(n: int) -> Tensor:
    """The rows for computing quantiles: all, or a random subset that is always the same."""
    if n <= QUANTILE_ROWS:
        return torch.arange(n)
    order = torch.randperm(n, generator=derive_generator(0, "quantiles"))
    return order[:QUANTILE_ROWS].sort().values


def _absent(value: Any) -> bool:
    try:
        return value is None or bool(value != value)  # NaN differs from itself
    except TypeError:  # pandas.NA has no truth value
        return True


def _place(value: Any, index: Mapping[str, int]) -> int:
    """The index of a category, or -1. An integer may have become a float: 3.0 matches "3"."""
    whole = isinstance(value, (float, np.floating)) and value.is_integer()
    return index.get(str(value), index.get(str(int(value)), -1) if whole else -1)


def _as_numbers(values: NDArray, name: str) -> NDArray:
    """Convert the values of a column to float64, (n,); a missing value becomes NaN."""
    try:
        numbers = np.asarray(values, float)
    except (TypeError, ValueError):
        numbers = np.empty(len(values))
        for row, value in enumerate(values):
            try:
                numbers[row] = np.nan if _absent(value) else float(value)
            except (TypeError, ValueError):
                found = f"{show(str(value))} in column {name}, row {row}"
                raise InputError("data", "numbers", found, "correct it or leave it empty") from None
    endless = np.flatnonzero(np.isinf(numbers))
    if len(endless):
        found = f"{numbers[endless[0]]} in column {name}, row {endless[0]}"
        raise InputError("data", "finite numbers", found, "correct it or leave it empty")
    return numbers
