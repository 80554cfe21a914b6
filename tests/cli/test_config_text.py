from __future__ import annotations

from typing import Any

import pytest
import yaml
from jsonargparse import ArgumentParser

from sae.cli.config_text import written
from sae.errors import InputError


@pytest.fixture
def parser() -> ArgumentParser:
    parser = ArgumentParser()
    parser.add_argument("--model.sizes", type=list[int])
    parser.add_argument("--name", type=str | None, default=None)
    parser.add_argument("--callbacks", type=Any, default=[])
    return parser


def test_what_is_written_gives_the_same_config(parser):
    config = parser.parse_args(["--model.sizes=[3, 2]", "--name=Über: #1"])
    text = written(parser, config)
    assert yaml.safe_load(text) == {
        "model": {"sizes": [3, 2]},
        "name": "Über: #1",
        "callbacks": [],
    }
    assert parser.parse_string(text) == config


@pytest.mark.parametrize("value", [object(), [1, {"deep": object()}]])
def test_an_object_that_has_no_text_is_refused(parser, value):
    config = parser.parse_args(["--model.sizes=[3, 2]"])
    config.callbacks = value
    with pytest.raises(InputError, match="expected options that can be written as YAML") as caught:
        written(parser, config)
    assert "\n" not in str(caught.value)


def test_what_the_parser_writes_instead_is_found_and_named(parser):
    config = parser.parse_args(["--model.sizes=[3, 2]"])
    config.callbacks = ["a", {"b": "Unable to serialize instance <Spy>"}]
    with pytest.raises(InputError) as caught:
        written(parser, config)
    assert str(caught.value).startswith(
        "callbacks.1.b: expected options that can be written as YAML"
    )
    assert "found one that cannot be (<Spy>)" in str(caught.value)
