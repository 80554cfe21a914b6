"""The base class of verbs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import Any, ClassVar

from jsonargparse import ArgumentParser, Namespace

from sae import kinds
from sae.cli.described import page_of, required_keys
from sae.cli.sentences import TRAINING_VERBS, check_words
from sae.cli.usage import OneSentenceParser

ROOM = "sae.cli.verbs"


class Verb(ABC):
    """A verb: ``python cli.py NAME --OPTION VALUE``. Each is one file.

    ``fit``, ``validate``, ``test`` and ``predict`` take a model, data and a Trainer, and are
    Lightning's; a verb of this kind has only its own options. Call a verb of your own by the import
    path of its class: ``python cli.py my_package.MyVerb --run FOLDER``.

    Attributes:
        help: What it does, in a line.
        example: Its options as a user types them.
    """

    help: ClassVar[str] = ""
    example: ClassVar[str] = ""

    @abstractmethod
    def add_options(self, parser: ArgumentParser) -> None:
        """Add the options, with ``parser.add_argument``."""

    def check_words(self, words: list[str]) -> None:  # noqa: B027  # most need no check of their own
        """Raise :class:`InputError` for words that need a message of their own.

        Args:
            words: What follows the verb.
        """

    @abstractmethod
    def run(self, options: Namespace) -> None:
        """Do the work of the verb.

        Raises:
            InputError: The input is wrong; the command line prints it as one sentence.
        """


def is_verb(word: str) -> bool:
    """Whether a word is a verb of this kind, or the import path of one."""
    return (not word.startswith("-") and "." in word) or word in kinds.names(ROOM, Verb)


def helps() -> dict[str, str]:
    """Each verb and what it does."""
    ours = {name: _verb(name).help for name in kinds.names(ROOM, Verb)}
    return {**TRAINING_VERBS, **ours}


def parser_of(name: str) -> OneSentenceParser:
    """The parser of a verb."""
    verb = _verb(name)
    parser = OneSentenceParser(description=verb.help)
    verb.add_options(parser)
    required = required_keys(parser)
    parser.page = partial(page_of, name, verb.help, verb.example, required)
    return parser


def run(name: str, words: list[str]) -> None:
    """Parse the words after a verb, and run it."""
    check_words(words)
    verb = _verb(name)
    verb.check_words(words)
    options: Any = parser_of(name).parse_args(words)
    verb.run(options)


def _verb(name: str) -> Verb:
    return kinds.find(name, ROOM, Verb, "command")()
