"""Files of images: which there are in a folder, what their headers say, and their pixels.

Pillow decodes; PNG files of 16 bits in colour are decoded by torchvision, for Pillow would give
their upper 8 bits and not say so.
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
# What systems and programs leave in folders, beside all names that begin with a dot.
HIDDEN = frozenset(("Thumbs.db", "thumbs.db", "desktop.ini", "Desktop.ini", "__MACOSX"))
ORIENTATION = 0x0112  # the EXIF tag
MARKS_OF_EXIF = (b"eXIf", b"Orientation", b"Raw profile type")
GREY_OF_COLOURS = np.array([0.299, 0.587, 0.114])  # ITU-R 601, as Pillow has it
# A side of images that are quickly trained on.
GOOD_SIDE, GOOD_STEP = 64, 8
MOST = {8: 255, 16: 65_535}


class DamagedError(Exception):
    """A file that is no image, or not a whole one; the text says why."""


@dataclass(frozen=True)
class Found:
    """The images of a folder.

    Attributes:
        root: The folder.
        paths: The images, in the order of their names.
        classes: The folder just below the root that each lies in; None where it lies in the root.
        hidden: Files and folders of the system's, passed over.
        foreign: Files that are no images by their names, passed over.
        empty: Folders just below the root without any image.
    """

    root: Path
    paths: list[Path]
    classes: list[str | None]
    hidden: int = 0
    foreign: int = 0
    empty: list[str] = field(default_factory=list)

    def passed_over(self) -> str:
        """What is not read, for people; nothing where all is."""
        counts = [f"{self.hidden:,} hidden"] if self.hidden else []
        counts += [f"{self.foreign:,} foreign"] if self.foreign else []
        files = "file" if self.hidden + self.foreign == 1 else "files"
        parts = [f"{' and '.join(counts)} {files} passed over"] if counts else []
        if self.empty:
            folders = "folder" if len(self.empty) == 1 else "folders"
            parts.append(f"{len(self.empty):,} {folders} without images ({_few(self.empty)})")
        return "; ".join(parts)


@dataclass(frozen=True)
class About:
    """What the header of a file says.

    Attributes:
        height: In pixels, once turned upright.
        width: The same.
        colours: Whether it has any; a palette of greys has none.
        bits: 8 or 16 of a grey or a colour, as they can be read.
        kind: For people: ``RGB``, ``CMYK``, ``grey, 16 bit``, ….
        lost: Whether there are 16 bits in the file of which 8 can be read.
        more: Whether the file holds more than the one image that is read.
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
    """How images are read: all alike.

    Attributes:
        height: In pixels.
        width: In pixels.
        colours: As (height, width, 3), red, green and blue; else as (height, width) of greys.
        bits: 8 as uint8, or 16 as uint16.
        crop: Keep the proportions of an image of another size, and cut off evenly what is too much;
            else it is stretched.
        white: The value that becomes 1; None for the greatest there may be.
    """

    height: int
    width: int
    colours: bool
    bits: int = 8
    crop: bool = False
    white: int | None = None

    @property
    def divisor(self) -> int:
        """What values are divided by."""
        return self.white or MOST[self.bits]

    @property
    def as_bytes(self) -> bool:
        """Whether images are handed on as uint8, and divided batch by batch; else as floats."""
        return self.divisor == MOST[8] and self.bits == 8

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an image."""
        return (self.height, self.width, 3) if self.colours else (self.height, self.width)

    def __str__(self) -> str:
        kind = "in colour" if self.colours else "in grey"
        return f"{self.height}x{self.width} {kind}, {self.bits} bits"


def find_images(root: Path) -> Found:
    """The images of a folder and of all folders in it.

    Args:
        root: The folder.

    Raises:
        InputError: There is no such folder, or no image in it.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "none"
        raise InputError(str(root), "a folder of images", found, "mend the path")
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
        others = f"{hidden + foreign:,} other files" if hidden + foreign else "an empty one"
        remedy = "name the folder that holds them"
        raise InputError(str(root), "a folder with images (.png, .jpg, …)", others, remedy)
    below = [path.relative_to(root).parts for path in paths]
    classes = [parts[0] if len(parts) > 1 else None for parts in below]
    subfolders = [each.name for each in root.iterdir() if each.is_dir()]
    empty = sorted(x for x in subfolders if not _is_hidden(x) and x not in classes)
    return Found(root, paths, classes, hidden, foreign, empty)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in HIDDEN


def _cannot_read(error: OSError) -> None:
    found = f"one that cannot be read ({error.strerror})"
    raise InputError(str(error.filename), "a folder of images", found, "mend its permissions")


def about(path: Path) -> About:
    """What the header of a file says; its pixels are not read.

    Raises:
        DamagedError: It has none that can be read.
    """
    try:
        if path.stat().st_size == 0:
            raise DamagedError("no bytes")
        with Image.open(path) as image:
            return _about(image, path)
    except DamagedError:
        raise
    except Exception as error:  # decoders raise whatever they meet
        raise DamagedError(_reason(error)) from None


