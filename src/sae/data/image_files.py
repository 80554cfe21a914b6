"""Find image files in a folder, read their headers, and decode their pixels.

Pillow decodes them. Colour PNG files of 16 bits are decoded by torchvision, because Pillow would
return only their upper 8 bits without a warning.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sae.errors import InputError, show
from sae.nets.dense import MOST_UNITS

# fmt: off
SUFFIXES = frozenset((
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm",
    ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
))
# fmt: on
# Files that systems and programs leave in folders; names that begin with a dot are hidden, too.
HIDDEN = frozenset(("Thumbs.db", "thumbs.db", "desktop.ini", "Desktop.ini", "__MACOSX"))
ORIENTATION = 0x0112  # the EXIF tag
MARKS_OF_EXIF = (b"eXIf", b"Orientation", b"Raw profile type")
GREY_OF_COLOURS = np.array([0.299, 0.587, 0.114])  # ITU-R 601, as in Pillow
# Longer side in pixels of the size that a message proposes: small enough to train quickly.
GOOD_SIDE, GOOD_STEP = 64, 8
MOST = {8: 255, 16: 65_535}


class DamagedError(Exception):
    """A file that is not an image, or only part of one; the text gives the reason."""


@dataclass(frozen=True)
class Found:
    """The images of a folder.

    Attributes:
        root: The folder.
        paths: The images, sorted by name.
        classes: For each image the subfolder of the root that holds it; None for an image that is
            directly in the root.
        hidden: Number of hidden files and folders that were skipped.
        foreign: Number of files that were skipped because of their suffix.
        empty: Subfolders of the root without any image.
    """

    root: Path
    paths: list[Path]
    classes: list[str | None]
    hidden: int = 0
    foreign: int = 0
    empty: list[str] = field(default_factory=list)

    def passed_over(self) -> str:
        """One line on the files and folders that were skipped; empty if there are none."""
        counts = [f"{self.hidden:,} hidden"] if self.hidden else []
        counts += [f"{self.foreign:,} foreign"] if self.foreign else []
        files = "file" if self.hidden + self.foreign == 1 else "files"
        parts = [f"{' and '.join(counts)} {files} skipped"] if counts else []
        if self.empty:
            folders = "folder" if len(self.empty) == 1 else "folders"
            parts.append(f"{len(self.empty):,} {folders} without images ({_few(self.empty)})")
        return "; ".join(parts)


@dataclass(frozen=True)
class About:
    """The properties of an image, from the header of its file.

    Attributes:
        height: In pixels, after the image is turned upright.
        width: In pixels, after the image is turned upright.
        colours: Whether the image has colours; false for a palette that holds only greys.
        bits: 8 or 16: the bits per grey value or colour that can be read.
        kind: A description for messages: ``RGB``, ``CMYK``, ``grey, 16 bits``, ….
        lost: Whether the file has 16 bits per colour of which only 8 can be read.
        more: Whether the file holds several images, of which only the first is read.
    """

    height: int
    width: int
    colours: bool
    bits: int
    kind: str
    lost: bool = False
    more: bool = False


@dataclass(frozen=True)
class Look:
    """The common format to which all images are converted when they are read.

    Attributes:
        height: In pixels.
        width: In pixels.
        colours: True reads (height, width, 3) in red, green and blue; false reads grey values,
            (height, width).
        bits: 8 for uint8, 16 for uint16.
        crop: Whether an image of another size keeps its proportions and is cropped at the centre;
            otherwise it is stretched.
        white: The pixel value that becomes 1; None for 255 or 65,535, by ``bits``.
    """

    height: int
    width: int
    colours: bool
    bits: int = 8
    crop: bool = False
    white: int | None = None

    @property
    def divisor(self) -> int:
        """The number by which pixel values are divided."""
        return self.white or MOST[self.bits]

    @property
    def as_bytes(self) -> bool:
        """Whether images stay uint8 until a batch divides them; otherwise they become floats."""
        return self.divisor == MOST[8] and self.bits == 8

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an image: (height, width), or (height, width, 3)."""
        return (self.height, self.width, 3) if self.colours else (self.height, self.width)

    def __str__(self) -> str:
        kind = "in colour" if self.colours else "in grey"
        return f"{self.height}x{self.width} {kind}, {self.bits} bits"


