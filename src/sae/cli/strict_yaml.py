"""Strict YAML: refuse what PyYAML accepts although no config means it, or what ends the process.

PyYAML keeps only the last value of a key that stands twice. Aliases of aliases can hang, very deep
brackets can crash, and a number too large for a float breaks the code that reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonargparse
import yaml

# The parser mode of this name reads config files and the values on the command line.
MODE = "strict_yaml"
_MOST_DEPTH = 50
_MOST_NODES = 100_000
_MOST_DIGITS = 300  # no float is larger


def load(text: str, path: str = "") -> Any:
    """Plain values from YAML.

    Args:
        text: The YAML.
        path: The file that it comes from, for messages.

    Raises:
        yaml.YAMLError: The text is wrong; the message reads "..., line 3 of FILE".
    """
    try:
        # The loader in Python raises RecursionError; the loader in C would end the process.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _check(node, iter(range(_MOST_NODES)))
        return jsonargparse.get_loader("yaml")(text)
    # PyYAML raises ValueError for text that only looks like a number, such as 0x_.
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}{f' of {path}' if path else ''}" if mark else ""
        what = getattr(error, "problem", None) or str(error).split("\n")[0]
        raise yaml.YAMLError(f"{what}{where}") from None


def _check(node: yaml.Node, left: Iterator[int], depth: int = 0) -> None:
    """Check all values, with aliases expanded; an alias within itself never ends."""
    found, mark, children = None, node.start_mark, []
    if depth > _MOST_DEPTH or next(left, None) is None:
        found = f"more than {_MOST_DEPTH} levels or {_MOST_NODES} values"
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, value in node.value:
            children += [key, value]
            if isinstance(key, yaml.ScalarNode):
                if key.value in names:
                    found, mark = f"{key.value!r} twice", key.start_mark
                names.add(key.value)
    elif not is_text(node.value):
        found = "a NUL or half a character"
    elif too_long_a_number(node.value):
        found = f"a number of {len(node.value)} digits"
    if found:
        raise yaml.MarkedYAMLError(problem=found, problem_mark=mark)
    for child in children:
        _check(child, left, depth + 1)


def too_long_a_number(text: str) -> bool:
    """Whether the text is an integer that no float can hold."""
    return re.fullmatch(rf"\s*[-+]?[0-9_]{{{_MOST_DIGITS},}}\s*", text) is not None


def too_deep(text: str) -> bool:
    """Whether brackets are nested so deeply that a parser in C may end the process."""
    depth = 0
    for letter in text if len(text) > _MOST_DEPTH else "":
        depth += (letter in "[{") - (letter in "]}")
        if depth > _MOST_DEPTH:
            return True
    return False


def is_text(text: str) -> bool:
    """Whether files and paths can hold the text: no NUL, no half characters (surrogates)."""
    return re.search("[\0\ud800-\udfff]", text) is None


jsonargparse.set_loader(MODE, load, (yaml.YAMLError,))
