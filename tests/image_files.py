"""Small image files of every kind; each shows a ramp, dark at the left and bright at the right."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 32
RAMP = np.tile(np.linspace(0, 1, WIDTH), (HEIGHT, 1))
GREY = (RAMP * 255).round().astype(np.uint8)
GREY16 = (RAMP * 65535).round().astype(np.uint16)


def rgb() -> Image.Image:
    return Image.fromarray(np.repeat(GREY[..., None], 3, axis=2))


def png16(path: Path, array: np.ndarray) -> None:
    """A PNG of 16 bits with 1 to 4 channels, which Pillow does not write."""
    height, width, channels = array.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def lying(path: Path, orientation: int) -> None:
    """The ramp as a camera stores it that was held in this way; EXIF says so."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # undoes what a viewer will do
    image = rgb()
    if orientation in back:
        image = image.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)


def folder(root: Path, n: int = 12, classes: tuple[str, ...] = ("cats", "dogs"), side: int = 6):
    """Noisy images in class folders, each class of another brightness."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(n):
            image = rng.integers(0, 100, (side, side, 3)) + 140 * k
            Image.fromarray(image.astype(np.uint8)).save(root / name / f"{i:03}.png")
    return root


def cut(path: Path, other: Path) -> None:
    """A copy that ends too early."""
    other.write_bytes(path.read_bytes()[:-50])
