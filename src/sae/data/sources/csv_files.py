"""Tables as text: CSV and TSV, also with the delimiters and decimal commas of spreadsheets."""

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
# Missing values as pandas, R and the UCI repository write them, in addition to pyarrow's list.
MISSING = ("None", "?", "N/A", "NaN")
# Number of characters at the start of a file that are used to detect its format.
SOME = 2**16
_WHOLE_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)
_WITH_POINT = re.compile(r"[+-]?\d*\.\d+(e[+-]?\d+)?", re.IGNORECASE)


class CsvSource(TableSource):
    """A text table whose first line names the columns. It is read into memory completely.

    The decimal character, and the delimiter if it is not given, are detected from the file.

    Args:
        path: The file.
        id: Column with the name of each row; it is not an input.
        delimiter: Character between values; None detects a comma, semicolon, tab or bar.
        encoding: Text encoding; None is UTF-8, or UTF-16 if the file begins with its mark.
        texts: Columns that hold texts, even if all of these look like numbers.

    Raises:
        InputError: The file is empty, damaged, or of another format.
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
        """See :class:`~sae.data.table_source.TableSource`; also the line, as in an editor."""
        reader = self._reader(self._text)
        before, left = 0, row + 1  # a row may have several lines; the first row holds the names
        for values in reader:
            if values and left == 0:
                return f"row {row} (line {before + 1})"
            left -= bool(values)
            before = reader.line_num
        return f"row {row}"

    def is_number(self, text: str) -> bool:
        """See :class:`~sae.data.table_source.TableSource`; also with this file's decimal comma."""
        return super().is_number(text.replace(self.decimal_point, "."))

    def check_numbers(self, columns: Sequence[str]) -> None:
        """Raise InputError if a column of numbers contains a few texts.

        Args:
            columns: The columns to check.

        Raises:
            InputError: At least half of the values of a column are numbers, and some are not.
        """
        for name in columns:
            if kind_of(self._table.schema.field(name).type) != TEXT:
                continue
            values = self._table.column(name).to_pylist()
            there = [k for k, value in enumerate(values) if value is not None]
            odd = [k for k in there if not self.is_number(values[k])]
            if odd and len(odd) <= len(there) / 2:
                found = f"{show(values[odd[0]])} in column {name}, {self.place(odd[0])}"
                more = f" (and {len(odd) - 1:,} more)" if len(odd) > 1 else ""
                remedy = "correct it, leave it empty, or add the column to ignore"
                raise InputError(str(self.path), "numbers", found + more, remedy)

    def _read_text(self, encoding: str | None) -> str:
        path = str(self.path)
        try:
            stored = self.path.read_bytes()
        except OSError as error:
            remedy = "choose a file that you can read"
            raise InputError(path, "a file to read", str(error.strerror), remedy) from None
        if not stored.strip():
            found, remedy = "an empty file", "choose another file"
            raise InputError(path, "a line of column names, and rows below", found, remedy)
        marked = stored[:2] in (b"\xff\xfe", b"\xfe\xff")
        name = encoding or ("utf-16" if marked else "utf-8-sig")
        try:
            return stored.decode(name)
        except LookupError:
            remedy = "choose one, such as utf-8, latin-1 or cp1252"
            raise InputError("encoding", "an encoding", show(encoding), remedy) from None
        except UnicodeError as error:
            start = getattr(error, "start", 0)
            line = stored[:start].count(b"\n") + 1
            found = f"the invalid byte 0x{stored[start]:02x} in line {line}"
            remedy = "save it as UTF-8, or give its encoding, for example --data.encoding latin-1"
            if encoding is not None:
                remedy = "choose another with encoding"
            expected = f"text in {'UTF-8' if encoding is None else encoding}"
            raise InputError(path, expected, found, remedy) from None

    def _find_delimiter(self, asked: str | None) -> str:
        if asked is not None:
            if len(asked) != 1 or asked in '"\r\n':
                remedy = "choose one, such as ';'"
                raise InputError("delimiter", "a single character", show(asked), remedy)
            return asked
        head = self._text[:SOME].splitlines()[:20]
        if self.path.suffix.lower() == ".tsv":
            return "\t"
        # Choose the delimiter that splits most lines into as many values as the first line, and
        # among equal ones the one that splits it into most values.
        counts = {each: _parts(head, each) for each in DELIMITERS}
        dividing = [each for each in DELIMITERS if counts[each][0] > 1]
        alike = {each: np.mean(np.array(counts[each]) == counts[each][0]) for each in dividing}
        return max(dividing, key=lambda each: (alike[each], counts[each][0]), default=",")

    def _reader(self, text: str) -> Any:
        return csv.reader(io.StringIO(text, newline=""), delimiter=self.delimiter)

    def _check_header(self) -> None:
        """Raise InputError if the first line holds numbers: it is a row, not column names."""
        names: list[str] = next((line for line in self._reader(self._text[:SOME]) if line), [])
        named = [name.strip() for name in names if name.strip()]
        if named and all(_number(name.replace(",", ".")) for name in named):
            found = f"numbers ({show(self.delimiter.join(names[:4]))})"
            remedy = "insert a line of column names above them"
            raise InputError(str(self.path), "column names in line 1", found, remedy)

    def _find_decimal_point(self) -> str:
        """``,`` if numbers have a decimal comma and none has a point; otherwise ``.``."""
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
        """Convert an error message of pyarrow to an InputError."""
        path = str(self.path)
        found = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message)
        if found is None:
            remedy = "correct the file, or save it again"
            return InputError(path, "a text table", show(message.splitlines()[0]), remedy)
        number, expected, got = found.groups()
        remedy = (
            "correct that line, or set the character between values with delimiter (now "
            f"{self.delimiter!r})"
        )
        where = self.place(int(number) - 2)
        return InputError(path, f"{expected} values in each line", f"{got} in {where}", remedy)


def _parts(lines: list[str], delimiter: str) -> list[int]:
    """The number of values in each line for a delimiter; [0] if there are no lines."""
    return [len(row) for row in csv.reader(lines, delimiter=delimiter) if row] or [0]


def _number(text: str) -> bool:
    try:
        float(text)
        return True
    except ValueError:
        return False
