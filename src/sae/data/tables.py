"""Your own table: CSV, TSV, Parquet, Arrow, or an array whose columns have different meanings."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae.data.datamodule import SampleDataModule, Samples
from sae.data.labels import numbered
from sae.data.loader import Survey
from sae.data.prepare import Preparation
from sae.data.remarks import remarks
from sae.data.rows import FileRows, Rows, take
from sae.data.source import Source, open_source
from sae.data.sources.csv_files import CsvSource
from sae.data.table_columns import column_lines
from sae.data.table_preparation import (
    CATEGORIES,
    CATEGORY,
    CONSTANT,
    MISSINGS,
    NUMBER,
    SCALINGS,
    Column,
    TablePreparation,
    chunks_of,
)
from sae.data.table_source import (
    TEXT,
    TableSource,
    are_dates,
    check_column,
    codes_of,
    distinct,
    few_of,
    numbers_of,
)
from sae.errors import InputError, check_choice, show
from sae.files import write_npy
from sae.nets.columns import is_missing

if TYPE_CHECKING:
    import pyarrow as pa

# Size in bytes. The numbers of larger tables are not kept in memory but in a temporary file.
IN_MEMORY = 2**28
# Rows that are read together.
CHUNK_ROWS = 2**16
_DONE = {
    "none": "left as they are",
    "minmax": "scaled to [0, 1]",
    "standard": "standardised",
    "robust": "scaled by their quartiles",
    "squashed": "scaled by their quartiles, outliers by their logarithm",
}
# A text column with more different values than this probably holds names or ids, not categories.
MOST_CATEGORIES = 100
TEST_SHARE = 0.1
# float32 has seven digits: the largest rounding error allowed, as a share of a column's range.
MOST_LOST = 0.005
# A validation or test value is named before training if it lies at least this many standard
# deviations from the mean of training, and if its squared distance is at least this share of the
# sum of all others. Training reduces the error of the others, but hardly that of this value.
FAR_OUT, MOST_OF = 10.0, 0.2


class TableDataModule(SampleDataModule):
    """A table: each row is a sample, each column holds numbers or categories.

    The suffix of the file gives its format: .csv, .tsv, .parquet, .arrow or .feather; or .npy or
    .npz of (n, columns), whose columns are named 0, 1, …. Numbers are scaled by ``preparation``,
    which is fitted on training samples. Text columns are categories, with one input per value.

    Args:
        train: File for training and validation.
        test: File for the test; null holds out rows of ``train``, as many as for validation.
        label: Column with the class of each row, integers or texts. It is not an input.
        id: Column with the name of each row. It is not an input.
        columns: The columns that are inputs; null for all except label and id.
        ignore: Columns that are not inputs.
        preparation: auto, minmax, standard, robust, squashed or none; or a mapping from column
            names to one of these or to categories, which makes categories of numbers. minmax scales
            to [0, 1]; standard uses mean and standard deviation, robust median and quartiles.
            squashed is robust, but replaces outliers by their logarithm. auto does not change
            numbers if all columns lie in [0, 1] and fill at least half of it; otherwise it uses
            squashed for columns with outliers and standard for the others.
        missing: error stops at missing values; mask sets them to 0 in the inputs and leaves them
            out of the loss; mean replaces them by the mean of their column, or by its most frequent
            category.
        key: Name of the array in an .npz file; null if the file holds a single array.
        delimiter: Character between the values of a .csv; null detects it.
        encoding: Text encoding of a .csv; null is UTF-8.
        batch_size: Samples in a batch, summed over all processes; 1 or more.
        val_size: Number of rows of ``train`` that are held out for validation; null for a tenth.
        split_seed: Seed of the random choice of held-out rows and of used labels.
        labels: Number of training samples whose labels are used; null for all. See
            :class:`~sae.data.datamodule.SampleDataModule`.
        labels_per_class: Number of labels that are used per class; null for all.

    Raises:
        InputError: A file is missing or damaged, is not such a table, or an option does not fit it.
    """

    def __init__(
        self,
        train: str,
        test: str | None = None,
        label: str | None = None,
        id: str | None = None,
        columns: list[str] | None = None,
        ignore: list[str] | None = None,
        preparation: str | dict[str, str] = "auto",
        missing: str = "error",
        key: str | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
        batch_size: int = 64,
        val_size: int | None = None,
        split_seed: int = 0,
        labels: int | None = None,
        labels_per_class: int | None = None,
    ) -> None:
        size = 1 if val_size is None else val_size
        super().__init__(batch_size, size, split_seed, labels, labels_per_class)
        check_choice("missing", missing, MISSINGS)
        kinds = preparation if isinstance(preparation, Mapping) else {"": preparation}
        for name, kind in kinds.items():
            choices = [*SCALINGS, CATEGORIES] if name else SCALINGS
            check_choice(f"preparation.{name}" if name else "preparation", kind, choices)
        if columns is not None and ignore is not None:
            raise InputError("ignore", "columns or ignore", "both", "leave out one of them")
        self.paths = {"train": train, "test": test}
        self.label, self.id, self._columns, self._ignore = label, id, columns, ignore
        self._kinds, self._missing = kinds, missing
        self._reading = {"key": key, "delimiter": delimiter, "encoding": encoding}
        self._val_size = val_size
        self._said: list[str] = []
        # For each file and column: the smallest and the largest value, with their rows.
        self._extremes: list[dict[str, list[tuple[float, str]]]] = []
        self._aside: tempfile.TemporaryDirectory[str] | None = None
        self.name = Path(os.path.expanduser(train)).stem or "table"

    # Reading

    def load(self) -> tuple[Samples, Samples]:
        """Read all rows as numbers; a category becomes its index among the values of both files."""
        source = self._open("train")
        self._stamps = [_stamp(source.path)]
        types = _types(source)
        self._all = list(types)
        names = self._inputs(types, str(source.path))
        sources = [source]
        if self.paths["test"] is not None:
            sources.append(self._open("test", [name for name in types if types[name] == "text"]))
            self._stamps.append(_stamp(sources[1].path))
            self._check_alike(types, sources[1], names)
        self.table = self._table(names, types, sources)
        parts = [self._read(each) for each in sources]
        ys, self.class_names = self._classes([y for _, y in parts], [len(x) for x, _ in parts])
        train = Samples(parts[0][0], ys[0])
        n = len(train)
        if self._val_size is None:
            self.val_size = max(1, round(TEST_SHARE * n))
        if len(parts) > 1:
            test = Samples(parts[1][0], ys[1])
        else:
            train, test = self._set_aside(train)
        self.description = f"{self.name} ({len(train):,} + {len(test):,} rows of "
        self.description += f"{len(names)} column{'s' * (len(names) != 1)})"
        return train, test

    def _open(self, part: str, texts: Sequence[str] = ()) -> Source:
        """Open a file of the data.

        Args:
            part: ``train`` or ``test``.
            texts: Columns that hold texts, even if all of these look like numbers.
        """
        path = self.paths[part]
        assert path is not None
        options: dict[str, Any] = {
            name: value for name, value in self._reading.items() if value is not None
        }
        if isinstance(self.id, str) and Path(path).suffix.lower() not in (".npy", ".npz"):
            options["id"] = self.id
        if texts and Path(path).suffix.lower() in CsvSource.suffixes:
            options["texts"] = texts
        source = open_source(path, **options)
        if source.columns is None and len(source.sample_shape) != 1:
            found = f"samples of {'x'.join(map(str, source.sample_shape))}"
            remedy = "read arrays of images with ArrayDataModule"
            raise InputError(str(source.path), "rows of columns", found, remedy)
        return source

    def _inputs(self, types: Mapping[str, str], path: str) -> list[str]:
        """The columns that are inputs, in the order of the file."""
        asked = {"label": [self.label] if self.label else [], "columns": self._columns or []}
        asked["ignore"] = self._ignore or []
        asked["preparation"] = [name for name in self._kinds if name]
        for key, names in asked.items():
            for name in names:
                check_column(name, types, key, path)
        others = {self.label, self.id, *asked["ignore"]}
        names = [name for name in types if name not in others]
        if self._columns is not None:
            names = [name for name in names if name in self._columns]
        if not names:
            raise InputError(path, "at least one input column", "none", "leave out fewer columns")
        return names

    def _check_alike(self, types: Mapping[str, str], test: Source, names: list[str]) -> None:
        """Raise InputError if the columns of the test file differ from those of train."""
        found, path = _types(test), str(test.path)
        needed = [*names, *([self.label] if self.label and self.label in found else [])]
        for name in needed:
            if name not in found:
                remedy = f"its columns are {few_of(found)}"
                raise InputError(path, f"a column {show(name)}, as in train", "none", remedy)
            if found[name] != types[name]:
                if (types[name], found[name]) == (NUMBER, TEXT) and isinstance(test, TableSource):
                    test.check_no_texts(name)
                expected = f"{types[name]}s in column {name}, as in train"
                raise InputError(path, expected, f"{found[name]}s", "store both as the same type")
        others = [name for name in found if name not in types]
        if others:
            expected, found_ = "only the columns of train", f"also {show(others[0])}"
            raise InputError(path, expected, found_, "remove it from the file")

    def _table(
        self, names: list[str], types: Mapping[str, str], sources: Sequence[Source]
    ) -> list[Column]:
        """The kind and scaling of each input column, and all values of categories."""
        columns = []
        for name in names:
            kind = self._kinds.get(name, self._kinds.get("", "auto"))
            if types[name] not in (NUMBER, "text"):
                remedy = f'leave it out: --data.ignore "[{name}]"'
                found = f"{types[name]} in column {name}"
                raise InputError(str(sources[0].path), "numbers or texts", found, remedy)
            categories = types[name] == "text" or kind == CATEGORIES
            one = Column(name, CATEGORY) if categories else Column(name, NUMBER, kind)
            columns.append(one)
        insisted = [name for name, kind in self._kinds.items() if kind == CATEGORIES]
        train = sources[0]
        if isinstance(train, CsvSource):  # not of test: a few rows may all look like numbers
            texts = [each.name for each in columns if each.kind == CATEGORY]
            train.check_numbers([name for name in texts if name not in insisted])
        coded = [each.name for each in columns if each.kind == CATEGORY]
        values: dict[str, set[Any]] = {name: set() for name in coded}
        if coded:
            for source in sources:
                for frame in _frames(source, coded):
                    for name in coded:
                        values[name].update(distinct(frame.column(name)))
        n = sources[0].n
        for name in coded:
            if len(values[name]) > max(2, min(MOST_CATEGORIES, n / 2)) and name not in insisted:
                found = f"{len(values[name]):,} in column {name}, among {n:,} rows"
                remedy = (
                    f'leave it out with --data.ignore "[{name}]", or keep it with '
                    f"--data.preparation '{{{name}: categories}}'"
                )
                if are_dates(values[name]):
                    found = f"{len(values[name]):,} dates in column {name}, among {n:,} rows"
                    remedy = (
                        f'leave it out with --data.ignore "[{name}]", or replace them by numbers, '
                        "such as days since the first one"
                    )
                elif len(values[name]) == n and self.id is None:
                    found += ", all different"
                    remedy = f"if it names the rows, add --data.id {name}; otherwise {remedy}"
                raise InputError(str(sources[0].path), "few categories", found, remedy)
        return [
            Column(each.name, CATEGORY, "none", sorted(values[each.name]))
            if each.kind == CATEGORY
            else each
            for each in columns
        ]

    def _read(self, source: Source) -> tuple[Tensor | Rows, NDArray[Any] | None]:
        """Read all rows in raw form, (n, raw columns), and their labels as stored, (n,)."""
        names = [each.name for each in self.table]
        label = self.label if self.label in _types(source) else None
        wanted = names if label is None else [*names, label]
        check, labels = _Gaps(source, names), list[NDArray[Any]]()

        def parts() -> Iterator[Tensor]:
            for frame in _frames(source, wanted):
                found = np.empty((len(frame), len(names)))
                for k, each in enumerate(self.table):
                    column = frame.column(each.name)
                    coded = each.kind == CATEGORY
                    found[:, k] = codes_of(column, each.values) if coded else numbers_of(column)
                with np.errstate(over="ignore"):  # look_at refuses infinite values
                    raw = found.astype(np.float32)
                check.look_at(raw, found)
                if label is not None:
                    labels.append(self._labels(frame.column(label), source, check.n))
                yield torch.from_numpy(raw)

        shape = (source.n, len(names))
        if 4 * shape[0] * shape[1] <= IN_MEMORY:
            x: Tensor | Rows = torch.cat(list(parts()))
        else:
            x = self._written(source, shape, parts())
        self._said += check.report(self._missing)
        self._extremes.append(check.extremes())
        return x, np.concatenate(labels) if labels else None

    def _written(self, source: Source, shape: tuple[int, int], parts: Iterator[Tensor]) -> FileRows:
        """Write the rows to a temporary file, which is deleted with this object."""
        if self._aside is None:
            self._aside = tempfile.TemporaryDirectory(prefix="sae-table-")
        path = Path(self._aside.name) / f"{len(os.listdir(self._aside.name))}.npy"
        try:
            write_npy(path, shape, parts)
        except OSError as error:
            expected = (
                f"space for {4 * shape[0] * shape[1] / 2**20:,.0f} MiB in {path.parent.parent}"
            )
            remedy = "free some space, or set TMPDIR to a folder on a larger disk"
            raise InputError(str(source.path), expected, str(error.strerror), remedy) from None
        return FileRows([path])

    def _labels(self, column: pa.ChunkedArray, source: Source, end: int) -> NDArray[Any]:
        """The labels of some rows: texts or int64.

        Args:
            column: The column of labels.
            source: Its file, for messages.
            end: Number of the row after the last one.
        """
        import pyarrow.compute as pc

        first, expected = end - len(column), f"a class in each row of column {self.label}"
        if column.null_count:
            row = int(np.flatnonzero(pc.is_null(column).to_numpy(zero_copy_only=False))[0])
            remedy = "fill it in, or leave the row out"
            found = f"none in {_place(source, first + row)}"
            raise InputError(str(source.path), expected, found, remedy)
        if _types(source)[str(self.label)] == "text":
            return np.array([str(each) for each in column.to_pylist()], np.str_)
        numbers = numbers_of(column)
        odd = np.flatnonzero(numbers != np.floor(numbers))  # NaN among them
        if len(odd) or not np.isfinite(numbers).all():
            row = int(odd[0]) if len(odd) else int(np.flatnonzero(~np.isfinite(numbers))[0])
            found = f"{numbers[row]:g} in {_place(source, first + row)}"
            remedy = "choose another column, or leave label out"
            raise InputError(str(source.path), f"{expected}, an integer or a text", found, remedy)
        return numbers.astype(np.int64)

    def _classes(
        self, labels: list[NDArray[Any] | None], sizes: Sequence[int]
    ) -> tuple[list[Tensor | None], list[str]]:
        """Number the labels 0, 1, … and return them with the names of the classes."""
        labels = [*labels, *[None] * (2 - len(labels))]
        given = [part for part in labels if part is not None]
        if given and given[0].dtype.kind == "i":
            classes = np.unique(np.concatenate(given))
            if not np.array_equal(classes, np.arange(len(classes))):
                ids = [None if y is None else np.searchsorted(classes, y) for y in labels]
                self._check_classes(len(classes), sizes[0])
                tensors = [None if y is None else torch.from_numpy(y) for y in ids]
                return tensors, [str(each) for each in classes.tolist()]
        ys, names = numbered(labels, "test")
        if given:
            self._check_classes(len(np.unique(np.concatenate(given))), sizes[0])
        return ys, names

    def _check_classes(self, n_classes: int, n: int) -> None:
        if n_classes > n / 2:
            found = f"{n_classes:,} classes in column {self.label}, among {n:,} rows"
            remedy = "choose the column that holds classes, or leave label out"
            raise InputError("label", "several rows in each class", found, remedy)

    def _set_aside(self, samples: Samples) -> tuple[Samples, Samples]:
        """Take the test samples out of the others."""
        n = self.val_size
        if 2 * n >= len(samples) - 1:
            expected = f"rows to train on beside {n} for validation and {n} to test"
            remedy = "give more rows, a smaller --data.val_size, or others with test"
            raise InputError("val_size", expected, f"{len(samples)} in all", remedy)
        generator = torch.Generator().manual_seed(self.split_seed + 1)
        index = torch.randperm(len(samples), generator=generator)[:n]
        return samples.without(index), samples[index]

    # Preparation

    def prepared(self) -> Preparation:
        """Fit the preparation on training samples and prepare all samples with it."""
        source = self.paths["train"]
        assert source is not None
        named = Path(source).suffix.lower() not in (".npy", ".npz") and not Path(source).is_dir()
        inputs = {each.name for each in self.table}
        others = [self.label, self.id, *(self._ignore or [])]
        if self._columns is not None:
            others += [name for name in self._all if name not in inputs]
        passed = list(dict.fromkeys(name for name in others if name is not None))
        raw = self.train.x
        found, renumbered = TablePreparation.fit(raw, self.table, self._missing, passed, named)
        if not found.feature_names:
            remedy = "choose other columns"
            raise InputError("train", "columns that vary", "only constant ones", remedy)
        self._say_what_is_done(found)
        parts = {"training": self.train, "validation": self.val, "test": self.test}
        for of, samples in parts.items():
            new = PreparedRows(samples.x, found, renumbered)
            if of != "training" and renumbered:
                self._count_unknown(of, new)
            parts[of] = Samples(new.in_memory(), samples.y)
        self.train, self.val, self.test = parts.values()
        if self.labelled is not None:
            x = PreparedRows(self.labelled.x, found, renumbered).in_memory()
            self.labelled = Samples(x, self.labelled.y)
        self.image_shape = (1, len(found.feature_names))
        return found

    def _say_what_is_done(self, found: TablePreparation) -> None:
        """Add a remark on how columns are scaled, and one on columns that are left out."""
        kinds: dict[str, list[str]] = {}
        for each in found.table:
            if each.kind == NUMBER:
                kinds.setdefault(each.scaling, []).append(each.name)
        words = [f"{len(of)} {_DONE[kind]}{_which(of, kinds)}" for kind, of in kinds.items()]
        line = f"data: columns of numbers: {', '.join(words) or 'none'}"
        groups = [each for each in found.table if each.kind == CATEGORY]
        if groups:
            counts = " + ".join(str(len(each.values)) for each in groups)
            line += f"; {len(groups)} of categories ({counts} values)"
        self._said.append(f"{line}; {len(found.feature_names)} inputs in all")
        self._say_what_lies_far_out(found)
        constant = [each for each in found.table if each.kind == CONSTANT]
        if constant:
            names = ", ".join(each.name for each in constant[:5]) + ", …" * (len(constant) > 5)
            left = "is left out: it is" if len(constant) == 1 else "are left out: they are"
            self._said.append(f"data: {names} {left} constant in the training samples")

    def _say_what_lies_far_out(self, found: TablePreparation) -> None:
        """Add a remark on each column that ``auto`` squashes, with its most extreme value."""
        asked = {each.name: each.scaling for each in self.table}
        farthest = []
        for k, each in enumerate(found.table):
            if each.scaling == "squashed" and asked[each.name] == "auto":
                middle = float(found.shift[k])
                ends = self._extremes[0][each.name]
                value, place = max(ends, key=lambda end: abs(end[0] - middle))
                farthest.append(f"{value:g} in column {each.name}, {place} (median {middle:g})")
        if farthest:
            named = "; ".join(farthest[:5]) + "; …" * (len(farthest) > 5)
            self._said.append(
                f"data: outliers: {named}; they are scaled by their logarithm; correct them if "
                "they are wrong"
            )

    def _count_unknown(self, of: str, rows: PreparedRows) -> None:
        counts: dict[str, int] = {}
        for raw in chunks_of(rows.raw):
            for name, n in rows.preparation.unknown(rows.renumber(raw)).items():
                counts[name] = counts.get(name, 0) + n
        for name, n in counts.items():
            values = f"{n:,} {of} sample{'s have' if n > 1 else ' has'} a value"
            self._said.append(
                f"warning: data: {values} in column {name} that no training sample has; it is "
                "treated as missing"
            )

    def details(self) -> list[str]:
        """A line for each column of the file to train on."""
        return column_lines(self._open("train"), [each.name for each in self.table])

    def remarks(self, seen: Survey) -> list[str]:
        """How columns are scaled, then the remarks of all datamodules."""
        automatic = all(each.scaling in ("auto", "squashed") for each in self.table)
        other = "choose preparation auto or squashed, or add the column to ignore"
        other = "check its values, or add the column to ignore" if automatic else other
        names = getattr(self.preparation, "feature_names", ())
        said = [*self._said, *self._far_values(seen)]
        return [*said, *remarks(seen, lambda x, before: other, names=names)]

    @property
    def inputs_in_words(self) -> str:
        """What the number of features is, for messages; after ``setup``."""
        categories = any(each.kind == CATEGORY for each in self._fitted.table)
        each = " (each category is one input)" if categories else ""
        return f"the number of inputs of {Path(str(self.paths['train'])).name}{each}"

    @property
    def _fitted(self) -> TablePreparation:
        assert isinstance(self.preparation, TablePreparation)
        return self.preparation

    def _far_values(self, seen: Survey) -> Iterator[str]:
        """Warn of a validation or test value that will have most of the squared error of its part.

        Args:
            seen: Statistics of all training samples.
        """
        parts = {"validation": (self.val, "train"), "test": (self.test, "test")}
        table = self._fitted.table
        numbers = [each for each in table if each.kind == NUMBER]
        if seen.std is None or not numbers:
            return
        mean, std = seen.mean[: len(numbers)].double(), seen.std[: len(numbers)].double()
        for of, (samples, file) in parts.items():
            total, largest, farthest = 0.0, 0.0, (samples.x[:1], 0)
            for x in chunks_of(samples.x):
                apart = (x[:, : len(numbers)].double() - mean).square()
                apart[is_missing(x)[:, : len(numbers)]] = 0
                total += apart.sum().item()
                row, column = divmod(int(apart.argmax()), len(numbers))
                if apart[row, column] > largest:
                    largest, farthest = apart[row, column].item(), (x[row : row + 1], column)
            x, column = farthest
            out = math.sqrt(largest) / std[column].clamp(min=1e-12).item()
            if out < FAR_OUT or largest < MOST_OF * (total - largest):
                continue
            name = numbers[column].name
            k = [each.name for each in table].index(name)
            value = self.preparation.inverse(x)[0, k].item()
            path = str(self.paths[file] or self.paths["train"])
            ends = self._extremes[file == "test" and self.paths["test"] is not None][name]
            nearest, place = min(ends, key=lambda end: abs(end[0] - value))
            known = math.isclose(nearest, value, rel_tol=1e-3)
            where = f"{nearest:g}, {place}" if known else f"{value:g}"
            remedy = "correct or remove it, or add --data.preparation squashed"
            if numbers[column].scaling == "squashed":
                remedy = "correct or remove it"
            elif "" not in self._kinds:
                remedy = f"correct or remove it, or write {name}: squashed in preparation"
            may = "will" if largest > total - largest else "may"
            yield (
                f"warning: data: {Path(path).name}: the farthest {of} value is {name} {where}, "
                f"{out:,.0f} standard deviations from the mean of training; it {may} dominate the "
                f"{of} error; {remedy}"
            )

    def resolved(self, class_path: str, init_args: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The options with absolute paths, so that any later command finds the files."""
        found = {
            part: str(Path(os.path.expanduser(path)).resolve())
            for part, path in self.paths.items()
            if path
        }
        return class_path, {**init_args, **found}

    def summary(self) -> dict[str, Any]:
        """See :class:`~sae.data.datamodule.SampleDataModule`."""
        return {**super().summary(), "samples": "rows"}

    def check_unchanged(self) -> None:
        """Raise :class:`~sae.errors.InputError` if a file has another size or time than before."""
        for path, stamp in self._stamps:
            with contextlib.suppress(OSError):
                if _stamp(path)[1] == stamp:
                    continue
            expected = "the same file as when the run began"
            remedy = "do not change the data during a run, and start a new run"
            raise InputError(str(path), expected, "a changed file", remedy)


