"""Read and check the four IDX files of MNIST and similar sets, compressed (.gz) or not."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sae.errors import InputError

# File name without .gz -> SHA-256 of the decompressed bytes.
CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_UBYTE = 0x08
# Larger than any of the files. Reading stops here, so that a malicious archive cannot fill memory.
MOST_BYTES = 64 * 2**20
_REMEDY = "delete this file, then run again to download it, or copy a good one here"


@dataclass(frozen=True)
class IdxSet:
    """Names and checksums of four IDX files: training images and labels, test images and labels.

    Attributes:
        name: Name of the set, and of its folder in torchvision's layout.
        parts: Start of the names of the training files, and of the test files.
        archives: MD5 of each ``.gz`` archive by file name, where it is known.
        most_bytes: Largest decompressed size of a file in bytes; None is the limit for MNIST.
    """

    name: str = "MNIST"
    parts: tuple[str, str] = ("train", "t10k")
    archives: Mapping[str, str] = field(default_factory=dict)
    most_bytes: int | None = None

    @property
    def stems(self) -> list[str]:
        """The names of the files, without ``.gz``."""
        kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")
        return [f"{part}-{kind}" for part in self.parts for kind in kinds]

    def folders(self, root: Path) -> list[Path]:
        """The folders below ``root`` to search: torchvision's own folder first, then root."""
        own = root / self.name / "raw"
        return [own, own / "gzip", root / "raw", root / "gzip", root]


MNIST = IdxSet()


def find_folder(root: Path, files: IdxSet = MNIST) -> Path | None:
    """The first folder below ``root`` that holds all four files; None if there is none."""
    for folder in files.folders(root):
        if all(_locate(folder, stem) for stem in files.stems):
            return folder
    return None


def present(root: Path, files: IdxSet = MNIST) -> list[str]:
    """The names of those of the four files that are below ``root``, in any layout."""
    folders = files.folders(root)
    return [stem for stem in files.stems if any(_locate(folder, stem) for folder in folders)]


def unchecked(folder: Path, files: IdxSet) -> list[str]:
    """The names of the files without a known checksum: only their sizes can be checked."""
    found = [_locate(folder, stem) for stem in files.stems]
    if files.name == MNIST.name:
        return []
    return [path.name for path in found if path is not None and path.name not in files.archives]


def read_idx(folder: Path, stem: str, files: IdxSet = MNIST) -> Tensor:
    """Read and check one file.

    Every MNIST file is checked against its SHA-256, compressed or not. A file of another set is
    checked against the MD5 of its ``.gz`` archive, if that is known. In any case the length must
    match the header, and a file of another set must not be a file of MNIST.

    Args:
        folder: The folder of the file; nothing is written there.
        stem: File name without ``.gz``.
        files: The set to which the file belongs.

    Returns:
        uint8, (n, height, width) or (n,).

    Raises:
        InputError: The file is missing or damaged; the message names it.
    """
    path = _locate(folder, stem)
    if path is None:
        raise InputError(str(folder / stem), "a file", "none", "copy it here")
    if (wanted := files.archives.get(path.name)) is not None:
        found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        if found != wanted:
            expected = f"the original archive of {files.name} with MD5 {wanted[:12]}…"
            raise InputError(str(path), expected, f"another file ({found[:12]}…)", _REMEDY)
    content = _unpack(path, files.most_bytes or MOST_BYTES)
    found = hashlib.sha256(content).hexdigest()
    if files.name == MNIST.name and found != CHECKSUMS[stem]:
        expected = f"the original file with SHA-256 {CHECKSUMS[stem][:12]}… (decompressed)"
        raise InputError(str(path), expected, f"a damaged one ({found[:12]}…)", _REMEDY)
    if files.name != MNIST.name and found in CHECKSUMS.values():
        remedy = f"copy the file of {files.name} here, or name its folder with --data.root"
        raise InputError(str(path), f"a file of {files.name}", "the file of MNIST", remedy)
    try:
        return parse_idx(content)
    except ValueError as error:
        found = f"a damaged one ({error})"
        raise InputError(str(path), "an IDX file of unsigned bytes", found, _REMEDY) from None


def parse_idx(content: bytes) -> Tensor:
    """Convert bytes in IDX format to a tensor.

    Args:
        content: 0, 0, type, number of dimensions, sizes as big-endian int32, then the data.

    Returns:
        uint8, of the shape that the header gives.

    Raises:
        ValueError: The bytes are not IDX, not of unsigned bytes, or too few or too many.
    """
    if len(content) < 4:
        raise ValueError(f"not an IDX file: {len(content)} bytes")
    zero, kind, n_dims = int.from_bytes(content[:2], "big"), content[2], content[3]
    if zero != 0 or kind != _UBYTE:
        raise ValueError(f"not an IDX file of unsigned bytes: starts with {content[:4].hex()}")
    shape = np.frombuffer(content, dtype=">i4", count=n_dims, offset=4).tolist()
    data = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * n_dims)
    return torch.from_numpy(data.reshape(shape).copy())


def _locate(folder: Path, stem: str) -> Path | None:
    for path in (folder / f"{stem}.gz", folder / stem):
        if path.is_file():
            return path
    return None


def _unpack(path: Path, most_bytes: int) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read(most_bytes)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            str(path), "a whole .gz archive", f"a damaged one ({error})", _REMEDY
        ) from None
