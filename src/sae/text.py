"""Text for people: numbers, networks, paths and commands."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path


def program() -> str:
    """The name of this program, for commands that the user can type.

    ``python cli.py`` if that was run, as in a clone; else ``sae``, the installed command.
    """
    return "python cli.py" if Path(sys.argv[0]).name == "cli.py" else "sae"


def chain(sizes: Sequence[int]) -> str:
    """``784→128→784`` from [784, 128]."""
    return "→".join(str(size) for size in [*sizes, *reversed(sizes[:-1])])


def epochs(n: int) -> str:
    """``1 epoch`` or ``5 epochs``."""
    return f"{n} epoch" if n == 1 else f"{n} epochs"


def shown_path(path: Path) -> str:
    """A path as a user types it here: relative if it is below the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def typed_path(path: Path) -> str:
    """The same for a command line, quoted if necessary."""
    return shlex.quote(shown_path(path))


def megabytes(n_bytes: float) -> str:
    """A number of bytes in a readable unit."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if n_bytes < 1000 or unit == "TB":
            return f"{n_bytes:.0f} {unit}" if unit == "bytes" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    raise AssertionError


def of_samples(words: str) -> str:
    """Replace images and pixels, for other samples: ``SSE per sample``, ``MSE per value``."""
    words = re.sub(r"\bimage(s?)\b", r"sample\1", words)
    return re.sub(r"\bpixel(s?)\b", r"value\1", words)


def cell(words: str) -> str:
    """Text for a cell of a CSV file, in quotes if necessary."""
    quoted = '"' + words.replace('"', '""') + '"'
    return quoted if any(c in words for c in ',"\r\n') else words
