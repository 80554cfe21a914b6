"""Images: one file, or a folder of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sae.data.image_files import (
    SUFFIXES,
    About,
    DamagedError,
    Found,
    Look,
    about,
    common_look,
    find_images,
    read_image,
)
from sae.data.image_rows import damaged, in_threads
from sae.data.source import Source


class ImageSource(Source):
    """Images that are decoded when needed; pixels go from 0 to 255, or to 65,535.

    Args:
        path: A file, or a folder, whose images are read in the order of their names.
        size: Height and width in pixels to which all images are resized; None if all images have
            the same size.
        colour: grey, rgb, or auto: rgb if any image has colours.
        bits: 8 or 16; None for the most bits that any image has.
        crop: Whether images keep their proportions and are cropped at the centre.

    Attributes:
        remarks: Lines on files that were skipped and images that are converted.

    Raises:
        InputError: There are no images, one is damaged, or they have several sizes and ``size`` is
            None.
    """

    suffixes = (".png", ".jpg", ".tif")

    def __init__(
        self,
        path: Path,
        size: Sequence[int] | None = None,
        colour: str = "auto",
        bits: int | None = None,
        crop: bool = False,
    ) -> None:
        super().__init__(path)
        found = Found(path.parent, [path], [None]) if path.is_file() else find_images(path)
        self._paths, root = found.paths, found.root
        seen = list(in_threads(_header, self._paths))
        self._look = common_look(self._paths, seen, size, crop, colour, bits)
        self.n, self.sample_shape = len(seen), self._look.shape
        self.dtype = "uint8" if self._look.bits == 8 else "uint16"
        self.ids = [each.relative_to(root).as_posix() for each in self._paths]
        self.remarks = [line] if (line := found.passed_over()) else []
        self.remarks += _changes(seen, self._look)

    @classmethod
    def fits(cls, path: Path) -> bool:
        """Whether the path is an image, or a folder with images and without arrays."""
        if path.is_file():
            return path.suffix.lower() in SUFFIXES
        files = (each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES)
        return path.is_dir() and not any(path.glob("*.np[yz]")) and any(files)

    def chunks(self, rows: int) -> Iterator[NDArray]:
        """See :class:`~sae.data.source.Source`."""
        for first in range(0, self.n, rows):
            images = in_threads(self._read, self._paths[first : first + rows])
            yield np.stack([image.reshape(-1) for image in images])

    def _read(self, path: Path) -> NDArray:
        try:
            return read_image(path, self._look)
        except DamagedError as error:
            raise damaged([(path, str(error))]) from None


def _header(path: Path) -> About:
    try:
        return about(path)
    except DamagedError as error:
        raise damaged([(path, str(error))]) from None


def _changes(seen: Sequence[About], look: Look) -> list[str]:
    """Lines on how many images are resized, turned grey, or lose bits."""
    sizes = sum((each.height, each.width) != (look.height, look.width) for each in seen)
    colours = sum(each.colours and not look.colours for each in seen)
    bits = sum(each.bits > look.bits or each.lost for each in seen)
    done = [
        (sizes, f"resized to {look.height}x{look.width}"),
        (colours, "converted to grey"),
        (bits, "read with 8 of their 16 bits"),
    ]
    return [f"{n:,} of {len(seen):,} images are {what}" for n, what in done if n]
