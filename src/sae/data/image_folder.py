"""A folder of images of any size and format; its subfolders are the classes."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae.data.datamodule import SampleDataModule, Samples
from sae.data.image_files import (
    About,
    DamagedError,
    Found,
    Look,
    about,
    common_look,
    find_images,
    read_image,
)
from sae.data.image_rows import ImageRows, as_rows, damaged, in_threads
from sae.data.loader import Survey
from sae.data.prepare import Pixels, Preparation
from sae.data.remarks import LEAST_SHARE
from sae.errors import InputError, check_bool, check_choice, check_integer, show

COLOURS = ("auto", "grey", "rgb")
DAMAGED = ("error", "skip")
CACHES = ("auto", "memory", "none")
# Largest share of the machine's memory for decoded images; the rest is for training.
SHARE_OF_MEMORY = 0.25
MOST_SIDE, MOST_VAL, MOST_LISTED = 10_000, 5000, 12


class ImageFolderDataModule(SampleDataModule):
    """Images in a folder and its subfolders: PNG, JPEG, TIFF, WebP and other formats.

    All images get the same size and format: they are turned upright by their EXIF data, palettes
    and CMYK become RGB, and transparent pixels become white. The class of an image is the name of
    its subfolder; images directly in ``train`` have no class. Hidden files, and files without the
    suffix of an image, are skipped. A line on the screen reports what was found.

    Args:
        train: Folder for training and validation.
        test: Folder for the test, with the same names of subfolders; null holds out images of
            ``train``, as many as for validation.
        size: Height and width in pixels to which all images are resized; null if all images have
            the same size.
        crop: true scales an image to cover ``size`` and crops it at the centre, so that it keeps
            its proportions; false stretches it.
        colour: grey, rgb, or auto: rgb if any image has colours.
        bits: 8 or 16 bits per grey value or colour; null is 16 if any image has 16 bits. To read
            images of 16 bits with only 8, set it to 8.
        white: The pixel value that becomes 1 in the network: 4095 for a camera of 12 bits, 1 for
            masks of 0 and 1; null is 255, or 65,535 for 16 bits.
        classes: false ignores the names of subfolders.
        damaged: error stops at damaged files; skip leaves them out and lists them.
        cache: memory decodes all images once and keeps them in memory; none decodes an image each
            time it is needed, for data larger than memory; auto is memory if the images take at
            most a quarter of it. The trained weights are the same.
        batch_size: Images in a batch, summed over all processes; 1 or more.
        val_size: Number of images of ``train`` that are held out for validation; null for a tenth,
            at most 5,000.
        split_seed: Seed of the random choice of held-out images.
        labels: Number of training images whose labels are used; null for all. See
            :class:`~sae.data.datamodule.SampleDataModule`.
        labels_per_class: Number of labels that are used per class; null for all.
        label_seed: Seed of the choice of these labels; null for ``split_seed``.

    Attributes:
        look: The size and format of all images; set by ``setup``.

    Raises:
        InputError: There are no images, they have several sizes and ``size`` is null, files are
            damaged, or the classes of train and test differ.
    """

    in_order = True
    look: Look

    def __init__(
        self,
        train: str,
        test: str | None = None,
        size: list[int] | None = None,
        crop: bool = False,
        colour: str = "auto",
        bits: int | None = None,
        white: int | None = None,
        classes: bool = True,
        damaged: str = "error",
        cache: str = "auto",
        batch_size: int = 64,
        val_size: int | None = None,
        split_seed: int = 0,
        labels: int | None = None,
        labels_per_class: int | None = None,
        label_seed: int | None = None,
    ) -> None:
        held_out = 1 if val_size is None else val_size
        super().__init__(batch_size, held_out, split_seed, labels, labels_per_class, label_seed)
        check_size(size)
        for key, switch in (("crop", crop), ("classes", classes)):
            check_bool(key, switch)
        if crop and size is None:
            remedy = "add size: [64, 64], or another size"
            raise InputError("crop", "a size to crop to", "none", remedy)
        check_choice("colour", colour, COLOURS)
        if bits not in (None, 8, 16):
            raise InputError("bits", "8, 16 or null", show(bits), "choose one of these")
        if white is not None:
            check_integer("white", white, 1, "give the value of white, or null", high=65_535)
        check_choice("damaged", damaged, DAMAGED)
        check_choice("cache", cache, CACHES)
        self.folders = {"train": train, "test": test}
        self.size, self.crop, self.colour, self.bits = size, crop, colour, bits
        self.white, self.classes, self.damaged, self.cache = white, classes, damaged, cache
        self._val_size = val_size
        self._lines: list[str] = []
        self.name = Path(os.path.abspath(os.path.expanduser(train))).name or "images"

    def load(self) -> tuple[Samples, Samples]:
        """Read all headers, then decode all images: to keep them in memory, or only to check."""
        found, seen = self._found("train")
        self.census = Counter((each.height, each.width, each.kind) for each in seen)
        self.look = common_look(
            found.paths, seen, self.size, self.crop, self.colour, self.bits, self.white
        )
        if lost := sum(each.lost for each in seen):
            self._lines.append(
                f"data: {lost:,} images have 16 bits per colour, of which only 8 can be read; save "
                "them as PNG to keep 16"
            )
        x, kept = self._samples(found)
        names = [found.classes[k] for k in kept]
        self.paths = [found.paths[k] for k in kept]
        train = Samples(x, self._numbered(names, found))
        if self.folders["test"] is None:
            train, test = self._set_aside(train)
        else:
            test = self._test()
            self._choose_val_size(len(train))
        self.image_shape = self.look.shape
        self.description = f"{self.name} ({len(train):,} + {len(test):,} images of {self.look})"
        return train, test

    def prepared(self) -> Preparation:
        """The preparation that divides pixels by the value of white."""
        return Pixels(self.look.divisor)

    def resolved(self, class_path: str, init_args: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The options with absolute paths, and with the size, colour and bits that were chosen."""
        folders = {k: str(_path(x)) for k, x in self.folders.items() if x}
        look = {
            "size": [self.look.height, self.look.width],
            "colour": "rgb" if self.look.colours else "grey",
            "bits": self.look.bits,
            "white": self.look.white,
        }
        return class_path, {**init_args, **folders, **look}

    def remarks(self, seen: Survey) -> list[str]:
        """How images are read, which files are skipped, and a warning if all images are dark."""
        lines, white = list(self._lines), self.look.divisor
        peak = seen.high * white if seen.peak is None else seen.peak
        if peak < LEAST_SHARE * white:
            lines.append(
                f"warning: data: the brightest pixel of all is {peak:,.0f} of {white:,}, so the "
                f"network sees little contrast; add --data.white {max(1, round(peak))}"
            )
        return lines

    def details(self) -> list[str]:
        """Lines with the number of images of each format and size; a range for many sizes."""
        if len(self.census) <= MOST_LISTED:
            listed = self.census.most_common()
            return [f"{n:,} images of {h}x{w}: {kind}" for (h, w, kind), n in listed]
        lines = []
        for each in dict.fromkeys(kind for _, _, kind in self.census):
            of = {(h, w): n for (h, w, kind), n in self.census.items() if kind == each}
            heights, widths = (sorted(sides) for sides in zip(*of, strict=True))
            lines.append(
                f"{sum(of.values()):,} images in {len(of):,} sizes, {heights[0]} to {heights[-1]} "
                f"high and {widths[0]} to {widths[-1]} wide: {each}"
            )
        return lines

    def _found(self, part: str) -> tuple[Found, list[About]]:
        """Find the images of a folder and read their headers; leave out damaged files."""
        named = self.folders[part]
        assert named is not None
        found = find_images(_path(named))
        headers = list(in_threads(_header, found.paths, f"headers of {part}"))
        wrong = [(p, x) for p, x in zip(found.paths, headers, strict=True) if isinstance(x, str)]
        if wrong:
            self._pass_over(wrong)
        kept = [(k, header) for k, header in enumerate(headers) if not isinstance(header, str)]
        if not kept:
            raise damaged(wrong, "name a folder with whole images")
        if line := found.passed_over():
            self._lines.append(f"data: {named}: {line}")
        if several := sum(header.more for _, header in kept):
            files = "1 file holds" if several == 1 else f"{several:,} files hold"
            self._lines.append(f"data: {files} several images: only the first is read")
        paths, classes = zip(*((found.paths[k], found.classes[k]) for k, _ in kept), strict=True)
        return Found(found.root, list(paths), list(classes)), [header for _, header in kept]

    def _pass_over(self, wrong: Sequence[tuple[Path, str]]) -> None:
        """Add a remark that lists damaged files, or raise InputError if ``damaged`` is error."""
        if self.damaged == "error":
            remedy = "repair or remove it, or add --data.damaged skip to leave such files out"
            raise damaged(wrong, remedy)
        named = ", ".join(f"{path} ({reason})" for path, reason in wrong)
        files = "1 damaged file is" if len(wrong) == 1 else f"{len(wrong):,} damaged files are"
        self._lines.append(f"data: {files} left out: {named}")

    def _samples(self, found: Found) -> tuple[Tensor | ImageRows, list[int]]:
        """Decode the images of a folder; also return the indices of the files that are whole."""
        n, features = len(found.paths), math.prod(self.look.shape)
        nbytes = n * features * (1 if self.look.as_bytes else 4)
        fits = nbytes <= SHARE_OF_MEMORY * memory()
        in_memory = self.cache == "memory" or (self.cache == "auto" and fits)
        dtype = np.uint8 if self.look.bits == 8 else np.uint16
        pixels = np.empty((n if in_memory else 0, features), dtype)
        kept: list[int] = []
        wrong: list[tuple[Path, str]] = []

        def read(path: Path) -> NDArray[Any] | str:
            try:
                return read_image(path, self.look)
            except DamagedError as error:
                return str(error)

        for k, image in enumerate(in_threads(read, found.paths, "images")):
            if isinstance(image, str):
                wrong.append((found.paths[k], image))
                continue
            if in_memory:
                pixels[len(kept)] = image.reshape(-1)
            kept.append(k)
        if wrong:
            self._pass_over(wrong)
        if not kept:
            raise damaged(wrong, "name a folder with whole images")
        size = f"{nbytes / 2**20:,.1f} MiB" if nbytes < 2**30 else f"{nbytes / 2**30:,.1f} GiB"
        how = "kept in memory" if in_memory else "decoded again for each batch"
        self._lines.append(f"data: {len(kept):,} images of {self.look}, {how} ({size} in all)")
        if in_memory:
            return as_rows(pixels[: len(kept)], self.look), kept
        return ImageRows([found.paths[k] for k in kept], self.look), kept

    def _numbered(self, names: Sequence[str | None], found: Found) -> Tensor | None:
        """Set the class names, and return the class number of each training image, (n,)."""
        named = sorted({name for name in names if name is not None}, key=_in_order)
        if not self.classes or not named:
            return None
        if None in names:
            first = next(found.paths[k] for k, name in enumerate(found.classes) if name is None)
            remedy = "move it into a subfolder, or add --data.classes false to ignore subfolders"
            expected, found_ = "all images in subfolders, one for each class", "an image outside"
            raise InputError(str(first), expected, found_, remedy)
        if len(named) == 1:
            self._lines.append(f"data: all images are in {named[0]}: there are no classes")
            return None
        self.class_names = named
        counts = Counter(names)
        if len(named) <= 10:
            text = ", ".join(f"{name} ({counts[name]:,})" for name in named)
            self._lines.append(f"data: {len(named)} classes: {text}")
        return torch.tensor([named.index(str(name)) for name in names])

    def _test(self) -> Samples:
        """Read the images of the test folder in the format of those of train."""
        found, seen = self._found("test")
        for path, each in zip(found.paths, seen, strict=True):
            height, width = self.look.height, self.look.width
            if self.size is None and (each.height, each.width) != (height, width):
                expected, found_size = (
                    f"{height}x{width}, as in train",
                    f"{each.height}x{each.width}",
                )
                remedy = f"add --data.size [{height},{width}]"
                raise InputError(str(path), expected, found_size, remedy)
            if each.bits > self.look.bits and self.bits is None:
                remedy = "add --data.bits 16, or --data.bits 8 to drop the lower 8 bits"
                raise InputError(str(path), "8 bits, as in train", "16", remedy)
            if each.colours and not self.look.colours and self.colour == "auto":
                remedy = "add --data.colour rgb, or --data.colour grey to drop the colours"
                raise InputError(str(path), "grey, as in train", "colours", remedy)
        x, kept = self._samples(found)
        if not self.class_names:
            return Samples(x)
        known = {name: k for k, name in enumerate(self.class_names)}
        for k in kept:
            if found.classes[k] not in known:
                of = "none" if found.classes[k] is None else show(found.classes[k])
                expected, remedy = "a class of train", "move it, or choose another test folder"
                raise InputError(str(found.paths[k]), expected, of, remedy)
        return Samples(x, torch.tensor([known[str(found.classes[k])] for k in kept]))

    def _choose_val_size(self, n: int) -> None:
        if self._val_size is None:
            self.val_size = max(1, min(MOST_VAL, n // 10))

    def _set_aside(self, samples: Samples) -> tuple[Samples, Samples]:
        """Take the test images out of the others."""
        self._choose_val_size(len(samples))
        n, at_most = self.val_size, (len(samples) - 2) // 2
        if at_most < 1:
            remedy = "add images, or name others with test"
            raise InputError(
                str(self.folders["train"]), "4 images or more", str(len(samples)), remedy
            )
        if n > at_most:
            expected = f"{at_most} or fewer of {len(samples)} images: as many are set aside to test"
            remedy = f"write --data.val_size {max(1, len(samples) // 10)}, or name others with test"
            raise InputError("val_size", expected, str(n), remedy)
        generator = torch.Generator().manual_seed(self.split_seed + 1)
        index = torch.randperm(len(samples), generator=generator)[:n]
        return samples.without(index), samples[index]


def check_size(size: Any) -> None:
    """Raise :class:`~sae.errors.InputError` if ``size`` is neither None nor height and width."""
    if size is None:
        return
    if not isinstance(size, Sequence) or isinstance(size, str) or len(size) != 2:
        raise InputError("size", "height and width", show(size), "write, for example, [64, 64]")
    for k, side in enumerate(size):
        check_integer(f"size[{k}]", side, 1, "give a number of pixels", high=MOST_SIDE)


def memory() -> float:
    """Memory in bytes that this process may use: that of the machine, or of its container."""
    try:
        total = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # unknown on this system: assume 4 GiB
        return float(2**32)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, float(limit)) if limit.isdigit() else total


def _header(path: Path) -> About | str:
    """The header of a file; or the reason why it cannot be read."""
    try:
        return about(path)
    except DamagedError as error:
        return str(error)


def _in_order(name: str) -> tuple[int, int, str]:
    """A sort key: numbers in numerical order, then other names in alphabetical order."""
    return (0, int(name), name) if name.isdecimal() and name.isascii() else (1, 0, name)


def _path(path: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))
