"""What the parser has to say about wrong options, in one sentence.

Its messages are nested: the innermost line has the reason. What people do every day has an answer
of its own; of the rest the reason is quoted.
"""

from __future__ import annotations

import difflib
import inspect
import pkgutil
import pydoc
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse
from lightning.pytorch.cli import LightningArgumentParser

import sae.data
from sae.cli import strict_yaml
from sae.data import SampleDataModule
from sae.errors import InputError, exit_with, show
from sae.text import program

# LightningCLI would fetch a config from the web: one that looks like an address is a slip here.
jsonargparse.set_parsing_settings(config_read_mode_fsspec_enabled=False)
# Where any value may stand, one with a class_path is not built: sae.kinds does that, which knows
# what each must be.
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
_OURS = [name for name in dir(sae.data) if name.endswith("DataModule")]
_OURS.remove(SampleDataModule.__name__)
# The last part of a key -> what to write there.
_EXAMPLES = {
    "data": f"write {', '.join(sorted(_OURS))}, or the import path of your own",
    "corruption": "write {kind: masking, level: 0.3}",
    "sparsity": "write {rho: 0.05, weight: 1}",
}
# The reason -> what was expected, and what to do.
_EVERY_DAY = [
    (
        r"invalid choice: '(?P<found>.*)' \(choose|\"subcommand\" to be one of",
        "one of VERBS",
        "run for example `PROGRAM fit --config stacked.yaml`",
    ),
    (
        r"arguments are required: (?P<names>.+)|^expected one argument",
        "a value",
        "set it, or see --help; ready-made configs such as stacked.yaml have all that fit needs",
    ),
    (
        r"(?:File does not exist|Path is not a file|File is not readable): '(?P<found>.+)'",
        "a file that can be read",
        "mend the path; a ready-made one needs its name alone, such as stacked.yaml",
    ),
]
_UNKNOWN = r"^unrecognized arguments: -*([^\s=]+)|[Oo]ption '(.+?)'(?: is not accepted|$)"
_TYPE = r"Expected an? (?:<class ')?([\w.]+(?:\[.*?\])?)(?:'>)?(?:\. Got value: .*)?$"


class OneSentenceParser(LightningArgumentParser):
    """A parser that answers wrong input with one sentence on stderr and exit code 2."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # `--pretrain.epoch` is a slip, not short for `--pretrain.epochs`.
        ours = {"allow_abbrev": False, "parser_mode": strict_yaml.MODE}
        super().__init__(*args, **{**ours, **kwargs})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the sentence and exit; inside a larger parse, raise as usual."""
        if not self.exit_on_error:
            super().error(message, ex)
        parsers = [self, getattr(ex, "subcommand_parser", None) or self]
        actions = [action for parser in parsers for action in parser._actions]
        exit_with(one_sentence(message, [o for a in actions for o in a.option_strings]))


def check_words(words: Sequence[str]) -> None:
    """Raise :class:`InputError` for a word of the command line on which the parser would break."""
    for before, word in zip(["command", *words], words, strict=False):
        name, _, value = word.partition("=")
        option = name if name.startswith("-") else before if "=" not in before else "command"
        key = _plain(option.lstrip("-"))
        if not strict_yaml.is_text(word):
            raise InputError(key, "text in UTF-8", show(word), "mend the word")
        if strict_yaml.too_deep(value or word):
            raise InputError(key, "fewer brackets", show(value or word), "mend the value")
        if strict_yaml.too_long_a_number(value or word):
            raise InputError(key, "a smaller number", show(value or word), "mend the number")


