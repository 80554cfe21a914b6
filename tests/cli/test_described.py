from __future__ import annotations

from importlib.metadata import version
from typing import Any, Literal

import jsonargparse
import pytest

from sae.cli import described, kept

AGAIN = "options have changed: run `python -m sae.cli.described` and commit options.json"


def test_the_kept_description_is_what_the_parser_says():
    now = described.whole()
    assert now["sources"] in kept.PATH.read_text(), AGAIN
    found = kept.read()
    assert found is not None, AGAIN
    same = found.pop("trainer_is_known")
    for verb in [*found["verbs"].values(), *now["verbs"].values()]:
        for each in ("like", "without", "also"):
            verb.pop(each, None)
        if not same:  # those of another Lightning
            verb["options"] = [x for x in verb["options"] if not x["key"].startswith("trainer")]
    found["lightning"] = now["lightning"] = version("lightning")
    assert found == now, AGAIN


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "N"),
        (float | None, "NUMBER"),
        (bool, "true|false"),
        (str | list[str], "TEXT|LIST"),
        (list[int] | Literal["auto"] | None, "LIST|auto"),
        (dict[str, Any] | Any, "MAPPING"),
        (jsonargparse.Namespace, "CLASS"),
    ],
)
def test_types_are_words(hint, words):
    assert described._words(hint) == words


def test_an_option_is_described_with_all_that_a_page_shows():
    parser = jsonargparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=3, help="How\n  many.")
    parser.add_argument("--run", type=str, required=True, help="The run.")
    assert described.required_keys(parser) == ["run"]
    _, n, run = described.describe(parser, ["run"])
    assert n == {
        "names": ["--n"],
        "key": "n",
        "takes": True,
        "type": "N",
        "default": "3",
        "help": "How many.",
    }
    assert run["required"]
    assert "default" not in run


def test_no_text_names_a_type_of_pythons():
    for verb in kept.read()["verbs"].values():
        for option in verb["options"]:
            words = f"{option.get('type')} {option.get('help')} {option.get('default')}"
            assert "Union[" not in words
            assert "typing." not in words
            assert "<class" not in words
