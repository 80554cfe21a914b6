"""Tables as text: CSV, TSV, and what spreadsheets make of it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sae.data.table_source import TEXT, TableSource, kind_of
from sae.errors import InputError, show

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITERS = (",", ";", "\t", "|")
# Beside those that pyarrow takes: what pandas, R and the UCI repository write.
MISSING = ("None", "?", "N/A", "NaN")
# What is looked at to tell how a file is written.
SOME = 2**16
_WHOLE_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)
_WITH_POINT = re.compile(r"[+-]?\d*\.\d+(e[+-]?\d+)?", re.IGNORECASE)


class CsvSource(TableSource):
    """A table of text: the first line names the columns. It is read into memory as a whole.

    Delimiter and decimal comma are told from the file itself where they are not given.

    Args:
        path: The file.
        id: Column that says what each row is called; it is none of the samples' values.
        delimiter: Between values; None looks for a comma, semicolon, tab or bar.
        encoding: How letters are stored; None takes UTF-8, or UTF-16 where the file says so.
        texts: Columns that hold texts, even where all of these look like numbers.

    Raises:
        InputError: The file is empty, damaged, or written in another way.
    """

    suffixes = (".csv", ".tsv")

    def __init__(
        self,
        path: Path,
        id: str | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
        texts: Sequence[str] = (),
    ) -> None:
        super().__init__(path, id)
        self._texts = texts
        self._text = self._read_text(encoding)
        self.delimiter = self._find_delimiter(delimiter)
        self._check_header()
        self.decimal_point = self._find_decimal_point()
        self._table = self._parse()
        self._describe(self._table.schema, self._table.num_rows)

    def frames(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """See :class:`~sae.data.table_source.TableSource`."""
        table = self._table if columns is None else self._table.select(list(columns))
        for first in range(0, self.n, rows):
            yield table.slice(first, rows)

    def place(self, row: int) -> str:
        """The row, and the line as an editor counts them."""
        reader = self._reader(self._text)
        before = 0
        for k, _ in enumerate(line for line in reader if line):
            if k == row + 1:
                return f"row {row} (line {before + 1})"
            before = reader.line_num
        return f"row {row}"

    def check_numbers(self, columns: Sequence[str]) -> None:
        """Refuse columns of numbers that hold a few texts: they are no categories.

        Args:
            columns: Those that are to be looked at.

        Raises:
            InputError: Half of a column's values or more are numbers, and some are not.
        """
        for name in columns:
            if kind_of(self._table.schema.field(name).type) != TEXT:
                continue
            values = self._table.column(name).to_pylist()
            odd = [k for k, value in enumerate(values) if value is not None and not _number(value)]
            present = sum(value is not None for value in values)
            if odd and len(odd) <= present / 2:
                found = f"{show(values[odd[0]])} in column {name}, {self.place(odd[0])}"
                more = f" (and {len(odd) - 1:,} more)" if len(odd) > 1 else ""
                remedy = "mend it, leave it empty, or name the column in ignore"
                raise InputError(str(self.path), "numbers", found + more, remedy)

    def _read_text(self, encoding: str | None) -> str:
        path = str(self.path)
        try:
            stored = self.path.read_bytes()
        except OSError as error:
            remedy = "name one that may be read"
            raise InputError(path, "a file to read", str(error.strerror), remedy) from None
        if not stored.strip():
            found, remedy = "an empty file", "name another"
            raise InputError(path, "names of columns, and rows below", found, remedy)
        marked = stored[:2] in (b"\xff\xfe", b"\xfe\xff")
        name = encoding or ("utf-16" if marked else "utf-8-sig")
        try:
            return stored.decode(name)
        except LookupError:
            remedy = "name one such as utf-8, latin-1 or cp1252"
            raise InputError("encoding", "an encoding", show(encoding), remedy) from None
        except UnicodeError as error:
            start = getattr(error, "start", 0)
            line = stored[:start].count(b"\n") + 1
            found = f"byte 0x{stored[start]:02x} in line {line}, which is none"
            remedy = "save it as UTF-8, or add --data.encoding latin-1 if that is what it is in"
            if encoding is not None:
                remedy = "name another with encoding"
            expected = f"text in {'UTF-8' if encoding is None else encoding}"
            raise InputError(path, expected, found, remedy) from None

    def _find_delimiter(self, asked: str | None) -> str:
        if asked is not None:
            if len(asked) != 1 or asked in '"\r\n':
                remedy = "give one such as ';'"
                raise InputError("delimiter", "a single character", show(asked), remedy)
            return asked
        head = self._text[:SOME].splitlines()[:20]
        if self.path.suffix.lower() == ".tsv":
            return "\t"
        # The one that divides most lines as the first one, and that into most parts.
        counts = {each: _parts(head, each) for each in DELIMITERS}
        dividing = [each for each in DELIMITERS if counts[each][0] > 1]
        alike = {each: np.mean(np.array(counts[each]) == counts[each][0]) for each in dividing}
        return max(dividing, key=lambda each: (alike[each], counts[each][0]), default=",")

    def _reader(self, text: str) -> Any:
        return csv.reader(io.StringIO(text, newline=""), delimiter=self.delimiter)

    def _check_header(self) -> None:
        """Refuse a first line of numbers: no names, but the first row."""
        names: list[str] = next((line for line in self._reader(self._text[:SOME]) if line), [])
        named = [name.strip() for name in names if name.strip()]
        if named and all(_number(name.replace(",", ".")) for name in named):
            found = f"numbers ({show(self.delimiter.join(names[:4]))})"
            remedy = "write a line of names above them"
            raise InputError(str(self.path), "names of columns in line 1", found, remedy)

    def _find_decimal_point(self) -> str:
        """A comma where numbers are written so and none has a point."""
        if self.delimiter == ",":
            return "."
        rows = list(self._reader("\n".join(self._text[:SOME].splitlines()[1:200])))
        cells = [cell.strip() for row in rows for cell in row]
        commas = any(_WHOLE_COMMA.fullmatch(cell) for cell in cells)
        return "," if commas and not any(_WITH_POINT.fullmatch(cell) for cell in cells) else "."

    def _parse(self) -> pa.Table:
        import pyarrow as pa
        import pyarrow.csv as read

        options = read.ConvertOptions(
            strings_can_be_null=True,
            null_values=[*dict.fromkeys([*read.ConvertOptions().null_values, *MISSING])],
            decimal_point=self.decimal_point,
            column_types={name: pa.string() for name in self._texts},
        )
        parse = read.ParseOptions(delimiter=self.delimiter, newlines_in_values=True)
        stored = io.BytesIO(self._text.encode())
        try:
            return read.read_csv(
                stored, read.ReadOptions(use_threads=False), parse, convert_options=options
            )
        except pa.ArrowInvalid as error:
            raise self._invalid(str(error)) from None

    def _invalid(self, message: str) -> InputError:
        """What pyarrow found wrong, in a sentence."""
        path = str(self.path)
        found = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message)
        if found is None:
            remedy = "mend the file, or write it anew"
            return InputError(path, "a table of text", show(message.splitlines()[0]), remedy)
        number, expected, got = found.groups()
        remedy = (
            f"mend that line, or name what stands between values with delimiter (it was taken to "
            f"be {self.delimiter!r})"
        )
        where = self.place(int(number) - 2)
        return InputError(path, f"{expected} values in each line", f"{got} in {where}", remedy)


def _parts(lines: list[str], delimiter: str) -> list[int]:
    """Into how many parts a delimiter divides each line."""
    return [len(row) for row in csv.reader(lines, delimiter=delimiter) if row] or [0]


def _number(text: str) -> bool:
    try:
        float(text)
        return True
    except ValueError:
        return False