def find_images(root: Path) -> Found:
    """Find the images of a folder and of all its subfolders.

    Args:
        root: The folder.

    Returns:
        The images, and the number of files that were skipped.

    Raises:
        InputError: There is no such folder, or no image in it.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "none"
        raise InputError(str(root), "a folder of images", found, "check the path")
    paths: list[Path] = []
    hidden = foreign = 0
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_cannot_read):
        hidden += sum(map(_is_hidden, folders))
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        for name in sorted(files):
            if _is_hidden(name):
                hidden += 1
            elif os.path.splitext(name)[1].lower() in SUFFIXES:
                paths.append(Path(folder, name))
            else:
                foreign += 1
    if not paths:
        others = f"{hidden + foreign:,} other files" if hidden + foreign else "an empty folder"
        remedy = "name the folder that holds the images"
        raise InputError(str(root), "a folder with images (.png, .jpg, …)", others, remedy)
    below = [path.relative_to(root).parts for path in paths]
    classes = [parts[0] if len(parts) > 1 else None for parts in below]
    subfolders = [each.name for each in root.iterdir() if each.is_dir()]
    empty = sorted(x for x in subfolders if not _is_hidden(x) and x not in classes)
    return Found(root, paths, classes, hidden, foreign, empty)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in HIDDEN


def _cannot_read(error: OSError) -> None:
    found = f"a folder that cannot be read ({error.strerror})"
    raise InputError(str(error.filename), "a folder of images", found, "change its permissions")


def about(path: Path) -> About:
    """Read the header of an image file, not its pixels.

    Args:
        path: The file.

    Raises:
        DamagedError: The file has no header that can be read.
    """
    try:
        if path.stat().st_size == 0:
            raise DamagedError("no bytes")
        with Image.open(path) as image:
            return _about(image, path)
    except DamagedError:
        raise
    except Exception as error:  # decoders raise many types of exceptions
        raise DamagedError(_reason(error)) from None


def _about(image: Image.Image, path: Path) -> About:
    height, width = image.height, image.width
    colours, bits, lost, kind = True, 8, False, image.mode
    if image.mode == "F":
        raise DamagedError("pixels of type float, whose range is unknown")
    if image.mode.startswith("I"):
        colours, bits, kind = False, 16, "grey, 16 bits"
    elif image.mode in ("1", "L", "LA", "La"):
        colours, kind = False, {"1": "black and white", "L": "grey"}.get(image.mode, "grey, alpha")
    elif image.mode in ("P", "PA"):
        colours, kind = _has_colours(image), "palette"
    if _has_16_bits(image):
        lost = image.format != "PNG" or _decode_16_bits() is None
        bits, kind = 8 if lost else 16, f"{image.mode}, 16 bits"
        if image.format == "PNG" and "LA" in str(_tile(image)[1]):
            colours, kind = False, "grey, alpha, 16 bits"
    more = bool(getattr(image, "is_animated", False))
    if _lies_on_its_side(image, path):
        height, width = width, height
    return About(height, width, colours, bits, kind, lost, more)


def _lies_on_its_side(image: Image.Image, path: Path) -> bool:
    """Whether EXIF says that height and width are to be swapped."""
    # In a PNG, EXIF may follow the pixels, and Pillow would decode them all to look for it. So
    # search the bytes first: most files have none.
    if image.format == "PNG" and "exif" not in image.info:
        content = path.read_bytes()
        if not any(mark in content for mark in MARKS_OF_EXIF):
            return False
    return image.getexif().get(ORIENTATION, 1) >= 5


def _has_colours(image: Image.Image) -> bool:
    """Whether the palette of an image holds a colour that is not grey."""
    palette = np.array(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
    return bool((palette != palette[:, :1]).any())


def _has_16_bits(image: Image.Image) -> bool:
    """Whether a file has 16 bits per colour, but Pillow returns only 8."""
    codec, args = _tile(image)
    if image.mode.startswith("I"):
        return False
    most = args[-1] if isinstance(args, tuple) and codec == "ppm" else 0
    return ";16" in str(args) or (isinstance(most, int) and most > MOST[8])


def _tile(image: Image.Image) -> tuple[str, Any]:
    """The codec of the pixels and its arguments; ("", None) for a file without pixels."""
    codec, *_, args = next(iter(getattr(image, "tile", ())), ("", None))
    return codec, args


def common_look(
    paths: Sequence[Path],
    seen: Sequence[About],
    size: Sequence[int] | None,
    crop: bool,
    colour: str,
    bits: int | None,
    white: int | None = None,
) -> Look:
    """Choose the format to which all images of a folder are converted.

    Args:
        paths: The files, at least one.
        seen: The header of each file.
        size: Height and width in pixels; None if all images have the same size.
        crop: Whether images of other sizes keep their proportions.
        colour: auto, grey or rgb.
        bits: 8 or 16; None for the most bits that any image has.
        white: The pixel value that becomes 1; None for 255 or 65,535, by ``bits``.

    Raises:
        InputError: The images have several sizes and ``size`` is None, or the images are too large.
    """
    sizes = Counter((each.height, each.width) for each in seen)
    if size is None and len(sizes) > 1:
        (common, n), first = sizes.most_common(1)[0], (seen[0].height, seen[0].width)
        other = next(k for k, each in enumerate(seen) if (each.height, each.width) != first)
        raise InputError(
            str(paths[other]),
            f"{first[0]}x{first[1]}, as {paths[0].name} has",
            f"{seen[other].height}x{seen[other].width} ({len(sizes)} sizes in all, most often "
            f"{common[0]}x{common[1]}, {n:,} times)",
            f"choose one size for all: {_size_to_propose(seen)} (--data.crop true keeps "
            "proportions)",
        )
    height, width = next(iter(sizes)) if size is None else size
    if height * width > MOST_UNITS:
        expected = f"images of at most {MOST_UNITS:,} pixels"
        remedy = f"write {_size_to_propose(seen)}"
        raise InputError("size", expected, f"{height}x{width}", remedy)
    colours = any(each.colours for each in seen) if colour == "auto" else colour == "rgb"
    return Look(height, width, colours, bits or max(each.bits for each in seen), crop, white)


def _size_to_propose(seen: Sequence[About]) -> str:
    """The option that sets the median size, reduced to sides of at most GOOD_SIDE pixels."""
    height, width = (
        median(sides) for sides in zip(*((x.height, x.width) for x in seen), strict=True)
    )
    scale = min(1, GOOD_SIDE / max(height, width))
    sides = (max(1, round(scale * side)) for side in (height, width))
    # Round large sides to multiples of 8, which convolutions can halve without a remainder.
    height, width = (
        side if side < 2 * GOOD_STEP else GOOD_STEP * round(side / GOOD_STEP) for side in sides
    )
    return f"--data.size [{height},{width}]"


def read_image(path: Path, look: Look) -> NDArray:
    """Decode an image: turned upright, resized, and without palette or alpha.

    Transparent pixels become white.

    Args:
        path: The file; if it holds several images, the first is read.
        look: The size, colours and bits of the result.

    Returns:
        uint8 or uint16, (height, width) or (height, width, 3).

    Raises:
        DamagedError: The file is not an image, or only part of one.
    """
    try:
        if path.stat().st_size == 0:
            raise DamagedError("no bytes")
        with Image.open(path) as image:
            if image.mode.startswith("I"):
                return _read_16_bits(np.array(image).astype(float)[..., None], image, look)
            decode = _decode_16_bits()
            if decode is not None and image.format == "PNG" and _has_16_bits(image):
                content = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
                array = decode(content, "UNCHANGED").numpy().transpose(1, 2, 0).astype(float)
                return _read_16_bits(array, image, look)
            return _read_8_bits(image, look)
    except DamagedError:
        raise
    except Exception as error:  # decoders raise many types of exceptions
        raise DamagedError(_reason(error)) from None


def _read_8_bits(image: Image.Image, look: Look) -> NDArray:
    if image.mode == "F":
        raise DamagedError("pixels of type float, whose range is unknown")
    # Decode a large JPEG at a reduced size, but at least twice the size asked for: this is faster.
    longer = 2 * max(look.height, look.width)
    image.draft(None, (longer, longer))
    image = ImageOps.exif_transpose(image)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(page, image.convert("RGBA"))
    if image.mode != "L":
        image = image.convert("RGB")
    image = image.convert("RGB" if look.colours else "L")
    array = np.array(_resized(image, look))
    return array if look.bits == 8 else array.astype(np.uint16) * 257  # 255 becomes 65,535


def _resized(image: Image.Image, look: Look) -> Image.Image:
    size = (look.width, look.height)
    if image.size == size:
        return image
    if look.crop:
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    return image.resize(size, Image.Resampling.BILINEAR)


@cache
def _decode_16_bits() -> Callable[..., torch.Tensor] | None:
    """The decoder of torchvision for PNG files of 16 bits; None if this version has none."""
    from torchvision import io

    return getattr(io, "decode_image", None)


def _read_16_bits(array: NDArray, image: Image.Image, look: Look) -> NDArray:
    """Convert decoded pixels of 16 bits, (height, width, channels), as :func:`read_image` does."""
    turned = image.getexif().get(ORIENTATION, 1)
    if array.min() < 0 or array.max() > MOST[16]:
        raise DamagedError(f"numbers from {array.min():g} to {array.max():g}, beyond 16 bits")
    if array.shape[2] in (2, 4):  # the last channel is alpha
        alpha = array[..., -1:] / MOST[16]
        array = array[..., :-1] * alpha + MOST[16] * (1 - alpha)
    if not look.colours and array.shape[2] == 3:
        array = (array @ GREY_OF_COLOURS)[..., None]
    array = _turned(array, turned)
    if array.shape[:2] != (look.height, look.width):
        planes = [Image.fromarray(plane) for plane in np.moveaxis(array, -1, 0).astype(np.float32)]
        array = np.stack([np.asarray(_resized(each, look)) for each in planes], axis=-1).astype(
            float
        )
    array = array if look.bits == 16 else array / 257
    array = (
        array.round().clip(0, MOST[look.bits]).astype(np.uint16 if look.bits == 16 else np.uint8)
    )
    return np.repeat(array, 3 // array.shape[2], axis=2) if look.colours else array[..., 0]


def _turned(array: NDArray, orientation: int) -> NDArray:
    """Turn an array (height, width, …) upright, by its orientation in EXIF (1 to 8)."""
    if orientation in (5, 7):
        array = array.swapaxes(0, 1)
    turns = {3: 2, 4: 2, 6: 3, 7: 2, 8: 1}.get(orientation, 0)
    array = np.rot90(array, turns)
    return array[:, ::-1] if orientation in (2, 4) else array


def _reason(error: Exception) -> str:
    if type(error).__name__ == "UnidentifiedImageError":
        return "not an image, despite its name"
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels"
    return show(" ".join(str(error).split()) or type(error).__name__).strip("'\"")


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