class PreparedRows(Rows):
    """Inputs of the network, (n, features), prepared each time they are needed.

    Args:
        raw: Raw rows, (n, raw columns), with the category indices of all files.
        preparation: The fitted preparation.
        renumbered: For each raw column of categories the new index of each old index.
    """

    def __init__(
        self, raw: Tensor | Rows, preparation: TablePreparation, renumbered: Mapping[int, Tensor]
    ) -> None:
        self.raw, self.preparation, self._renumbered = raw, preparation, renumbered
        self.shape = (len(raw), len(preparation.feature_names))
        self.block = getattr(raw, "block", None)

    @torch.no_grad()
    def __getitem__(self, index: Tensor | slice) -> Tensor:
        x: Tensor = self.preparation(self.renumber(take(self.raw, index)))
        return x

    def renumber(self, raw: Tensor) -> Tensor:
        """Replace the category indices of all files by those of the preparation.

        Args:
            raw: (rows, raw columns).
        """
        if not self._renumbered:
            return raw
        raw = raw.clone()
        for k, new in self._renumbered.items():
            code = raw[:, k]
            raw[:, k] = torch.where(code.isnan(), code, new[code.nan_to_num(nan=0.0).long()])
        return raw

    def in_memory(self) -> Tensor | Rows:
        """All rows as a tensor if they are small enough; otherwise these rows themselves."""
        fits = 4 * self.shape[0] * self.shape[1] <= IN_MEMORY and isinstance(self.raw, Tensor)
        return self[slice(0, len(self))] if fits else self

    def will_need(self, start: int, stop: int) -> None:
        """See :class:`~sae.data.rows.Rows`; passed on to the raw rows."""
        if isinstance(self.raw, Rows):
            self.raw.will_need(start, stop)


