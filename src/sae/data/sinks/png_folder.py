"""Results as a folder of PNG files, one image per sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from sae.data.sinks.sink import Layout, Sink
from sae.errors import InputError

DEEP = 65_535


class Images(Sink):
    """PNG files of 8 bits, or of 16 bits for grey samples of 16 bits.

    Each file is named after the id of its sample: the name of the input file, or its number.
    Values below black or above white are clipped.
    """

    is_folder = True

    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path, layout)
        self._names: set[str] = set()
        self._digits = len(str(max(0, layout.n - 1)))

    @classmethod
    def check(cls, key: str, layout: Layout) -> None:
        """Raise :class:`InputError` if the samples are not images."""
        if not layout.image_shape:
            remedy = "name a file that ends in .npy, .csv or .parquet"
            found = "samples that are not images, and a name without a suffix"
            raise InputError(key, "images for a folder of PNG files", found, remedy)

    def write(self, ids: NDArray[Any], *parts: NDArray[Any]) -> None:
        """Write a file for each sample."""
        (values,) = parts
        shape, white = self.layout.image_shape, self.layout.white
        deep = white == DEEP and len(shape) == 2
        top, dtype = (DEEP, np.uint16) if deep else (255, np.uint8)
        shades = (values / white).clip(0, 1) * top
        for name, image in zip(ids, shades.round().astype(dtype), strict=True):
            PIL.Image.fromarray(image.reshape(shape)).save(self.path / self._file(name))

    def _file(self, name: Any) -> str:
        """The name of a sample's file; a number is added if the name is taken."""
        if isinstance(name, (int, np.integer)):
            stem = f"{int(name):0{self._digits}d}"
        else:
            # The folders are part of the name: files in different folders may have the same name.
            parts = [part for part in Path(str(name)).parts if part.strip("/.")]
            stem = "-".join(parts) or "image"
            if Path(stem).suffix.lower() in PIL.Image.registered_extensions():
                stem = Path(stem).stem
        new, number = stem, 1
        while new in self._names:
            new, number = f"{stem}_{number}", number + 1
        self._names.add(new)
        return f"{new}.png"

    def close(self) -> None:
        """Do nothing: each file is complete."""
