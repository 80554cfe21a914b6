"""Reading the four IDX files of MNIST, packed (.gz) or not, with their checksums."""

from __future__ import annotations

import gzip
import hashlib
import zlib
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


def find_folder(root: Path) -> Path | None:
    """The folder below ``root`` that holds all four files: torchvision's own, or root itself."""
    for folder in (root / "MNIST" / "raw", root / "raw", root):
        if all(_locate(folder, stem) for stem in CHECKSUMS):
            return folder
    return None


def present(root: Path) -> list[str]:
    """Which of the four files lie below ``root``, in any of its layouts."""
    folders = (root / "MNIST" / "raw", root / "raw", root)
    return [stem for stem in CHECKSUMS if any(_locate(folder, stem) for folder in folders)]


def read_idx(folder: Path, stem: str) -> Tensor:
    """One file as a uint8 tensor, checked.

    Args:
        folder: Where the file lies; nothing is written there.
        stem: File name without ``.gz``.

    Returns:
        uint8, (n, height, width) or (n,).

    Raises:
        InputError: The file is missing or damaged; the message names it.
    """
    path = _locate(folder, stem)
    if path is None:
        raise InputError(str(folder / stem), "a file", "none", "copy it here")
    content = _unpack(path)
    found = hashlib.sha256(content).hexdigest()
    if found != CHECKSUMS[stem]:
        expected = f"the original file with SHA-256 {CHECKSUMS[stem][:12]}… when unpacked"
        raise InputError(str(path), expected, f"a damaged one ({found[:12]}…)", _REMEDY)
    return parse_idx(content)


def parse_idx(content: bytes) -> Tensor:
    """Bytes in IDX format (0, 0, type, dimensions, sizes in big-endian int32, data) as a tensor."""
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


def _unpack(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read(MOST_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            str(path), "a whole .gz archive", f"a damaged one ({error})", _REMEDY
        ) from None
