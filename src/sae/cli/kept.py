"""The kept description of the command line, ``options.json``; see :mod:`sae.cli.described`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("options.json")
_PACKAGE = Path(__file__).parents[1]
# Where options, their help and their choices are written.
_SOURCES = [
    "cli/described.py",
    "cli/data_options.py",
    "cli/on_files.py",
    "cli/options.py",
    "cli/sentences.py",
    "cli/verbs/*.py",
    "data/*.py",
    "nets/activations.py",
    "nets/build.py",
    "nets/reconstruction_loss.py",
    "terms/corruption.py",
    "training/handover.py",
    "training/recipe.py",
    "training/stacked.py",
]
# Where a new file is a new kind.
_ROOMS = ["augment/*.py", "export/formats/*.py", "nets/*.py", "objectives/*.py", "terms/*.py"]


def read() -> dict[str, Any] | None:
    """The description; None where it is damaged, or made from other sources than these.

    Where another Lightning is installed, nothing is said of the Trainer's options.
    """
    try:
        found = json.loads(PATH.read_text(encoding="utf-8"))
        if found["sources"] != fingerprint():
            return None
        found["trainer_is_known"] = found["lightning"] == version("lightning")
        for each in found["verbs"].values():
            if "like" in each:
                each["options"] = list(_shared(found["verbs"][each["like"]]["options"], each))
    except (OSError, ValueError, KeyError, TypeError, PackageNotFoundError):
        return None
    return found if isinstance(found, dict) else None


def write(description: dict[str, Any]) -> None:
    """Keep a description, an option a line. Verbs with nearly the same options share them."""
    verbs: dict[str, Any] = {}
    for verb, each in description["verbs"].items():
        shared = verbs.get("fit", {}).get("options", [])
        own = [option for option in each["options"] if option not in shared]
        without = [option["key"] for option in shared if option not in each["options"]]
        short = {**each, "like": "fit", "without": without, "also": own}
        del short["options"]
        again = list(_shared(shared, short))
        verbs[verb] = short if again == each["options"] and len(again) > len(own) + 20 else each
    PATH.write_text(_lines({**description, "verbs": verbs}) + "\n", encoding="utf-8")


def fingerprint() -> str:
    """A hash of all that options come from; a text file may end its lines in either way."""
    found = hashlib.sha256()
    for pattern in _SOURCES:
        for path in sorted(_PACKAGE.glob(pattern)):
            found.update(path.name.encode() + path.read_bytes().replace(b"\r\n", b"\n"))
    for pattern in _ROOMS:
        found.update(" ".join(sorted(path.name for path in _PACKAGE.glob(pattern))).encode())
    return found.hexdigest()[:16]


def _shared(options: list[Any], verb: dict[str, Any]) -> Iterator[Any]:
    yield from (option for option in options if option["key"] not in verb["without"])
    yield from verb["also"]


def _lines(value: Any, indent: str = "") -> str:
    """JSON in which what holds no mappings is one line."""
    inner = indent + " "
    if isinstance(value, dict) and any(isinstance(each, (dict, list)) for each in value.values()):
        if "names" not in value:
            items = [
                f"{inner}{json.dumps(key)}: {_lines(each, inner)}" for key, each in value.items()
            ]
            return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        items = [f"{inner}{_lines(each, inner)}" for each in value]
        return "[\n" + ",\n".join(items) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False)