class _Gaps:
    """Finds missing, infinite and imprecise values of a file that is read in parts.

    Args:
        source: The file, for messages.
        names: Names of the columns.
    """

    def __init__(self, source: Source, names: Sequence[str]) -> None:
        self.source, self.names, self.n = source, names, 0
        self.count = np.zeros(len(names), np.int64)
        self.first = np.full(len(names), -1)
        self.lost, self.low = np.zeros(len(names)), np.full(len(names), np.inf)
        self.high = -self.low
        self.at_low, self.at_high = self.first.copy(), self.first.copy()

    def look_at(self, raw: NDArray[Any], exact: NDArray[Any]) -> None:
        """Check the next rows.

        Args:
            raw: The rows as float32, (rows, columns).
            exact: The same rows as float64.

        Raises:
            InputError: A value is infinite, or too large for float32.
        """
        if np.isinf(raw).any():
            row, column = map(int, np.argwhere(np.isinf(raw))[0])
            place = _place(self.source, self.n + row)
            found = f"{raw[row, column]} in column {self.names[column]}, {place}"
            remedy = "correct it, leave it empty, or add the column to ignore"
            raise InputError(str(self.source.path), "finite numbers", found, remedy)
        self.lost = np.fmax(self.lost, np.fmax.reduce(np.abs(raw - exact), axis=0))
        low, high = np.fmin.reduce(exact, axis=0), np.fmax.reduce(exact, axis=0)
        lower, higher = low < self.low, high > self.high
        self.at_low[lower] = self.n + (exact == low).argmax(axis=0)[lower]
        self.at_high[higher] = self.n + (exact == high).argmax(axis=0)[higher]
        self.low, self.high = np.fmin(self.low, low), np.fmax(self.high, high)
        missing = np.isnan(raw)
        if missing.any():
            self.count += missing.sum(axis=0)
            new = (self.first < 0) & missing.any(axis=0)
            self.first[new] = self.n + missing.argmax(axis=0)[new]
        self.n += len(raw)

    def extremes(self) -> dict[str, list[tuple[float, str]]]:
        """For each column with values the smallest and the largest one, each with its row."""
        return {
            name: [
                (float(self.low[k]), _place(self.source, int(self.at_low[k]))),
                (float(self.high[k]), _place(self.source, int(self.at_high[k]))),
            ]
            for k, name in enumerate(self.names)
            if self.at_low[k] >= 0
        }

    def report(self, missing: str) -> list[str]:
        """One line on missing values and how they are treated; no line if there are none.

        Args:
            missing: ``error``, ``mask`` or ``mean``.

        Raises:
            InputError: Values are missing and ``missing`` is ``error``; a column is empty; or
                float32 cannot distinguish the values of a column.
        """
        varies = self.high > self.low
        lost = self.lost > MOST_LOST * np.where(varies, self.high - self.low, np.inf)
        for k in np.flatnonzero(lost).tolist():
            found = f"{self.low[k]:.15g} to {self.high[k]:.15g} in column {self.names[k]}"
            remedy = "subtract an offset in the file, or add the column to ignore"
            expected = "numbers that single precision can distinguish"
            raise InputError(str(self.source.path), expected, found, remedy)
        columns = np.flatnonzero(self.count).tolist()
        if not columns:
            return []
        path = str(self.source.path)
        empty = [self.names[k] for k in columns if self.count[k] == self.n]
        if empty:
            found = f"none in column {', '.join(empty[:5])}" + ", …" * (len(empty) > 5)
            remedy = f'leave it out: --data.ignore "[{", ".join(empty)}]"'
            raise InputError(path, "values in each column", found, remedy)
        firsts = [_place(self.source, int(self.first[k])) for k in columns[:8]]
        each = [
            f"{self.count[k]:,} in column {self.names[k]}, first in {first}"
            for k, first in zip(columns, firsts, strict=False)
        ]
        total = f"{self.count.sum():,} missing: {'; '.join(each)}" + "; …" * (len(columns) > 8)
        if missing != "error":
            done = "left out of the loss" if missing == "mask" else "replaced by a typical value"
            return [f"data: {self.source.path.name}: {total}: {done}"]
        remedy = "fill them in, or add --data.missing mask, or mean"
        raise InputError(path, "a value in each row", total, remedy)


def _types(source: Source) -> dict[str, str]:
    """The type of each column by name; the columns of an array are named 0, 1, …."""
    if isinstance(source, TableSource):
        return source.types
    return {str(k): NUMBER for k in range(int(np.prod(source.sample_shape)))}


def _frames(source: Source, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield some columns of all rows in parts."""
    if isinstance(source, TableSource):
        yield from source.frames(CHUNK_ROWS, columns)
        return
    import pyarrow as pa

    for chunk in source.chunks(CHUNK_ROWS):
        yield pa.table({name: np.ascontiguousarray(chunk[:, int(name)]) for name in columns})


def _place(source: Source, row: int) -> str:
    return source.place(row) if isinstance(source, TableSource) else f"row {row}"


def _stamp(path: Path) -> tuple[Path, tuple[int, int]]:
    stat = path.stat()
    return path, (stat.st_size, stat.st_mtime_ns)


def _which(names: Sequence[str], kinds: Mapping[str, Sequence[str]]) -> str:
    """The names of some columns in brackets, shortened; empty if they are all columns."""
    if len(kinds) == 1:
        return ""
    return f" ({', '.join(names)})" if len(names) <= 4 else f" ({names[0]}, …)"
