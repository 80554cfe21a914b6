"""YAML without what PyYAML lets pass and a config never means, or what ends the process.

A key that stands twice loses its first value; aliases that double again and again hang; brackets
without end crash; a number that no float holds breaks whoever reads it.
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
        path: The file it stands in, for messages.

    Raises:
        yaml.YAMLError: Whatever is wrong; it reads "..., line 3 of FILE".
    """
    try:
        # The loader in Python: it raises RecursionError where the one in C ends the process.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _check(node, iter(range(_MOST_NODES)))
        return jsonargparse.get_loader("yaml")(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}{f' of {path}' if path else ''}" if mark else ""
        raise yaml.YAMLError(f"{error.problem or error.context}{where}") from None
    except yaml.reader.ReaderError as error:
        raise yaml.YAMLError(f"the character {chr(error.character)!r}") from None
    except RecursionError:
        raise yaml.YAMLError(f"more than {_MOST_DEPTH} levels") from None
    except ValueError as error:  # what looks like a number to PyYAML and is none, such as 0x_
        raise yaml.YAMLError(str(error)) from None


def _check(node: yaml.Node, left: Iterator[int], depth: int = 0) -> None:
    """Walk through all values, each alias written out; one within itself has no last level."""
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
    elif "\0" in node.value or not is_text(node.value):
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


def is_text(text: str) -> bool:
    """Whether UTF-8 can write it: half a character (a surrogate) is no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


jsonargparse.set_loader(MODE, load, (yaml.YAMLError,))
