"""YAML without what a config never means: a key twice, two documents, tags, loops of aliases.

PyYAML lets these pass, or breaks on them in ways that name no line: a hang, a crash of the process.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import jsonargparse
import yaml

# The parser mode of this name reads config files and the values on the command line.
MODE = "strict_yaml"
_MOST_DEPTH = 50
_MOST_NODES = 100_000
_MOST_DIGITS = 300  # no float is larger


@dataclass
class _Open:
    """A mapping or a list whose end is still to come."""

    anchor: str | None
    is_mapping: bool
    children: int = 0
    nodes: int = 1
    keys: set[str] = field(default_factory=set)


def load(text: str, path: str = "") -> Any:
    """Plain values from YAML.

    Args:
        text: The YAML.
        path: The file it stands in, for messages.

    Raises:
        yaml.YAMLError: Whatever is wrong; it reads "found ..., line 3 of FILE".
    """
    try:
        _check(text, path)
        return jsonargparse.get_loader("yaml")(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _error(f"a mistake ({error.problem or error.context})", mark, path) from None
    except yaml.reader.ReaderError as error:
        raise _error(f"the character {chr(error.character)!r}", None, path) from None
    except ValueError as error:  # what looks like a number to PyYAML and is none, such as 0x_
        raise _error(f"a mistake ({error})", None, path) from None


def too_long_a_number(text: str) -> bool:
    """Whether the text is an integer that no float can hold."""
    return re.fullmatch(rf"\s*[-+]?[0-9_]{{{_MOST_DIGITS},}}\s*", text) is not None


def _check(text: str, path: str) -> None:
    above: list[_Open] = []
    sizes: dict[str, int] = {}  # by anchor, aliases written out
    n_documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = event.start_mark
        if isinstance(event, yaml.DocumentStartEvent):
            n_documents += 1
            if n_documents > 1:
                raise _error("a second document", mark, path)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = above.pop()
            if done.anchor:
                sizes[done.anchor] = done.nodes
            if above:
                above[-1].nodes += done.nodes
        elif isinstance(event, yaml.NodeEvent):
            _check_node(event, above, sizes, path)
        if above and above[-1].nodes > _MOST_NODES:
            raise _error(f"more than {_MOST_NODES} values", mark, path)


def _check_node(
    event: yaml.NodeEvent, above: list[_Open], sizes: dict[str, int], path: str
) -> None:
    mark, tag, value = event.start_mark, getattr(event, "tag", None), getattr(event, "value", "")
    if tag is not None:
        raise _error(f"the tag {tag!r}", mark, path)
    if "\0" in value or not is_text(value):
        raise _error("a NUL or half a character", mark, path)
    if too_long_a_number(value):
        raise _error(f"a number of {len(value)} digits", mark, path)
    if above:
        parent = above[-1]
        is_key = parent.is_mapping and parent.children % 2 == 0
        if is_key and isinstance(event, yaml.ScalarEvent) and value != "<<":
            if value in parent.keys:
                raise _error(f"{value!r} twice", mark, path)
            parent.keys.add(value)
        parent.children += 1
    if isinstance(event, yaml.CollectionStartEvent):
        if len(above) == _MOST_DEPTH:
            raise _error(f"more than {_MOST_DEPTH} levels", mark, path)
        above.append(_Open(event.anchor, isinstance(event, yaml.MappingStartEvent)))
    elif above:
        if isinstance(event, yaml.AliasEvent) and any(o.anchor == event.anchor for o in above):
            raise _error(f"*{event.anchor} within itself", mark, path)
        above[-1].nodes += sizes.get(event.anchor, 1) if event.anchor else 1


def is_text(text: str) -> bool:
    """Whether UTF-8 can write it: half a character (a surrogate) is no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _error(found: str, mark: Any, path: str) -> yaml.YAMLError:
    line = f" in line {mark.line + 1}" if mark else ""
    where = f" of {path}" if path and mark else f" in {path}" if path else ""
    return yaml.YAMLError(f"found {found}{line}{where}")


jsonargparse.set_loader(MODE, load, (yaml.YAMLError,))
