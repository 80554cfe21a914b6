"""What the parser takes, as plain data: for ``--help``, and for the quick check.

The description of the whole command line is kept in ``options.json`` beside this module, so that a
typo and ``--help`` are answered without torch and Lightning (:mod:`sae.cli.kept`). After a change
of an option, of its help or of a kind, write it again::

    python -m sae.cli.described

A test fails until this is done; the command line itself works as ever, it only takes longer to
answer a typo.
"""

from __future__ import annotations

import argparse
import inspect
import json
import types
import typing
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from sae.cli import kept
from sae.cli.help_page import verb_page

# Groups of options whose texts are choices, by the last part of a key.
RECIPES = ("model", "pretrain", "finetune", "head")
# What the parser's own options do, and those whose text the parser makes up.
_TEXTS = {
    "help": "Show this page.",
    "config": "A YAML file with options in groups; a ready-made one by its name (stacked.yaml). "
    "Of several the later one wins, and the command line wins over all.",
    "print_config": "Print the config that results, and end.",
    "seed_everything": "The seed of weights, batches and noise. The same seed gives the same "
    "weights.",
    "data": "The data, by the name of a class: {datamodules}; or the import path of your own. Its "
    "options follow as --data.NAME VALUE; --data.help CLASS lists them.",
    "ckpt_path": "The weights: finetune/checkpoints/best.ckpt in the folder of a run.",
    "verbose": "Print the figures.",
}
_RUN = "lightning_logs/stacked/version_0"
_FINISHED = f"--config {_RUN}/config.yaml --ckpt_path {_RUN}/finetune/checkpoints/best.ckpt"
# Verb of Lightning's -> words that may follow it.
EXAMPLES = {
    "fit": "--config stacked.yaml --finetune.epochs 50",
    "validate": _FINISHED,
    "test": _FINISHED,
    "predict": _FINISHED,
}
_TYPES = {int: "N", float: "NUMBER", bool: "true|false", str: "TEXT", list: "LIST", dict: "MAPPING"}


def page_of(
    verb: str, text: str, example: str, required: Sequence[str], parser: ArgumentParser
) -> str:
    """The page of ``--help`` of a verb, by its own parser."""
    return verb_page(verb, text, example, describe(parser, required))


def describe(parser: ArgumentParser, required: Sequence[str]) -> list[dict[str, Any]]:
    """The options of a parser, each as a mapping.

    Args:
        parser: All options are in it.
        required: The keys that must have a value; see :func:`required_keys`.

    Returns:
        For each option: ``names``, as typed; ``key``, as in YAML; ``takes``, whether a value must
        follow; and of those that a page of help shows ``type``, ``default`` and ``help``.
    """
    described = []
    for action in parser._actions:
        if not action.option_strings:
            continue
        key = action.dest
        each: dict[str, Any] = {"names": list(action.option_strings), "key": key}
        each["takes"] = action.nargs is None
        hint = getattr(action, "_typehint", None)
        own = key in ("help", "config", "print_config")
        # The group itself (--model FILE) and --data.help need no line of their own.
        if own or (hint is not None and action.default is not argparse.SUPPRESS):
            each["type"] = {"config": "FILE"}.get(key, "") if own else _words(hint)
            if key in required:
                each["required"] = True
            elif not own:
                each["default"] = _default(action.default)
            each["help"] = _text(key) or " ".join((action.help or "").split())
            if each["type"] == "TEXT" and key.partition(".")[0] in RECIPES:
                each["type"] = "|".join(choices().get(key.rpartition(".")[2], ["TEXT"]))
            if key.startswith("trainer."):
                each["help"] = _first_sentence(each["help"])
        described.append(each)
    return described


def choices() -> dict[str, list[str]]:
    """The options that take one of a few words, by the last part of their keys."""
    from sae.nets.activations import ACTIVATIONS
    from sae.nets.build import OUTPUTS
    from sae.nets.reconstruction_loss import LOSSES
    from sae.terms import corruption
    from sae.training.handover import CACHES
    from sae.training.recipe import KEEP, OPTIMIZERS, SCHEDULES, TARGETS

    return {
        "activation": list(ACTIVATIONS),
        "cache": list(CACHES),
        "corruption.kind": list(corruption.KINDS),
        "keep": list(KEEP),
        "loss": list(LOSSES),
        "optimizer": list(OPTIMIZERS),
        "output": list(OUTPUTS),
        "schedule": list(SCHEDULES),
        "target": list(TARGETS),
    }


