"""The four IDX files of MNIST and of sets like it, packed (.gz) or not, read and checked."""

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

# File name without .gz -> SHA-256 of the unpacked bytes.
CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_UBYTE = 0x08
# More than any of the files: an archive made to unpack without end is read no further.
MOST_BYTES = 64 * 2**20
_REMEDY = "delete this file, then run again to download it, or copy a good one here"


@dataclass(frozen=True)
class IdxSet:
    """A set of four IDX files: images and labels to train on, and to test on.

    Attributes:
        name: Of the set, and of its folder as torchvision lays it out.
        parts: What the names of the files to train on, and of those to test on, begin with.
        archives: MD5 of each ``.gz`` archive, by file name, where they are known.
        most_bytes: No file is larger, unpacked; None is the limit for MNIST.
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
        """Where the files may lie below ``root``: torchvision's own folder, or root itself."""
        own = root / self.name / "raw"
        return [own, own / "gzip", root / "raw", root / "gzip", root]


MNIST = IdxSet()


def find_folder(root: Path, files: IdxSet = MNIST) -> Path | None:
    """The folder below ``root`` that holds all four files: torchvision's own, or root itself."""
    for folder in files.folders(root):
        if all(_locate(folder, stem) for stem in files.stems):
            return folder
    return None


def present(root: Path, files: IdxSet = MNIST) -> list[str]:
    """Which of the four files lie below ``root``, in any of its layouts."""
    folders = files.folders(root)
    return [stem for stem in files.stems if any(_locate(folder, stem) for folder in folders)]


def unchecked(folder: Path, files: IdxSet) -> list[str]:
    """Which of the files no checksum is known for: their sizes alone can be checked."""
    found = [_locate(folder, stem) for stem in files.stems]
    if files.name == MNIST.name:
        return []
    return [path.name for path in found if path is not None and path.name not in files.archives]


def read_idx(folder: Path, stem: str, files: IdxSet = MNIST) -> Tensor:
    """One file as a uint8 tensor, checked.

    Of MNIST all bytes are checked, packed or not; of other sets those of the ``.gz`` archives whose
    MD5 is known. All else has to be as long as it says, and must not be MNIST under another name.

    Args:
        folder: Where the file lies; nothing is written there.
        stem: File name without ``.gz``.
        files: The set that it is of.

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
            raise InputError(str(path), expected, f"another one ({found[:12]}…)", _REMEDY)
    content = _unpack(path, files.most_bytes or MOST_BYTES)
    found = hashlib.sha256(content).hexdigest()
    if files.name == MNIST.name and found != CHECKSUMS[stem]:
        expected = f"the original file with SHA-256 {CHECKSUMS[stem][:12]}… when unpacked"
        raise InputError(str(path), expected, f"a damaged one ({found[:12]}…)", _REMEDY)
    if files.name != MNIST.name and found in CHECKSUMS.values():
        remedy = f"copy that of {files.name} here, or name its folder with --data.root"
        raise InputError(str(path), f"a file of {files.name}", "that of MNIST", remedy)
    try:
        return parse_idx(content)
    except ValueError as error:
        found = f"a damaged one ({error})"
        raise InputError(str(path), "an IDX file of unsigned bytes", found, _REMEDY) from None


def parse_idx(content: bytes) -> Tensor:
    """Bytes in IDX format (0, 0, type, dimensions, sizes in big-endian int32, data) as a tensor."""
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