def one_sentence(message: str, options: Iterable[str] = ()) -> str:
    """Turn a message of jsonargparse, often several nested lines, into one plain sentence.

    Args:
        message: What the parser says.
        options: The options there are, to suggest the one that was meant.
    """
    message = re.sub(r"NestedArg\(key='.*?', val='?(.*?)'?\)", r"\1", message)
    key, reasons = _key(message), _innermost(message)
    for pattern, expected, remedy in _EVERY_DAY:
        if match := re.search(pattern, reasons[0]):
            groups = match.groupdict()
            names = re.sub(r"\b(fit|validate|test|predict)\.", "", groups.get("names") or "")
            at_fault = ".".join(filter(None, [key, names])) or "command"
            found = show(groups["found"]) if groups.get("found") else "none"
            remedy = remedy.replace("PROGRAM", program())
            return str(InputError(at_fault, expected.replace("VERBS", _verbs()), found, remedy))
    if match := re.search(_UNKNOWN, reasons[0]):
        return str(_unknown(message, key, match[1] or match[2], options))
    example = _EXAMPLES.get(key.rpartition(".")[2])
    types = [match[1] for match in (re.match(_TYPE, reason) for reason in reasons) if match]
    if len(types) == len(reasons):
        return str(_wrong_type(message, key, types, example or "mend the value"))
    reason = next(reason for reason in reasons if not re.match(_TYPE, reason))
    key = key or ("command" if "argument" in reason else "config")
    found = f"a mistake ({reason[:200]})"
    return str(InputError(key, "valid input", found, example or "mend it, or see --help"))


def _verbs() -> str:
    """All verbs: Lightning's, and a file each."""
    files = pkgutil.iter_modules([str(Path(__file__).parent / "verbs")])
    others = [file.name for file in files if file.name != "verb"]
    return ", ".join(["fit", "validate", "test", "predict", *others])


def _key(message: str) -> str:
    """The option a message is about, from the outermost key to the innermost."""
    keys = re.findall(r'Parser key "([^"]+)"|(?:^argument (?:-\w/)?| for )--([\w.]+)', message)
    return ".".join(dict.fromkeys(one or other for one, other in keys))


def _innermost(message: str) -> list[str]:
    """The lines furthest in: the reason, or one for each type that was tried."""
    # "- a class path" and the like are what a class can be given as, not what is wrong.
    lines = [line for line in message.split("\n") if not line.lstrip().startswith("- a ")]
    depths = [len(line) - len(line.lstrip(" -")) for line in lines]
    inner = [line[max(depths) :] for line, n in zip(lines, depths, strict=True) if n == max(depths)]
    return [re.sub(r'^(Parser key "[^"]+"|argument \S+): ', "", line) for line in inner]


def _plain(name: str) -> str:
    """A name as it is, or in quotes where it could be taken for something else."""
    return name if re.fullmatch(r"[\w.\[\]+-]{1,80}", name) else show(name)


def _unknown(message: str, key: str, name: str, options: Iterable[str]) -> InputError:
    name = f"{key}.{name}" if key and not f"{name}.".startswith(f"{key}.") else name
    # The options of a class that is named in the config: the parser's own list has not got them.
    path = re.search(r"given class_path '([\w.]+)'", message)
    kind = pydoc.locate(path[1]) if path else None
    names = inspect.signature(kind).parameters if callable(kind) else ()
    known = [option.lstrip("-") for option in options] + [f"{key}.{each}" for each in names]
    # Within a group only the rest of the name counts: all of them begin alike.
    group = f"{name.rpartition('.')[0]}."
    start = group if any(each.startswith(group) for each in known) else ""
    rests = [each.removeprefix(start) for each in known if each.startswith(start) and each != name]
    near = difflib.get_close_matches(name.removeprefix(start), rests, n=1, cutoff=0.65)
    remedy = f"perhaps {start}{near[0]} is meant" if near else "see --help for the names"
    found = "one that does not exist"
    return InputError(_plain(name), "the name of an option", found, remedy)


def _wrong_type(message: str, key: str, types: Iterable[str], remedy: str) -> InputError:
    kinds = dict.fromkeys(kind for kind in types if kind != "NoneType")
    expected = " or ".join(TYPES.get(kind, kind) for kind in kinds)
    expected = re.sub(r"typing\.Literal\[(.*?)\]", r"one of \1", expected)
    found = re.search(r"Got value: (.*)|Given value: ?(.*)", message)
    value = show(found[1] or found[2] or "") if found else "something else"
    return InputError(key, expected, value, remedy)
