"""The config of a run as text, from which the run can be repeated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from sae.errors import InputError

# What the parser writes for an object that it cannot write.
_INSTEAD = "Unable to serialize instance "


def written(parser: ArgumentParser, config: Namespace) -> str:
    """A config as YAML, known to say all that it says.

    Args:
        parser: Of these options.
        config: Their values.

    Raises:
        InputError: One of them is an object that cannot be written down.
    """
    try:
        text = parser.dump(config, skip_unset=True)
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise _error("config", " ".join(str(error).split())[-200:]) from None
    for key, value in _texts(yaml.safe_load(text)):
        if value.startswith(_INSTEAD):
            raise _error(key, value.removeprefix(_INSTEAD))
    return text


def _error(key: str, what: str) -> InputError:
    expected = "options that can be written down, to run them again"
    remedy = "leave it out, or give it as plain text and numbers"
    return InputError(key, expected, f"one that cannot be ({what})", remedy)


def _texts(config: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """All texts of a config, each with its dotted key."""
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(config, dict):
        pairs = config.items()
    elif isinstance(config, list):
        pairs = enumerate(config)
    elif isinstance(config, str):
        yield key, config
    for name, inner in pairs:
        yield from _texts(inner, f"{key}.{name}" if key else str(name))
