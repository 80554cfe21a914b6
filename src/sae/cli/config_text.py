"""The config of a run as text, to repeat the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from sae.errors import InputError

# The parser writes this for an object that it cannot write.
_INSTEAD = "Unable to serialize instance "


def written(parser: ArgumentParser, config: Namespace) -> str:
    """A config as complete YAML.

    Args:
        parser: The parser of these options.
        config: Their values.

    Raises:
        InputError: A value is an object that cannot be written as YAML.
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
    expected = "options that can be written as YAML, to repeat the run"
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
