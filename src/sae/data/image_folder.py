"""A folder of images, of any size and kind; its subfolders are the classes."""

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
# Of the machine's memory; what is left over is for training.
SHARE_OF_MEMORY = 0.25
MOST_SIDE, MOST_VAL, MOST_LISTED = 10_000, 5000, 12


class ImageFolderDataModule(SampleDataModule):
    """Images in a folder and its subfolders: PNG, JPEG, TIFF, WebP and the like.

    All are read alike: turned upright by what EXIF says, palettes and CMYK as colours, what is
    transparent as white, in one size. Images just below ``train`` have no classes; those in
    subfolders are of the class that is called as the subfolder is. Hidden files and files that are
    no images by their names are passed over. What is found is said in a line.

    Args:
        train: Folder to train on, validation among it.
        test: Folder to test on, with subfolders of the same names; null sets aside as many images
            of ``train`` as for validation.
        size: Height and width to which images of other sizes are brought; null for images that
            have one size.
        crop: Keep proportions: an image is scaled to cover ``size``, and what is too much is cut
            off evenly. false stretches it.
        colour: grey, rgb, or auto: rgb where any image has colours.
        bits: 8 or 16 of a grey or a colour; null is 16 where any image has as many. Images of 16
            bits are read with 8 only where this says so.
        white: The value that becomes 1 for the network: 4095 of a camera of 12 bits, 1 of masks of
            0 and 1; null is the greatest that there may be, 255 or 65,535.
        classes: false takes no notice of subfolders.
        damaged: error stops at files that are no whole images and names one; skip leaves them out
            and names them.
        cache: memory decodes all images once and keeps them; none decodes each whenever it is
            needed, for more images than memory holds; auto is memory where they take a quarter of
            it at most. The weights are the same.
        batch_size: Images in a batch, over all processes together; 1 or more.
        val_size: Images taken out of ``train`` for validation; null for a tenth, 5,000 at most.
        split_seed: Seed of that choice, and of which labels are known.
        labels: How many labels of training images are known; null for all. See
            :class:`~sae.data.datamodule.SampleDataModule`.
        labels_per_class: The same, for each class.
        label_seed: Seed of which labels are known; null takes split_seed.

    Attributes:
        look: How images are read, once they are set up.

    Raises:
        InputError: No images, images of several sizes and no ``size``, damaged files, or classes
            that do not fit.
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
            raise InputError("crop", "a size beside it", "none", "write size: [64, 64], or another")
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
        """Read all headers, then decode all images: into memory, or to see that they are whole."""
        found, seen = self._found("train")
        self.census = Counter((each.height, each.width, each.kind) for each in seen)
        self.look = common_look(
            found.paths, seen, self.size, self.crop, self.colour, self.bits, self.white
        )
        if lost := sum(each.lost for each in seen):
            self._lines.append(
                f"data: {lost:,} images have 16 bits a colour, of which Pillow reads 8; save them "
                "as PNG to keep all"
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
        """Pixels are divided by the greatest there may be."""
        return Pixels(self.look.divisor)

    def resolved(self, class_path: str, init_args: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The folders that were read, from wherever the next command is run, and how."""
        folders = {k: str(_path(x)) for k, x in self.folders.items() if x}
        look = {
            "size": [self.look.height, self.look.width],
            "colour": "rgb" if self.look.colours else "grey",
            "bits": self.look.bits,
            "white": self.look.white,
        }
        return class_path, {**init_args, **folders, **look}

    def remarks(self, seen: Survey) -> list[str]:
        """How images are read, what is passed over, and whatever else there is to say."""
        lines, white = list(self._lines), self.look.divisor
        peak = seen.high * white if seen.peak is None else seen.peak
        if peak < LEAST_SHARE * white:
            lines.append(
                f"warning: data: the brightest pixel of all is {peak:,.0f} of {white:,}, so that "
                f"the network sees little contrast; add --data.white {max(1, round(peak))}"
            )
        return lines

    def details(self) -> list[str]:
        """How many images there are of each kind and size; of many sizes the range."""
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
        """The images of a folder with whole headers, and what these say."""
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
            self._lines.append(f"data: {files} several images: the first is read")
        paths, classes = zip(*((found.paths[k], found.classes[k]) for k, _ in kept), strict=True)
        return Found(found.root, list(paths), list(classes)), [header for _, header in kept]

    def _pass_over(self, wrong: Sequence[tuple[Path, str]]) -> None:
        """Leave damaged files out, and name them; or stop, where that was not asked for."""
        if self.damaged == "error":
            raise damaged(wrong, "mend or remove it, or leave such files out: --data.damaged skip")
        named = ", ".join(f"{path} ({reason})" for path, reason in wrong)
        files = "1 damaged file is" if len(wrong) == 1 else f"{len(wrong):,} damaged files are"
        self._lines.append(f"data: {files} left out: {named}")

    def _samples(self, found: Found) -> tuple[Tensor | ImageRows, list[int]]:
        """The images of a folder, and which of the files are whole."""
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
        how = "kept in memory" if in_memory else "decoded anew for each batch"
        self._lines.append(f"data: {len(kept):,} images of {self.look}, {how} ({size} in all)")
        if in_memory:
            return as_rows(pixels[: len(kept)], self.look), kept
        return ImageRows([found.paths[k] for k in kept], self.look), kept

    def _numbered(self, names: Sequence[str | None], found: Found) -> Tensor | None:
        """The class of each training image, by number, and the names of all."""
        named = sorted({name for name in names if name is not None}, key=_in_order)
        if not self.classes or not named:
            return None
        if None in names:
            first = next(found.paths[k] for k, name in enumerate(found.classes) if name is None)
            remedy = "move it into one, or take no notice of them: --data.classes false"
            raise InputError(str(first), "images in folders of classes alone", "one beside", remedy)
        if len(named) == 1:
            self._lines.append(f"data: all images lie in {named[0]}: they are of no classes")
            return None
        self.class_names = named
        counts = Counter(names)
        if len(named) <= 10:
            text = ", ".join(f"{name} ({counts[name]:,})" for name in named)
            self._lines.append(f"data: {len(named)} classes: {text}")
        return torch.tensor([named.index(str(name)) for name in names])

    def _test(self) -> Samples:
        """The images of the test folder, read as those of train."""
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
                remedy = "add --data.bits 16, or --data.bits 8 to lose the lower ones"
                raise InputError(str(path), "8 bits, as in train", "16", remedy)
            if each.colours and not self.look.colours and self.colour == "auto":
                remedy = "add --data.colour rgb, or --data.colour grey to lose them"
                raise InputError(str(path), "no colours, as in train", "some", remedy)
        x, kept = self._samples(found)
        if not self.class_names:
            return Samples(x)
        known = {name: k for k, name in enumerate(self.class_names)}
        for k in kept:
            if found.classes[k] not in known:
                of = "none" if found.classes[k] is None else show(found.classes[k])
                expected = "a folder of one of the classes of train"
                raise InputError(str(found.paths[k]), expected, of, "move it, or name another test")
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
    """Refuse what is no height and width."""
    if size is None:
        return
    if not isinstance(size, Sequence) or isinstance(size, str) or len(size) != 2:
        raise InputError("size", "height and width", show(size), "write [64, 64], or another")
    for k, side in enumerate(size):
        check_integer(f"size[{k}]", side, 1, "give a number of pixels", high=MOST_SIDE)


def memory() -> float:
    """Bytes of memory that this process may use: the machine's, or its container's."""
    try:
        total = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # a system that does not tell
        return float(2**32)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, float(limit)) if limit.isdigit() else total


def _header(path: Path) -> About | str:
    """What the header says; or what is wrong."""
    try:
        return about(path)
    except DamagedError as error:
        return str(error)


def _in_order(name: str) -> tuple[int, int, str]:
    """Numbers by what they are, then all else by its letters."""
    return (0, int(name), name) if name.isdecimal() and name.isascii() else (1, 0, name)


def _path(path: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))
