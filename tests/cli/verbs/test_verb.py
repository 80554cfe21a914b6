from __future__ import annotations

from typing import ClassVar

import pytest

from sae.cli.sentences import TRAINING_VERBS
from sae.cli.verbs.verb import Verb, helps, is_verb, parser_of, run
from sae.errors import InputError


class Greet(Verb):
    """Say hello so many times."""

    help: ClassVar[str] = "Say hello."
    example: ClassVar[str] = "--times 3"

    def add_options(self, parser) -> None:
        parser.add_argument("--times", type=int, required=True)

    def run(self, options) -> None:
        if options.times > 9:
            raise InputError("times", "few", str(options.times), "say it less often")
        print("hello " * options.times)


GREET = f"{__name__}.Greet"


def test_a_file_in_the_room_is_a_verb_and_so_is_the_path_of_a_class():
    assert is_verb("report")
    assert is_verb(GREET)
    assert not is_verb("verb"), "the base"
    assert not is_verb("fit"), "one of Lightning's"


def test_each_says_what_it_does_and_how_it_is_typed():
    assert {"fit", "report"} <= set(helps())
    for name, text in helps().items():
        assert text, f"{name} says nothing of itself"
        if name not in TRAINING_VERBS:
            first, *rest = parser_of(name).format_help().split("\n\n")
            assert first.startswith(f"usage: python cli.py {name} --")
            assert rest[-1].startswith("options:\n")


def test_a_verb_has_its_own_options_alone(capsys):
    run(GREET, ["--times", "2"])
    assert capsys.readouterr().out == "hello hello \n"
    page = parser_of(GREET).format_help()
    assert page.startswith(f"usage: python cli.py {GREET} --times 3\n\nSay hello.\n\noptions:\n")
    assert page.splitlines()[-1].split() == ["--times", "N", "(required)"]
    with pytest.raises(InputError, match="times: expected few, found 10"):
        run(GREET, ["--times", "10"])


@pytest.mark.parametrize(
    ("words", "start"),
    [
        ([], "times: expected a value, found none"),
        (["--times", "often"], "times: expected"),
        (["--time", "2"], "time: expected the name of an option, found one that does not exist"),
    ],
)
def test_wrong_words_are_one_sentence(words, start, capsys):
    with pytest.raises((InputError, SystemExit)) as end:
        run(GREET, words)
    said = capsys.readouterr().err.removeprefix("error: ") or str(end.value)
    assert said.startswith(start)


@pytest.mark.parametrize("name", ["greet", "sae.cli.verbs.verb.Verb", "nowhere.Greet"])
def test_what_is_no_verb_is_refused(name):
    with pytest.raises(InputError, match=r"^command: expected "):
        parser_of(name)