def _about(image: Image.Image, path: Path) -> About:
    height, width = image.height, image.width
    colours, bits, lost, kind = True, 8, False, image.mode
    if image.mode == "F":
        raise DamagedError("floats, whose range an image does not tell")
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
    """Whether EXIF says so."""
    # It may come after the pixels of a PNG, which Pillow decodes to look for it: for most in vain.
    if image.format == "PNG" and "exif" not in image.info:
        content = path.read_bytes()
        if not any(mark in content for mark in MARKS_OF_EXIF):
            return False
    return image.getexif().get(ORIENTATION, 1) >= 5


def _has_colours(image: Image.Image) -> bool:
    """Whether a palette has any."""
    palette = np.array(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
    return bool((palette != palette[:, :1]).any())


def _has_16_bits(image: Image.Image) -> bool:
    """Whether there are 16 bits a colour in a file of which Pillow gives 8."""
    codec, args = _tile(image)
    if image.mode.startswith("I"):
        return False
    most = args[-1] if isinstance(args, tuple) and codec == "ppm" else 0
    return ";16" in str(args) or (isinstance(most, int) and most > MOST[8])


def _tile(image: Image.Image) -> tuple[str, Any]:
    """The codec of the pixels of a file, and its arguments; of none where there are no pixels."""
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
    """How all images of a folder are read.

    Args:
        paths: They.
        seen: What their headers say.
        size: Height and width; None where all have one.
        crop: Whether images of other sizes keep their proportions.
        colour: auto, grey or rgb.
        bits: 8 or 16; None for the most that there are.
        white: The value that becomes 1; None for the greatest there may be.

    Raises:
        InputError: They have several sizes, and none is given.
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
            f"name one for all: {_size_to_propose(seen)} (and --data.crop true keeps proportions)",
        )
    height, width = next(iter(sizes)) if size is None else size
    if height * width > MOST_UNITS:
        expected = f"images of {MOST_UNITS:,} pixels at most"
        remedy = f"write {_size_to_propose(seen)}"
        raise InputError("size", expected, f"{height}x{width}", remedy)
    colours = any(each.colours for each in seen) if colour == "auto" else colour == "rgb"
    return Look(height, width, colours, bits or max(each.bits for each in seen), crop, white)


def _size_to_propose(seen: Sequence[About]) -> str:
    """The size of a typical image, or a smaller one of its proportions."""
    height, width = (
        median(sides) for sides in zip(*((x.height, x.width) for x in seen), strict=True)
    )
    scale = min(1, GOOD_SIDE / max(height, width))
    sides = (max(1, round(scale * side)) for side in (height, width))
    # Multiples of 8, which convolutions halve without a rest, where that changes little.
    height, width = (
        side if side < 2 * GOOD_STEP else GOOD_STEP * round(side / GOOD_STEP) for side in sides
    )
    return f"--data.size [{height},{width}]"


def read_image(path: Path, look: Look) -> NDArray:
    """The pixels of an image: upright, without palette and alpha, of one size and kind.

    What is transparent shows white, as on a page.

    Args:
        path: Its file; of several images in it, the first.
        look: How.

    Returns:
        uint8 or uint16, (height, width) or (height, width, 3).

    Raises:
        DamagedError: It is no whole image.
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
    except Exception as error:  # decoders raise whatever they meet
        raise DamagedError(_reason(error)) from None


def _read_8_bits(image: Image.Image, look: Look) -> NDArray:
    if image.mode == "F":
        raise DamagedError("floats, whose range an image does not tell")
    # A JPEG of a camera is decoded at a fraction of its size, never below twice what is wanted.
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
    """What decodes PNG files of 16 bits; newer versions of torchvision may have it no more."""
    from torchvision import io

    return getattr(io, "decode_image", None)


def _read_16_bits(array: NDArray, image: Image.Image, look: Look) -> NDArray:
    """The same of what was decoded already, (height, width, channels)."""
    turned = image.getexif().get(ORIENTATION, 1)
    if array.min() < 0 or array.max() > MOST[16]:
        raise DamagedError(f"numbers from {array.min():g} to {array.max():g}, beyond 16 bits")
    if array.shape[2] in (2, 4):  # the last one is how opaque it is
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
    """(height, width, …) upright, by the number that EXIF has for how it lies."""
    if orientation in (5, 7):
        array = array.swapaxes(0, 1)
    turns = {3: 2, 4: 2, 6: 3, 7: 2, 8: 1}.get(orientation, 0)
    array = np.rot90(array, turns)
    return array[:, ::-1] if orientation in (2, 4) else array


def _reason(error: Exception) -> str:
    if type(error).__name__ == "UnidentifiedImageError":
        return "no image, whatever its name says"
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than can be meant"
    return show(" ".join(str(error).split()) or type(error).__name__).strip("'\"")


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
