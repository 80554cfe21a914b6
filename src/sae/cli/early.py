"""A quick answer to a wrong word and to ``--help``, before torch and Lightning are imported.

Words and configs are compared with the kept description of the options (:mod:`sae.cli.kept`).
What it does not fully know passes on to the parser: classes and kinds of a user's own, values that
are lists or mappings, the options of callbacks. So a valid command is never refused here, and what
is refused gets the sentence that the parser would give (:mod:`sae.cli.sentences`).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from sae import kinds
from sae.cli import help_page, kept, strict_yaml
from sae.cli.sentences import (
    TRAINING_VERBS,
    check_not_of_trials,
    check_words,
    no_file,
    no_value,
    unknown_data,
    unknown_option,
    wrong_verb,
)
from sae.errors import InputError, check_choice

_NAME = r"[A-Za-z_]\w*"
_NUMBER = r"-\d+|-\d*\.\d+"  # which argparse does not mistake for an option
_IMPORT_PATH = rf"\b{_NAME}\.{_NAME}"
_RECIPES = ("pretrain", "finetune", "head")


class _UnsureError(Exception):
    """The parser has to look at this."""


def answer(words: Sequence[str]) -> bool:
    """Answer what can be answered at once.

    Args:
        words: Those of the command line.

    Returns:
        Whether that was all: a page of help was printed, or the versions.

    Raises:
        InputError: A word or a config is wrong.
    """
    check_words(words)
    if list(words) == ["--version"]:
        print(_versions())
        return True
    # With this variable the parser takes options from the environment, too.
    known = None if "JSONARGPARSE_DEFAULT_ENV" in os.environ else kept.read()
    if known is None:
        return False
    if list(words) in (["--help"], ["-h"]):
        print(help_page.main_page(known["verbs"]), end="")
        return True
    first = words[0] if words else None
    if first is not None and (first.startswith("-") or "." in first):
        return False
    if first not in known["verbs"]:
        raise wrong_verb(first)
    try:
        return _Check(known, str(first)).read(words[1:])
    except _UnsureError:
        return False


def _versions() -> str:
    found = []
    for name in ("sae", "torch", "lightning"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} (not installed)")
    return ", ".join(found)


class _Check:
    """The options of a verb, as far as they are known.

    Args:
        known: The description.
        verb: Which is asked for.
    """

    def __init__(self, known: Mapping[str, Any], verb: str) -> None:
        self.known, self.verb = known, verb
        self.about = known["verbs"][verb]
        self.options: list[Mapping[str, Any]] = self.about["options"]
        self.by_name = {name: each for each in self.options for name in each["names"]}
        # Those that a message may propose, in the parser's order.
        both = [*(known["main"] if verb in TRAINING_VERBS else []), *self.options]
        self.names = [name.lstrip("-") for each in both for name in each["names"]]
        self.keys = {each["key"] for each in self.options}
        self.settings: dict[str, Any] = {}
        self.data_words: list[str] = []
        self.folders = [Path()]  # from which a path is read: of the configs, too
        # Whether a class of the user's own may be known by its name alone: its module was imported
        # before (it imports Lightning), or the parser will import it.
        self.maybe_own = "lightning" in sys.modules

    def read(self, words: Sequence[str]) -> bool:
        """Check words and configs; print help where that is asked for, even among mistakes.

        Returns:
            Whether it was.
        """
        try:
            return self._read(words)
        except InputError:
            asked = {*words} & {"-h", "--help", "--trainer.help"} & {*self.by_name}
            if not any(self._print_help(self.by_name[word]["key"]) for word in sorted(asked)):
                raise
        return True

    def _read(self, words: Sequence[str]) -> bool:
        configs = 0
        if self.verb == "sweep":
            check_not_of_trials(words)
        for name, value in self._pairs(words):
            key = (
                self.by_name[name]["key"] if name in self.by_name else name.lstrip("-").rstrip("+")
            )
            if self._print_help(key):
                return True
            if key == "config" and self.verb in TRAINING_VERBS:
                configs += 1
                self._read_config(value)
                self.data_words.clear()
                continue
            self.maybe_own |= re.search(_IMPORT_PATH, value) is not None
            if name in self.by_name and not name.endswith("+"):
                self.settings[key] = _loaded(value)
                if key == "data":
                    self.data_words.clear()  # they belonged to another class
        self._check_missing(words, configs)
        self._check_data(configs)
        self._check_choices()
        return False

    def _print_help(self, key: str) -> bool:
        """Print the page that an option shows, if it shows one that is known."""
        if key == "help":
            about = (self.about["help"], self.about["example"], self.options)
            print(help_page.verb_page(self.verb, *about), end="")
        elif key == "trainer.help" and self.known["trainer_is_known"]:
            print(help_page.trainer_page(self.options), end="")
        else:
            return False
        return True

    # Words

    def _pairs(self, words: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Options and their values."""
        left = list(words)
        listed = False  # whether the option before takes a list, of which this may be a part
        while left:
            word = left.pop(0)
            name, equals, value = word.partition("=")
            short = word.startswith("-") and not word.startswith("--")
            if word == "--" or (short and word not in self.by_name):
                raise _UnsureError
            if not word.startswith("-"):
                if listed:
                    raise _UnsureError
                raise self._unknown(re.split(r"[\s=]", word)[0]) if word.strip() else _UnsureError
            key = name.removeprefix("--").rstrip("+")
            option = self.by_name.get(name)
            listed = option is None or "LIST" in option.get("type", "")
            if option is None:
                if not self._inside(key):
                    raise self._unknown(name.removeprefix("--"))
                if key.startswith("data.") and "." not in key[5:]:
                    self.data_words.append(key[5:])
                takes = True
            else:
                takes = option["takes"]
                # A group as a file or as text, a page of help of a class, or a config to print.
                shown = "help" in option or key == "trainer.help"
                if not shown or key == "print_config" or (equals and not takes):
                    raise _UnsureError
            if takes and not equals:
                if not left or self._is_option(left[0]):
                    if option is None:
                        raise _UnsureError
                    raise no_value(option["key"])
                value = left.pop(0)
            yield name, value

    def _is_option(self, word: str) -> bool:
        """Whether a word that begins with a dash is no value; a lone dash is standard input."""
        if not word.startswith("-") or word == "-":
            return False
        if word in self.by_name or ("=" in word and word.partition("=")[0] in self.by_name):
            return True
        return " " not in word and re.fullmatch(_NUMBER, word) is None  # as argparse has it

    def _inside(self, key: str) -> bool:
        """Whether a key that is no option is a part of one: of a mapping, or of a class."""
        parts = key.split(".")
        heads = [".".join(parts[:k]) for k in range(1, len(parts))]
        for head in heads:
            if head in self.keys and "help" in self.by_name[f"--{head}"]:
                if head != "data":  # which is looked at by its own words
                    self.settings.pop(head, None)
                    self.settings[f"{head}."] = True
                return True
        return parts[0] == "trainer" and not self.known["trainer_is_known"]

    def _unknown(self, name: str, also: Sequence[str] = ()) -> Exception:
        if not re.fullmatch(r"[\w.+/-]+", name):
            return _UnsureError()
        return unknown_option(name, [*self.names, *also])

    # Configs

    def _read_config(self, path: str) -> None:
        if not path or re.search(r"[\n{:~]", path):
            raise _UnsureError  # YAML in place of a path, or a path that is read in another way
        file = Path(path)
        if path == "-" or (file.exists() and not file.is_file() and not file.is_dir()):
            raise _UnsureError  # a pipe can be read but once
        if not file.is_file() or not os.access(file, os.R_OK):
            raise no_file("config", path)
        try:
            content = strict_yaml.load(file.read_text(encoding="utf-8"), path)
        except (OSError, ValueError, yaml.YAMLError):
            raise _UnsureError from None
        if not isinstance(content, dict):
            raise _UnsureError
        self.maybe_own |= re.search(_IMPORT_PATH, repr(content)) is not None
        self.settings.update(self._flat(content, ""))
        self.folders.append(file.parent)

    def _flat(self, content: Mapping[Any, Any], above: str) -> Iterator[tuple[str, Any]]:
        """The options of a config, each by its full key."""
        for name, value in content.items():
            if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
                raise _UnsureError
            key = f"{above}{name}"
            if key in ("config", "help", "print_config") or name == "help":
                raise _UnsureError  # words of the command line, which mean something else here
            if key in self.keys and key not in OPEN_GROUPS:
                yield key, value
            elif isinstance(value, dict) and value:
                yield from self._flat(value, f"{key}.")
            elif key in OPEN_GROUPS or isinstance(value, dict) or self._inside(key):
                raise _UnsureError  # a group that is empty, a file, or an option in parts
            else:
                raise self._unknown(key)

    # What is known when all is read

    def _check_missing(self, words: Sequence[str], configs: int) -> None:
        """Required options. A config may have them, and a run that goes on has its own."""
        given = {re.split(r"[.=]", word.lstrip("-"))[0] for word in words if word.startswith("--")}
        if not configs and "resume" in given:
            return
        needed = [each["key"] for each in self.options if each.get("required")]
        missing = [key for key in needed if key not in self.settings and key not in given]
        if missing:
            raise no_value(", ".join(missing), self.verb in TRAINING_VERBS)

    def _check_data(self, configs: int) -> None:
        """Where one of our datamodules is named, and just once, its options are known."""
        named = self.settings.get("data")
        given: Any = None if configs else {}
        if isinstance(named, dict):
            given = named.get("init_args", {})
            named = named.get("class_path")
        if not isinstance(named, str) or "class_path" in self.data_words:
            return
        names = self.known["data"]
        short = named.rpartition(".")[2]
        if "." not in named and named not in names:
            odd = not re.fullmatch(_NAME, named) or named.lower() in (
                "null",
                "true",
                "false",
                "none",
                "sampledatamodule",  # the base class of all, of which the parser says more
            )
            found = any((folder / named).exists() for folder in self.folders)
            if not odd and not self.maybe_own and not found:
                raise unknown_data(named, list(names))
            return
        if named not in (short, f"sae.{short}", f"sae.data.{short}") or short not in names:
            return
        options = names[short]
        for option in [*self.data_words, *(given if isinstance(given, dict) else ())]:
            if option not in [*options, "init_args", "dict_kwargs", "help"]:
                raise self._unknown(f"data.{option}", [f"data.{each}" for each in options])

    def _check_choices(self) -> None:
        for key, choices in self._choices():
            value = self.settings.get(key)
            if isinstance(value, str) and _is_word(value):
                check_choice(key, value, choices)
            elif key == "model.activation" and isinstance(value, list):
                for each in value if all(isinstance(each, str) for each in value) else ():
                    check_choice(key, each, choices)
        for recipe in _RECIPES:
            noise = self.settings.get(f"{recipe}.corruption")
            if isinstance(noise, dict) and isinstance(noise.get("kind"), str):
                key = f"{recipe}.corruption.kind"
                check_choice(key, noise["kind"], self.known["choices"]["corruption.kind"])
        for key, room in self._kinds():
            value = self.settings.get(key)
            listed = room in ("layers", "terms")
            several = value if listed else [value]
            for k, each in enumerate(several if isinstance(several, list) else ()):
                kind = each.get("kind") if isinstance(each, dict) else each
                if isinstance(kind, str) and _is_word(kind):
                    at = f"{key}[{k}]" if listed else key
                    kinds.check_name(kind, self.known["kinds"][room], at)

    def _choices(self) -> Iterator[tuple[str, list[str]]]:
        choices = self.known["choices"]
        if self.verb in TRAINING_VERBS:
            yield from ((f"model.{name}", choices[name]) for name in ("output", "loss"))
            if self.settings.get("model.layers") is None and "model.layers." not in self.settings:
                yield "model.activation", choices["activation"]
            for recipe in _RECIPES:
                for name in ("optimizer", "schedule", "target", "keep"):
                    yield f"{recipe}.{name}", choices[name]
            yield "pretrain.cache", choices["cache"]

    def _kinds(self) -> Iterator[tuple[str, str]]:
        if self.verb == "export":
            yield "format", "format"
        elif self.verb in TRAINING_VERBS:
            yield "model.objective", "objective"
            yield "model.layers", "layers"
            for recipe in _RECIPES:
                yield f"{recipe}.terms", "terms"
                yield f"{recipe}.augment", "augment"


# Keys that are groups in a config, not options: a mapping below them holds options.
OPEN_GROUPS = ("model", "pretrain", "finetune", "head", "trainer")


def _loaded(value: str) -> Any:
    """A list or a mapping as what it is; all else as the text that it is."""
    if not value.startswith(("[", "{")):
        return value
    try:
        return strict_yaml.load(value)
    except yaml.YAMLError:
        raise _UnsureError from None


def _is_word(value: str) -> bool:
    """Whether a value is a name in YAML, too: neither null nor a number, a list or a path."""
    try:
        return re.fullmatch(_NAME, value) is not None and yaml.safe_load(value) == value
    except yaml.YAMLError:
        return False
