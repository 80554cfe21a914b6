"""The base of every kind of verb."""

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
    """What ``python cli.py NAME --OPTION VALUE`` does, a file a verb.

    ``fit``, ``validate``, ``test`` and ``predict`` take a model, data and a Trainer, and are
    Lightning's; a verb of this kind has just its own options. One of a user's own is called by the
    import path of its class: ``python cli.py my_package.MyVerb --run FOLDER``.

    Attributes:
        help: What it does, in a line.
        example: Its options as one would type them.
    """

    help: ClassVar[str] = ""
    example: ClassVar[str] = ""

    @abstractmethod
    def add_options(self, parser: ArgumentParser) -> None:
        """Add its options, with ``parser.add_argument``."""

    def check_words(self, words: list[str]) -> None:  # noqa: B027  # few have more to say
        """Raise :class:`InputError` for words that need more to be said than that they are wrong.

        Args:
            words: What follows the verb.
        """

    @abstractmethod
    def run(self, options: Namespace) -> None:
        """Do it.

        Raises:
            InputError: What the user gave is wrong; it is printed as a sentence.
        """


def is_verb(word: str) -> bool:
    """Whether a word is a verb of this kind, or the path of one."""
    return (not word.startswith("-") and "." in word) or word in kinds.names(ROOM, Verb)


def helps() -> dict[str, str]:
    """Each verb and what it does."""
    ours = {name: _verb(name).help for name in kinds.names(ROOM, Verb)}
    return {**TRAINING_VERBS, **ours}


def parser_of(name: str) -> OneSentenceParser:
    """The options of a verb."""
    verb = _verb(name)
    parser = OneSentenceParser(description=verb.help)
    verb.add_options(parser)
    required = required_keys(parser)
    parser.page = partial(page_of, name, verb.help, verb.example, required)
    return parser


def run(name: str, words: list[str]) -> None:
    """Parse what follows a verb, and do it."""
    check_words(words)
    verb = _verb(name)
    verb.check_words(words)
    options: Any = parser_of(name).parse_args(words)
    verb.run(options)


def _verb(name: str) -> Verb:
    return kinds.find(name, ROOM, Verb, "command")()