def _text(key: str) -> str | None:
    """Our own words for an option of the parser's."""
    from sae.cli.usage import DATAMODULES

    text = _TEXTS.get(key)
    return text and text.format(datamodules=", ".join(DATAMODULES))


def required_keys(parser: ArgumentParser) -> list[str]:
    """The keys that must have a value. Only a message of the parser says which.

    While it parses, it does not say.
    """
    try:
        parser.validate(parser.get_defaults())
    except TypeError as error:
        _, found, keys = str(error).partition("arguments are required: ")
        return keys.split(", ") if found else []
    except (KeyError, ValueError, argparse.ArgumentError):
        pass
    return []


def _words(hint: Any) -> str:
    """A type for people: ``N``, ``LIST|auto``; that a value may be null shows in the default."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return "|".join(str(each) for each in typing.get_args(hint))
    if origin in (typing.Union, types.UnionType):
        hints = [each for each in typing.get_args(hint) if each is not type(None)]
        return "|".join(dict.fromkeys(filter(None, map(_words, hints)))) or "VALUE"
    if hint is Any:
        return ""
    hint = origin or hint
    if hint in _TYPES:
        return _TYPES[hint]
    if hint is Path:
        return "PATH"
    if isinstance(hint, type) and hint.__module__.startswith("sae.terms"):
        return "MAPPING"
    if isinstance(hint, type) and "Iterable" in hint.__name__:
        return "LIST"
    return "CLASS"


def _default(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value


def _first_sentence(text: str) -> str:
    """Lightning's texts have paragraphs; a line says enough."""
    text = text.partition("Default:")[0].replace("``", "").strip()
    return text.partition(". ")[0].rstrip(".") + "."


def unparsed() -> Any:
    """Return the :class:`~sae.cli.command.SAECLI` with all parsers, before it reads any words."""
    from sae.cli.command import SAECLI, command_line

    class Unparsed(SAECLI):
        """Has parsers, and reads nothing."""

        def parse_arguments(self, parser: Any, args: Any) -> None:
            raise _Built(self)

    try:
        command_line(["--all"], Unparsed)  # with a verb only its own parser is filled
    except _Built as built:
        return built.cli
    raise AssertionError


def whole() -> dict[str, Any]:
    """The whole command line."""
    from sae import data, kinds
    from sae.augment.augmentation import Augmentation
    from sae.cli.options import TRAINING_VERBS
    from sae.cli.usage import DATAMODULES
    from sae.cli.verbs.verb import ROOM, Verb, parser_of
    from sae.export.formats.format import Format
    from sae.nets.layer import Layer
    from sae.objectives.objective import Objective
    from sae.terms.term import Term

    cli = unparsed()
    rooms = {
        "augment": ("sae.augment", Augmentation),
        "format": ("sae.export.formats", Format),
        "layers": ("sae.nets", Layer),
        "objective": ("sae.objectives", Objective),
        "terms": ("sae.terms", Term),
    }
    verbs: dict[str, Any] = {}
    for verb, text in TRAINING_VERBS.items():
        parser = cli._parser(verb)
        verbs[verb] = {
            "help": text,
            "example": EXAMPLES[verb],
            "options": describe(parser, required_keys(parser)),
        }
    for verb in kinds.names(ROOM, Verb):
        found = kinds.find(verb, ROOM, Verb, "command")
        parser = parser_of(verb)
        options = describe(parser, required_keys(parser))
        verbs[verb] = {"help": found.help, "example": found.example, "options": options}
    return {
        "lightning": version("lightning"),
        "sources": kept.fingerprint(),
        "choices": choices(),
        "kinds": {key: kinds.names(room, base) for key, (room, base) in rooms.items()},
        "data": {
            name: list(inspect.signature(getattr(data, name)).parameters) for name in DATAMODULES
        },
        "main": describe(cli._parser(None), ()),
        "verbs": verbs,
    }


class _Built(Exception):  # noqa: N818  # nothing is wrong
    """All parsers are there.

    Args:
        cli: That has them.
    """

    def __init__(self, cli: Any) -> None:
        self.cli = cli


if __name__ == "__main__":
    kept.write(whole())
    print(kept.PATH)
