"""Answer the requests of the demo page: run the network on a drawing, file, row or code."""

from __future__ import annotations

import base64
import io
import re
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae.data.rows import encode_rows
from sae.data.source import open_source
from sae.data.sources.csv_files import CsvSource
from sae.demo.examples import Gallery, read_gallery
from sae.errors import InputError, show
from sae.look.scores import squared_errors, totals
from sae.run.model import TrainedRun, read_mapping
from sae.text import shown_path

NEIGHBOURS = 8
# The page has input fields for tables with at most this number of columns.
MOST_FIELDS = 40
MOST_ROWS = 1000  # rows that are read from a file
MOST_LETTERS = 80  # letters of a file name that messages show
PERCENTS = range(1, 101)
MNIST = 20 / 28  # longer side of a digit, as a share of the side of its image


class Subject:
    """A run, with the validation samples to which new samples are compared.

    Args:
        run: The run.

    Attributes:
        remarks: Sentences on what the page cannot show, and why.
    """

    def __init__(self, run: TrainedRun) -> None:
        self.run, self.remarks = run, list[str]()
        self.data = read_mapping(run.folder, "manifest.json")["data"]
        self.gallery = self._read_gallery()
        self.percentiles = self._read_percentiles()

    def _read_gallery(self) -> Gallery | None:
        try:
            return read_gallery(self.run.folder, self.run.stack, self.data.get("sha256"))
        except InputError as error:
            self.remarks.append(f"no neighbours and no samples: {error}")
        return None

    def _read_percentiles(self) -> list[float]:
        """The percentiles 1 to 100 of the scores of the validation samples."""
        if not self.reconstructs:
            return []
        try:
            return [self.run.threshold(percent / 100) for percent in PERCENTS]
        except InputError as error:
            self.remarks.append(f"no comparison of the score: {error}")
        return []

    @property
    def reconstructs(self) -> bool:
        """Whether the decoders were trained."""
        return self.run.objective.reconstructs

    # Facts about the run

    def about(self) -> dict[str, Any]:
        """The facts from which the page is built."""
        run, gallery = self.run, self.gallery
        path = run.objective.path(run.stack.sizes)
        return {
            "name": shown_path(run.folder),
            "data": self.data["description"],
            "network": path,
            "images": run.is_of_images,
            "shape": list(run.image_shape) if run.is_of_images else [run.n_columns],
            "units": run.stack.n_code,
            "reconstructs": self.reconstructs,
            "denoises": run.denoises,
            "names": [] if run.is_of_images else run.column_names,
            "fields": [] if run.is_of_images else self._fields(),
            "samples": 0 if gallery is None else len(gallery.x),
            "classes": list(gallery.classes) if gallery is not None else [],
            "ranges": self._ranges(),
            "remarks": self.remarks,
        }

    def _fields(self) -> list[dict[str, Any]]:
        """The columns of a table, each with its range or its possible values."""
        names = self.run.column_names
        if len(names) > MOST_FIELDS:
            return []
        if self.gallery is None:
            return [{"name": name, "low": None, "high": None} for name in names]
        values = self._values(self.gallery.x)
        fields: list[dict[str, Any]] = []
        for k, name in enumerate(names):
            column = values[:, k]
            if any(isinstance(value, str) for value in column):
                fields.append({"name": name, "choices": sorted({str(v) for v in column})})
                continue
            numbers = column.astype(float)
            low, high = float(numbers.min()), float(numbers.max())
            fields.append({"name": name, "low": low, "high": high})
        return fields

    def _ranges(self) -> list[list[float]]:
        """The smallest and the largest value of each unit of the code over the samples."""
        if self.gallery is not None:
            codes = self.gallery.codes
            low, high = codes.min(axis=0), codes.max(axis=0)
        else:
            least, most = self.run.stack.code_range
            low = np.full(self.run.stack.n_code, max(least, -3.0))
            high = np.full(self.run.stack.n_code, min(most, 3.0))
        high = np.where(high > low, high, low + 1)
        return [[float(a), float(b)] for a, b in zip(low, high, strict=True)]

    def map(self, first: int, second: int) -> dict[str, Any]:
        """The validation samples as points in the plane of two units of the code.

        Args:
            first: The unit on the horizontal axis, from 0.
            second: The unit on the vertical axis, from 0.

        Raises:
            InputError: There is no such unit.
        """
        if self.gallery is None:
            return {"points": [], "classes": []}
        for unit in (first, second):
            _check_index("unit", unit, self.run.stack.n_code)
        points = self.gallery.codes[:, [first, second]].round(5).tolist()
        names = {name: k for k, name in enumerate(self.gallery.classes)}
        labels = self.gallery.labels
        return {
            "points": points,
            "classes": [] if labels is None else [names[str(label)] for label in labels],
        }

    # Results for a sample

    def sample(self, k: int) -> dict[str, Any]:
        """The results for validation sample ``k``, modulo their number."""
        if self.gallery is None:
            raise InputError("sample", "validation samples", "none", "; ".join(self.remarks))
        k %= len(self.gallery.x)
        found = self._look(self.gallery.x[k : k + 1], apart_from=k)
        return {**found, "label": self.gallery.name(k)}

    def image(self, content: bytes, drawn: bool, invert: bool = False) -> dict[str, Any]:
        """The results for an image.

        Args:
            content: The bytes of a file that Pillow reads.
            drawn: Whether it is a drawing in white on black: it is centred, and scaled to the size
                of the drawings in the run's images.
            invert: Whether to swap black and white.

        Raises:
            InputError: The file is not an image, or the run is not of images.
        """
        if not self.run.is_of_images:
            expected = "a table, like the run's data"
            raise InputError("file", expected, "an image", "drop a .csv file")
        try:
            with PIL.Image.open(io.BytesIO(content)) as opened:
                turned = PIL.ImageOps.exif_transpose(opened)
                image = (turned or opened).convert("L" if self._is_grey else "RGB")
        except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
            found = f"something else, or a damaged one ({type(error).__name__})"
            raise InputError("file", "an image", found, "drop a PNG or JPEG file") from None
        if invert:
            image = PIL.ImageOps.invert(image)
        height, width = self.run.image_shape[:2]
        fitted = centred(image, (width, height), self._part) if drawn else image
        pixels = np.asarray(PIL.ImageOps.fit(fitted, (width, height)), dtype=np.float32) / 255
        return self._look(torch.from_numpy(pixels.reshape(1, -1).copy()))

    @cached_property
    def _part(self) -> float:
        """The longer side of drawings in the run's images, as a share of the image."""
        if self.gallery is None or not self._is_grey:
            return MNIST
        height, width = self.run.image_shape[:2]
        return part_drawn(self.gallery.x.view(-1, height, width).numpy())

    @property
    def _is_grey(self) -> bool:
        return len(self.run.image_shape) == 2 or self.run.image_shape[2] == 1

    def row(self, values: Sequence[Any]) -> dict[str, Any]:
        """The results for a row of values in the units of the run's data.

        Args:
            values: One value for each column.

        Raises:
            InputError: The number or the types of the values are wrong.
        """
        if len(values) != self.run.n_columns:
            expected, found = f"{self.run.n_columns} values", str(len(values))
            raise InputError("row", expected, found, "give one for each column")
        row = np.empty((1, len(values)), dtype=object)
        row[0] = [None if isinstance(each, (list, dict)) else each for each in values]
        return self._look_at_row(row)

    def file(self, name: str, content: bytes, row: int = 0) -> dict[str, Any]:
        """The results for a row of a file, of any format that sae reads.

        Args:
            name: Name of the file; its suffix gives the format.
            content: The bytes of the file.
            row: Number of the row, from 0.

        Raises:
            InputError: The file cannot be read, or does not fit the run.
        """
        name = name.replace("\\", "/").rpartition("/")[2]
        if not name:
            raise InputError("file", "a file with a name", "one without", "rename it")
        # Only the suffix of the name is used: the name is untrusted.
        suffix = Path(name).suffix
        if not re.fullmatch(r"\.[A-Za-z0-9]{1,10}", suffix):
            found = show(suffix) if suffix else "none"
            remedy = "drop a file like the run's data"
            raise InputError("file", "a name with a suffix such as .csv", found, remedy)
        name = name if len(name) <= MOST_LETTERS else f"{name[:MOST_LETTERS]}…"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"x{suffix}"
            path.write_bytes(content)
            try:
                texts = self.run.text_columns if CsvSource.fits(path) else None
                source = open_source(path, texts=texts)
                rows = next(source.chunks(MOST_ROWS))
                columns = source.columns
            except InputError as error:
                raise InputError(name, error.expected, error.found, error.remedy) from None
        wanted = self.run.columns
        if wanted is not None and columns is not None:
            missing = [column for column in wanted if column not in columns]
            if missing:
                found = f"none called {show(missing[0])}"
                remedy = "add the missing columns"
                raise InputError(name, "all columns of the run's data", found, remedy)
            rows = rows[:, [columns.index(column) for column in wanted]]
        _check_index("row", row, len(rows))
        flat = rows[row].reshape(1, -1)
        if flat.shape[1] != self.run.n_columns:
            expected = f"{self.run.n_columns} values in a row"
            remedy = "drop a file like the run's data"
            raise InputError(name, expected, str(flat.shape[1]), remedy)
        return {**self._look_at_row(flat), "rows": len(rows), "row": row}

    def _look_at_row(self, values: NDArray[Any]) -> dict[str, Any]:
        """The results for a row, (1, columns), with a note on unknown categories."""
        found = self._look(self._inputs(values))
        if self.run.is_of_images:
            return found
        columns = zip(self.run.column_names, values[0], found["input"]["values"], strict=True)
        unknown = [
            f"{name} = {show(given)}"
            for name, given, taken in columns
            if isinstance(taken, str) and str(given) != taken
        ]
        if unknown:
            found["note"] = (
                "Values that are not in the training data are treated as missing: "
                f"{', '.join(unknown)}."
            )
        return found

    def decode(self, code: Sequence[float]) -> dict[str, Any]:
        """Decode a code.

        Args:
            code: One number for each unit.

        Raises:
            InputError: The run has no trained decoders, or the code has another size.
        """
        if not self.reconstructs:
            remedy = "look at its classes instead"
            raise InputError("run", "one that reconstructs", "a classifier", remedy)
        try:
            h = np.array(code, dtype=np.float32)
        except (TypeError, ValueError):
            h = np.zeros(0, np.float32)
        if h.shape != (self.run.stack.n_code,) or not np.isfinite(h).all():
            expected = f"{self.run.stack.n_code} finite numbers"
            raise InputError("code", expected, show(list(code)), "give one number for each unit")
        with torch.no_grad():
            x = self.run.stack.decode(torch.from_numpy(h)[None])
        return self._shown(x)

    def _inputs(self, values: NDArray[Any]) -> Tensor:
        """Convert a row of values to inputs of the network, (1, features)."""
        preparation = self.run.preparation
        try:
            if self.run.columns is None or getattr(preparation, "divisor", None) is not None:
                values = values.astype(np.float32)
            x = preparation(preparation.to_raw(values, self.run.columns))
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            found = f"something else ({' '.join(str(error).split())[:100]})"
            raise InputError("row", "a number in each field", found, "correct it") from None
        if x.shape[1] != self.run.stack.n_in or not bool(x.isfinite().all()):
            expected = f"{self.run.n_columns} finite values"
            found = f"{values.shape[1]}, or some that are not finite"
            raise InputError("row", expected, found, "correct it")
        return x

    @torch.no_grad()
    def _look(self, x: Tensor, apart_from: int | None = None) -> dict[str, Any]:
        """All results for one sample, (1, features), as values for JSON."""
        stack, code = self.run.stack, encode_rows(self.run.stack, x)[0]
        found: dict[str, Any] = {"input": self._shown(x), "code": code.tolist()}
        if self.reconstructs:
            rebuilt = stack.decode(code[None])
            score = float(totals(squared_errors(stack, x)))
            found["reconstruction"] = self._shown(rebuilt)
            if score == score:  # NaN for a row without any value
                found["score"] = {"value": score, "beyond": self._percent(score)}
        if hasattr(self.run.objective, "logits") and self.run.n_classes:
            logits: Tensor = self.run.objective.logits(code[None])  # type: ignore[operator]
            found["classes"] = [
                {"name": name, "probability": float(p)}
                for name, p in zip(
                    self.run.names_of("classes"), logits.softmax(dim=1)[0], strict=True
                )
            ]
        if self.gallery is not None:
            nearest = self.gallery.nearest(code.numpy(), NEIGHBOURS + 1)
            nearest = [pair for pair in nearest if pair[0] != apart_from][:NEIGHBOURS]
            found["neighbours"] = [
                {
                    **self._shown(self.gallery.x[k : k + 1]),
                    "label": self.gallery.name(k),
                    "distance": distance,
                }
                for k, distance in nearest
            ]
        return found

    def _percent(self, score: float) -> int | None:
        """The percentage of the validation samples with a lower score; None if unknown."""
        if not self.percentiles:
            return None
        return int(np.searchsorted(self.percentiles, score))

    # Conversion for the page

    def _values(self, x: Tensor) -> NDArray[Any]:
        """Convert inputs of the network to the user's units, (n, columns)."""
        preparation = self.run.preparation
        return preparation.from_raw(preparation.inverse(x))

    def _shown(self, x: Tensor) -> dict[str, Any]:
        """A sample for the page: a PNG image, or values in the user's units."""
        if not self.run.is_of_images:
            values = self._values(x)[0].tolist()
            return {"values": [v if isinstance(v, str) else float(f"{v:.6g}") for v in values]}
        pixels = (x[0].clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        shape = self.run.image_shape
        image = PIL.Image.fromarray(pixels.reshape(shape[:2] if self._is_grey else shape))
        buffer = io.BytesIO()
        image.save(buffer, "png", compress_level=1)
        return {"png": base64.b64encode(buffer.getvalue()).decode()}


def centred(image: PIL.Image.Image, size: tuple[int, int], part: float = MNIST) -> PIL.Image.Image:
    """Scale a drawing, and move its centre of mass to the centre of the image, as in MNIST.

    LeCun et al. (1998), "Gradient-based learning applied to document recognition", section III.A.

    Args:
        image: A drawing in white on black.
        size: Width and height of the result in pixels.
        part: Longer side of the drawing, as a share of the result, in (0, 1]; MNIST has 20/28.
    """
    inside = image.convert("L").getbbox()
    if inside is None:  # nothing is drawn
        return PIL.Image.new(image.mode, size)
    cut = image.crop(inside)
    scale = part * min(size[0] / cut.width, size[1] / cut.height)
    across, down = (max(1, round(scale * side)) for side in cut.size)
    small = cut.resize((across, down), PIL.Image.Resampling.LANCZOS)
    mass = np.asarray(small.convert("L"), dtype=np.float64)
    total = mass.sum() or 1.0
    x = (mass.sum(axis=0) * (np.arange(across) + 0.5)).sum() / total
    y = (mass.sum(axis=1) * (np.arange(down) + 0.5)).sum() / total
    left = min(max(0, round(size[0] / 2 - x)), size[0] - across)  # keep it inside the image
    top = min(max(0, round(size[1] / 2 - y)), size[1] - down)
    made = PIL.Image.new(image.mode, size)
    made.paste(small, (left, top))
    return made


def part_drawn(images: NDArray[np.float32]) -> float:
    """The longer side of the drawing as a share of its image: the median of some images.

    Args:
        images: Images in white on black, (n, height, width), in [0, 1].

    Returns:
        A number in (0, 1].
    """
    inked = images > 0.2
    parts = []
    for k in (1, 2):  # by rows, and by columns
        there = np.asarray(inked.any(axis=k))
        first, last = there.argmax(axis=1), there[:, ::-1].argmax(axis=1)
        parts.append(1 - (first + last) / there.shape[1])
    longest = np.maximum(*parts)[inked.any(axis=(1, 2))]
    return float(np.clip(np.median(longest), 0.1, 1)) if len(longest) else MNIST


def _check_index(key: str, value: int, n: int) -> None:
    if not 0 <= value < n:
        raise InputError(key, f"a number from 0 to {n - 1}", str(value), "choose another")
