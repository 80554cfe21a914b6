"""What the parser has to say about wrong options, in one sentence."""

from __future__ import annotations

import difflib
import inspect
import os
import pydoc
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import jsonargparse
from lightning.pytorch.cli import LightningArgumentParser

from sae.cli import strict_yaml
from sae.data import ImageDataModule
from sae.errors import InputError, exit_with, show

# LightningCLI would fetch a config from the web: one that looks like an address is a slip here.
jsonargparse.set_parsing_settings(config_read_mode_fsspec_enabled=False)

TYPES = {
    "collections.abc.Iterable": "a list",
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
        ours = {"allow_abbrev": False, "parser_mode": strict_yaml.MODE}
        super().__init__(*args, **{**ours, **kwargs})

    def parse_string(self, content: str, *args: Any, **kwargs: Any) -> Any:
        """Parse a config, and refuse the empty groups that jsonargparse drops, misspelt or not."""
        parsed = super().parse_string(content, *args, **kwargs)
        config = strict_yaml.load(content)
        if config == {}:
            self.error("Unexpected config: {}")
        for key in _strangers(config, (action.dest for action in self._actions)):
            self.error(f"does not accept option '{key}'")
        return parsed

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the sentence and exit; inside a larger parse, raise as usual."""
        if not self.exit_on_error:
            super().error(message, ex)
        options = [name for action in self._actions for name in action.option_strings]
        subparser = getattr(ex, "subcommand_parser", None)
        if subparser is not None:
            options += [name for action in subparser._actions for name in action.option_strings]
        exit_with(one_sentence(message, options))


def _strangers(config: Any, dests: Iterable[str]) -> list[str]:
    """Names in a config that no option has, with an empty mapping for their value."""
    known = {dest for dest in dests if not dest.endswith(".help")}
    groups = {dest.rpartition(".")[0] for dest in known}
    found = []
    for group in groups:
        options = config.get(group) if group else config
        for name, value in options.items() if isinstance(options, dict) else ():
            key = f"{group}.{name}" if group else name
            if value == {} and key not in known | groups:
                found.append(key)
    return found


def check_words(words: Sequence[str]) -> None:
    """Raise :class:`InputError` for a word of the command line on which the parser would break."""
    for before, word in zip(["command", *words], words, strict=False):
        name, _, value = word.partition("=")
        option = name if name.startswith("-") else before if "=" not in before else "command"
        key = _plain(option.lstrip("-"))
        if "\0" in word or not strict_yaml.is_text(word):
            raise InputError(key, "text in UTF-8", show(word), "mend the word")
        if strict_yaml.too_long_a_number(value or word):
            raise InputError(key, "a smaller number", show(value or word), "mend the number")
        if name.startswith("--pretrain.stages."):
            remedy = "write --pretrain.stages '[{}, {lr: 0.1}]', a mapping for each stage"
            raise InputError("pretrain.stages", "the whole list", show(name), remedy)


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
    text = re.sub(r'Parser key "[^"]+": ', "", text).rstrip(".")
    found = f"a mistake ({text[:200]})"
    return f"{_key(message) or 'command'}: expected something else, found {found}; see --help."


def _key(text: str) -> str:
    """The option a message is about, from the outermost key to the innermost."""
    parts: list[str] = []
    for part in re.findall(r'[Kk]ey "([^"]+)"', text):
        if part not in parts:
            parts.append(part)
    return ".".join(parts)


def _plain(name: str) -> str:
    """A name as it is, or in quotes where it could be taken for something else."""
    return name if re.fullmatch(r"[\w.\[\]+-]{1,80}", name) else show(name)


def _unknown(text: str, match: re.Match[str], options: list[str]) -> str:
    word = match.group(1).split(" ")[0].split("=")[0]
    name, key = word.lstrip("-"), _key(text)
    name = f"{key}.{name}" if key and not f"{name}.".startswith(f"{key}.") else name
    if key and name == f"{key}.class_path":
        found, remedy = "other options beside them", "write those below init_args"
        return f"{key}: expected class_path and init_args, found {found}; {remedy}."
    if text.startswith("unrecognized") and not word.startswith("-"):
        remedy = "options start with --, and a value with blanks in it stands in quotes"
        return f"{_plain(name)}: expected an option, found a lone word; {remedy}."
    known = [option.lstrip("-") for option in options] + _options_of_class(text, key)
    known = [k for k in known if k != name and not k.endswith(".help")]
    group = name.rpartition(".")[0]
    # Within a group only the rest of the name counts: all of them begin alike.
    start = f"{group}." if group and any(k.startswith(f"{group}.") for k in known) else ""
    alike = [k for k in known if k.startswith(start) and k.count(".") == name.count(".")]
    rests = [k.removeprefix(start) for k in alike]
    near = difflib.get_close_matches(name.removeprefix(start), rests, n=1)
    remedy = f"did you mean {start}{near[0]}?" if near else "see --help for the names."
    found = "one that does not exist"
    return f"{_plain(name)}: expected the name of an option, found {found}; {remedy}"


def _options_of_class(text: str, key: str) -> list[str]:
    """The options of the class that a message is about: the parser's own list has not got them."""
    path = re.search(r"given class_path '([\w.]+)'", text)
    kind = pydoc.locate(path.group(1)) if path else None
    names = inspect.signature(kind).parameters if callable(kind) else ()
    return [f"{key}.{name}" for name in names]


def _impossible(text: str, match: re.Match[str], options: list[str]) -> str:
    remedy = "mend the name or take it out"
    return f"{show(match.group(1))}: expected the name of an option, found this one; {remedy}."


def _given(text: str) -> str:
    """The value that a message is about."""
    given = re.search(r"Given value: ?(?:NestedArg\(key='\w+', val=)?'?(.*?)'?\)?$", text)
    return show(given.group(1)) if given else "something else"


def _wrong_type(text: str, match: re.Match[str], options: list[str]) -> str:
    missing = re.search(r"init_args=Namespace\((?:.*?, )?(\w+)=None", text)
    if missing:
        return f"{_key(text)}.{missing.group(1)}: expected a value, found none; set it too."
    pairs = re.findall(
        r"Expected an? <class '([\w.]+)'>(?:\. Got value: (.*?))?(?= - Expected| Given value|$)",
        text,
    )
    kinds = [kind for kind, _ in pairs if kind != "NoneType"]
    if not kinds:
        return _no_class(text, match, options)
    values = [value for _, value in pairs if value]
    found = show(values[0]) if values else _given(text)
    expected = " or ".join(dict.fromkeys(TYPES.get(kind, kind) for kind in kinds))
    return f"{_key(text)}: expected {expected}, found {found}; mend the value."


def _no_class(text: str, match: re.Match[str], options: list[str]) -> str:
    key, found = _key(text), show(match.group(1)) if match.groups() else _given(text)
    for end, expected, remedy in _CLASSES:
        if key.endswith(end):
            return f"{key}: expected {expected}, found {found}; {remedy}."
    raise AssertionError("the last entry fits every key")


def _no_mapping(text: str, match: re.Match[str], options: list[str]) -> str:
    found = "something else"
    return f"{_key(text)}.init_args: expected a mapping, found {found}; write {{option: value}}."


def _no_file(text: str, match: re.Match[str], options: list[str]) -> str:
    remedy = "mend the path; the ready-made ones lie in configs/"
    return f"{_key(text)}: expected a file, found none at {show(match.group(1))}; {remedy}."


def _no_group(text: str, match: re.Match[str], options: list[str]) -> str:
    path = match.group(1)
    found = f"none in {show(path)}" if os.path.exists(path) else show(path)
    expected = "a group of options, or a file with one"
    return f"{_key(text)}: expected {expected}, found {found}; write {{option: value}}."


def _bad_yaml(text: str, match: re.Match[str], options: list[str]) -> str:
    key, found = _key(text) or "config", match.group("found")
    return f"{key}: expected plain YAML, found {found}; mend the file."


def _no_options(text: str, match: re.Match[str], options: list[str]) -> str:
    remedy = "write groups such as model: with options below them"
    return f"config: expected options, found {show(match.group(1))}; {remedy}."


def _no_verb(text: str, match: re.Match[str], options: list[str]) -> str:
    found = show(match.group(1)) if match.groups() else "none"
    remedy = "run for example `python cli.py fit --config configs/stacked.yaml`"
    return (
        f"command: expected one of fit, validate, test, predict, report, found {found}; {remedy}."
    )


def _required(text: str, match: re.Match[str], options: list[str]) -> str:
    names = re.sub(r"\b(fit|validate|test|predict)\.", "", match.group(1))
    names = f"{_key(text)}.{names}" if _key(text) else names
    if names == "run":
        return "run: expected the folder of a run, found none; add --run FOLDER."
    remedy = "name a config, such as --config configs/stacked.yaml, or set it yourself"
    return f"{names}: expected a value, found none; {remedy}."


def _no_value(text: str, match: re.Match[str], options: list[str]) -> str:
    return f"{match.group(1)}: expected a value, found none; give one, or take the option out."


def _print_config(text: str, match: re.Match[str], options: list[str]) -> str:
    remedy = "write --print_config alone"
    return f"print_config: expected nothing after it, found {show(match.group(1))}; {remedy}."


_OURS = [c.__name__ for c in ImageDataModule.__subclasses__() if c.__module__.startswith("sae.")]
_NAME_ONE = f"write {', '.join(sorted(_OURS))}, or the import path of your own"
# End of the key -> what was expected there and what to do.
_CLASSES = [
    ("data", "a datamodule class", _NAME_ONE),
    ("corruption", "a mapping", "write {kind: masking, level: 0.3}"),
    ("sparsity", "a mapping", "write {rho: 0.05, weight: 1}"),
    ("", "a value of another kind, or the import path of a class", "see --help"),
]

# Tried in this order: the first that fits answers.
_ANSWERS: list[tuple[str, Any]] = [
    (r"Problems parsing config: found (?P<found>.+)$", _bad_yaml),
    (r"Invalid content in sub-config file \S+: found (?P<found>.+?)(?= - |$)", _bad_yaml),
    (r"Unable to load config '[^']*' - found (?P<found>.+)$", _bad_yaml),
    (r"Unable to load config '([^']*)'", _no_group),
    (r"Unexpected config: ?(.*)$", _no_options),
    (r"Expected a dot import path string: ?(.*?)(?= ?- Expected| ?Given value type|$)", _no_class),
    (r"(?:File does not exist|Path is not a file|File is not readable).*?'([^']+)'", _no_file),
    (r"[Uu]nrecognized arguments: (.+)$", _unknown),
    (r"does not accept (?:nested )?(?:option|key) '([^']+)'", _unknown),
    (r"Option '([^']+)' is not accepted", _unknown),
    (r'Key "([^"]+)" is not expected', _unknown),
    (r"Key must be a string, got: (.*?)\.?$", _impossible),
    (r'(?:Empty nested key|Spaces not allowed in keys): "(.*)"', _impossible),
    (r"\"subcommand\" to be one of", _no_verb),
    (r"argument subcommand: invalid choice: '([^']+)'", _no_verb),
    (r"arguments are required: (.+?)(?= - |$)", _required),
    (r"argument (?:-\w/)?--(\S+): expected", _no_value),
    (r'Invalid option "(.*)" for --print_config', _print_config),
    (r"object has no attribute 'keys'", _no_mapping),
    (
        r"has no attribute|No module named|correspond to a subclass|Unexpected import path|"
        r"Not a valid subclass|an instantiatable class|unhashable type",
        _no_class,
    ),
    (r"Expected an? <class", _wrong_type),
]
