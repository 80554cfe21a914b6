"""What the parser has to say about wrong options, in one sentence."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

TYPES = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping",
    "str": "a text",
}


class OneSentenceParser(LightningArgumentParser):
    """A parser that answers wrong input with one sentence on stderr and exit code 2."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # `--pretrain.epoch` is a slip, not short for `--pretrain.epochs`.
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the sentence and exit; inside a larger parse, raise as usual."""
        if not self.exit_on_error:
            super().error(message, ex)
        options = [name for action in self._actions for name in action.option_strings]
        subparser = getattr(ex, "subcommand_parser", None)
        if subparser is not None:
            options += [name for action in subparser._actions for name in action.option_strings]
        print(f"error: {one_sentence(message, options)}", file=sys.stderr)
        sys.exit(2)


def one_sentence(message: str, options: Iterable[str] = ()) -> str:
    """Turn a message of jsonargparse, often several nested lines, into one plain sentence.

    Args:
        message: What the parser says.
        options: The options there are, to suggest the one that was meant.
    """
    text = " ".join(message.split())
    for pattern, answer in _ANSWERS:
        match = re.search(pattern, text)
        if match:
            return answer(text, match, list(options))
    return f"{text.rstrip('.')}; see --help."


def _key(text: str) -> str:
    """The option a message is about, from the outermost key to the innermost."""
    parts: list[str] = []
    for part in re.findall(r'[Kk]ey "([^"]+)"', text):
        if part not in parts:
            parts.append(part)
    return ".".join(parts)


def _unknown(text: str, match: re.Match[str], options: list[str]) -> str:
    name = match.group(1).split(" ")[0].split("=")[0].lstrip("-")
    key = _key(text)
    name = f"{key}.{name}" if key and not name.startswith(key) else name
    known = [option.lstrip("-") for option in options]
    alike = [k for k in known if k.count(".") == name.count(".") and not k.endswith(".help")]
    near = difflib.get_close_matches(name, alike, n=1, cutoff=0.7)
    remedy = f"did you mean {near[0]}?" if near else "see --help for the names."
    return f"{name}: expected the name of an option, found one that does not exist; {remedy}"


def _wrong_type(text: str, match: re.Match[str], options: list[str]) -> str:
    missing = re.search(r"init_args=Namespace\((?:.*?, )?(\w+)=None", text)
    if missing:
        return f"{_key(text)}.{missing.group(1)}: expected a value, found none; set it too."
    pairs = re.findall(
        r"Expected an? <class '([\w.]+)'>(?:\. Got value: (.*?))?(?= - Expected| Given value|$)",
        text,
    )
    kinds = [kind for kind, _ in pairs if kind != "NoneType"]
    for end, expected, remedy in _CLASSES[1:-1]:
        if not kinds and _key(text).endswith(end):
            return f"{_key(text)}: expected {expected}, found another value; {remedy}."
    values = [value for _, value in pairs if value]
    given = re.search(r"Given value: (?:NestedArg\(key='\w+', val=)?'?(.*?)'?\)?$", text)
    found = values[0] if values else (given.group(1) if given else "something else")
    expected = " or ".join(dict.fromkeys(TYPES.get(kind, kind) for kind in kinds)) or "a value"
    return f"{_key(text)}: expected {expected}, found {found!r}; mend the value."


def _no_class(text: str, match: re.Match[str], options: list[str]) -> str:
    key, found = _key(text), match.group(1)
    for end, expected, remedy in _CLASSES:
        if key.endswith(end):
            return f"{key}: expected {expected}, found {found!r}; {remedy}."
    raise AssertionError("the last entry fits every key")


def _no_file(text: str, match: re.Match[str], options: list[str]) -> str:
    remedy = "mend the path; the ready-made ones lie in configs/"
    return f"{_key(text)}: expected a file, found none at {match.group(1)!r}; {remedy}."


def _bad_yaml(text: str, match: re.Match[str], options: list[str]) -> str:
    return f"config: expected YAML, found a mistake in it ({match.group(1)}); mend the file."


def _no_verb(text: str, match: re.Match[str], options: list[str]) -> str:
    remedy = "run for example `python cli.py fit --config configs/stacked.yaml`"
    return f"command: expected one of fit, validate, test, predict, found {_verb(match)}; {remedy}."


def _verb(match: re.Match[str]) -> str:
    return repr(match.group(1)) if match.groups() and match.group(1) else "none"


def _required(text: str, match: re.Match[str], options: list[str]) -> str:
    names = re.sub(r"\b(fit|validate|test|predict)\.", "", match.group(1))
    names = f"{_key(text)}.{names}" if _key(text) else names
    remedy = "name a config, such as --config configs/stacked.yaml, or set it yourself"
    return f"{names}: expected a value, found none; {remedy}."


_NAME_ONE = "write MNISTDataModule or DigitsDataModule, or the import path of your own"
# End of the key -> what was expected there and what to do.
_CLASSES = [
    ("data", "a datamodule class", _NAME_ONE),
    ("corruption", "a mapping", "write {kind: masking, level: 0.3}"),
    ("sparsity", "a mapping", "write {rho: 0.05, weight: 1}"),
    ("", "a value of another kind, or the import path of a class", "see --help"),
]

# Tried in this order: the first that fits answers.
_ANSWERS: list[tuple[str, Any]] = [
    (r"Expected a dot import path string: (.+?)(?= - |$)", _no_class),
    (r"(?:File does not exist|Path is not a file|Unable to load config).*?'([^']+)'", _no_file),
    (r"[Uu]nrecognized arguments: (.+)$", _unknown),
    (r"does not accept (?:nested )?(?:option|key) '([^']+)'", _unknown),
    (r"Option '([^']+)' is not accepted", _unknown),
    (r'Key "([^"]+)" is not expected', _unknown),
    (r"Problems parsing config: (.+)$", _bad_yaml),
    (r"\"subcommand\" to be one of", _no_verb),
    (r"argument subcommand: invalid choice: '([^']+)'", _no_verb),
    (r"arguments are required: (.+?)(?= - |$)", _required),
    (r"Expected an? <class", _wrong_type),
]
