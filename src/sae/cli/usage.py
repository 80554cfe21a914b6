"""Messages of the parser about wrong options, as one sentence.

The parser nests its messages; the innermost line has the reason. Everyday mistakes have
sentences of their own (:mod:`sae.cli.sentences`); for others the reason is quoted.
"""

from __future__ import annotations

import inspect
import pydoc
import re
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import jsonargparse
from jsonargparse import ArgumentParser
from lightning.pytorch.cli import LightningArgumentParser

import sae.data
from sae.cli import strict_yaml
from sae.cli.sentences import (
    TRAINING_VERBS,
    no_file,
    no_value,
    unknown_data,
    unknown_option,
    wrong_verb,
)
from sae.data import SampleDataModule
from sae.errors import InputError, exit_with, show

# LightningCLI would download a config from the web; here an address is a mistake.
jsonargparse.set_parsing_settings(config_read_mode_fsspec_enabled=False)
# A class_path in an option of any type is not built here: sae.kinds does that, with the right
# base class.
jsonargparse.set_parsing_settings(instantiate_subclass_spec_in_any=False)

TYPES = {
    "collections.abc.Iterable": "a list",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping",
    "str": "a text",
}
DATAMODULES = [name for name in dir(sae.data) if name.endswith("DataModule")]
DATAMODULES.remove(SampleDataModule.__name__)
# The last part of a key -> what to write there.
_EXAMPLES = {
    "data": f"write {', '.join(DATAMODULES)}, or the import path of your own",
    "corruption": "write {kind: masking, level: 0.3}",
    "sparsity": "write {rho: 0.05, weight: 1}",
}
_WRONG_VERB = r"invalid choice: '(?P<found>.*)' \(choose|\"subcommand\" to be one of"
_NO_VALUE = r"arguments are required: (?P<names>.+)|^expected one argument"
_NO_FILE = r"(?:File does not exist|Path is not a file|File is not readable): '(?P<found>.+)'"
_NO_DATA = r"Expected a dot import path string: (?P<found>[A-Za-z_]\w*)$"
_UNKNOWN = r"^unrecognized arguments: -*([^\s=]+)|[Oo]ption '(.+?)'(?: is not accepted|$)"
_TYPE = r"Expected an? (?:<class ')?([\w.]+(?:\[.*?\])?)(?:'>)?(?:\. Got value: .*)?$"


class OneSentenceParser(LightningArgumentParser):
    """A parser that answers wrong input with one sentence on stderr and exit code 2.

    Args:
        page: Makes the page that ``--help`` prints; None for jsonargparse's own.
    """

    def __init__(
        self, *args: Any, page: Callable[[ArgumentParser], str] | None = None, **kwargs: Any
    ) -> None:
        # `--pretrain.epoch` is a typo, not short for `--pretrain.epochs`.
        ours = {"allow_abbrev": False, "parser_mode": strict_yaml.MODE}
        super().__init__(*args, **{**ours, **kwargs})
        self.page = page

    def format_help(self, *args: Any, **kwargs: Any) -> str:
        """The page of ``--help``."""
        return super().format_help(*args, **kwargs) if self.page is None else self.page(self)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the sentence and exit; inside a larger parse, raise as usual."""
        if not self.exit_on_error:
            super().error(message, ex)
        parsers = [self, getattr(ex, "subcommand_parser", None) or self]
        actions = [action for parser in parsers for action in parser._actions]
        exit_with(one_sentence(message, [o for a in actions for o in a.option_strings]))


def one_sentence(message: str, options: Iterable[str] = ()) -> str:
    """Turn a message of jsonargparse, often several nested lines, into one plain sentence.

    Args:
        message: What the parser says.
        options: The options there are, to suggest the one that was meant.
    """
    message = re.sub(r"NestedArg\(key='.*?', val='?(.*?)'?\)", r"\1", message)
    key, reasons = _key(message), _innermost(message)
    if match := re.search(_WRONG_VERB, reasons[0]):
        return str(wrong_verb(match["found"]))
    if match := re.search(_NO_VALUE, reasons[0]):
        given = match["names"] or ""
        names = re.sub(rf"\b({'|'.join(TRAINING_VERBS)})\.", "", given)
        return str(no_value(".".join(filter(None, [key, names])), trains=names != given))
    if match := re.search(_NO_FILE, reasons[0]):
        return str(no_file(key or "command", match["found"]))
    if key == "data" and (match := re.search(_NO_DATA, reasons[0])):
        return str(unknown_data(match["found"], DATAMODULES))
    if match := re.search(_UNKNOWN, reasons[0]):
        return str(_unknown(message, key, match[1] or match[2], options))
    example = _EXAMPLES.get(key.rpartition(".")[2])
    types = [match[1] for match in (re.match(_TYPE, reason) for reason in reasons) if match]
    if len(types) == len(reasons):
        return str(_wrong_type(message, key, types, example or "correct the value"))
    reason = next(reason for reason in reasons if not re.match(_TYPE, reason))
    key = key or ("command" if "argument" in reason else "config")
    found = f"a mistake ({reason[:200]})"
    return str(InputError(key, "valid input", found, example or "correct it, or see --help"))


def _key(message: str) -> str:
    """The option that a message is about, from the outermost key to the innermost."""
    keys = re.findall(r'Parser key "([^"]+)"|(?:^argument (?:-\w/)?| for )--([\w.]+)', message)
    return ".".join(dict.fromkeys(one or other for one, other in keys))


def _innermost(message: str) -> list[str]:
    """The innermost lines: the reason, or one for each type that was tried."""
    # Lines such as "- a class path" list what would be accepted, not what is wrong.
    lines = [line for line in message.split("\n") if not line.lstrip().startswith("- a ")]
    depths = [len(line) - len(line.lstrip(" -")) for line in lines]
    inner = [line[max(depths) :] for line, n in zip(lines, depths, strict=True) if n == max(depths)]
    return [re.sub(r'^(Parser key "[^"]+"|argument \S+): ', "", line) for line in inner]


def _unknown(message: str, key: str, name: str, options: Iterable[str]) -> InputError:
    name = f"{key}.{name}" if key and not f"{name}.".startswith(f"{key}.") else name
    # The parser's list does not have the options of a class that the config names.
    path = re.search(r"given class_path '([\w.]+)'", message)
    kind = pydoc.locate(path[1]) if path else None
    names = inspect.signature(kind).parameters if callable(kind) else ()
    known = [option.lstrip("-") for option in options] + [f"{key}.{each}" for each in names]
    return unknown_option(name, known)


def _wrong_type(message: str, key: str, types: Iterable[str], remedy: str) -> InputError:
    kinds = dict.fromkeys(kind for kind in types if kind != "NoneType")
    expected = " or ".join(TYPES.get(kind, kind) for kind in kinds)
    expected = re.sub(r"typing\.Literal\[(.*?)\]", r"one of \1", expected)
    found = re.search(r"Got value: (.*)|Given value: ?(.*)", message)
    value = show(found[1] or found[2] or "") if found else "something else"
    return InputError(key, expected, value, remedy)
