"""The ready-made configs, by name: ``--config stacked.yaml``, ``--config sweeps/digits.yaml``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import sae
from sae.text import shown_path

_OPTIONS = ("--config", "-c")


def folder() -> Path:
    """The folder of the configs: in the installed package, or in the clone."""
    package = Path(sae.__file__).resolve().parent
    packaged = package / "configs"
    return packaged if packaged.is_dir() else package.parents[1] / "configs"


def with_ready_made(words: Sequence[str]) -> list[str]:
    """Replace the name of a ready-made config by its path, and print the path on stderr.

    A file of that name in the current folder is used instead.

    Args:
        words: The words of the command line.
    """
    found = list(words)
    for k, word in enumerate(words):
        option, equals, name = word.partition("=")
        if option not in _OPTIONS:
            continue
        where = k if equals else k + 1
        name = name if equals else next(iter(words[where:]), "")
        path = folder() / name
        if Path(name).exists() or ".." in Path(name).parts or not path.is_file():
            continue
        found[where] = f"{option}={path}" if equals else str(path)
        if os.environ.get("LOCAL_RANK", "0") == "0":  # not in each process of a run
            print(f"config: {shown_path(path)}", file=sys.stderr, flush=True)
    return found
