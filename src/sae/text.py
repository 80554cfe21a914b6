"""Numbers, networks and paths as people read and type them."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path


def program() -> str:
    """How this program is called, for commands to be typed next.

    ``python cli.py`` where that was run, as in a clone; else ``sae``, which an installation brings.
    """
    return "python cli.py" if Path(sys.argv[0]).name == "cli.py" else "sae"


def chain(sizes: Sequence[int]) -> str:
    """``784→128→784`` from [784, 128]."""
    return "→".join(str(size) for size in [*sizes, *reversed(sizes[:-1])])


def epochs(n: int) -> str:
    """``1 epoch`` or ``5 epochs``."""
    return f"{n} epoch" if n == 1 else f"{n} epochs"


def shown_path(path: Path) -> str:
    """A path as one would type it here: relative where it lies below the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def typed_path(path: Path) -> str:
    """The same for a command line: quoted where it must be."""
    return shlex.quote(shown_path(path))


def megabytes(n_bytes: float) -> str:
    """A size for people."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if n_bytes < 1000 or unit == "TB":
            return f"{n_bytes:.0f} {unit}" if unit == "bytes" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    raise AssertionError


def of_samples(words: str) -> str:
    """Words on images, for samples that are none: ``SSE per sample``, ``MSE per value``."""
    words = re.sub(r"\bimage(s?)\b", r"sample\1", words)
    return re.sub(r"\bpixel(s?)\b", r"value\1", words)


def cell(words: str) -> str:
    """Words for a CSV, in quotes where they would end a cell."""
    quoted = '"' + words.replace('"', '""') + '"'
    return quoted if any(c in words for c in ',"\r\n') else words
