from __future__ import annotations

import pytest

from sae.cli.usage import one_sentence

UNION = """Parser key "pretrain.corruption":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'sae.Corruption'>, <class 'NoneType'>]
  Errors:
    - Problem with given class_path 'sae.Corruption':
        Parser key "level":
          Expected a <class 'float'>. Got value: x
    - Expected a <class 'NoneType'>
  Given value type: <class 'jsonargparse._util.NestedArg'>
  Given value: NestedArg(key='level', val='x')"""
UNKNOWN = "expected the name of an option, found one that does not exist"


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            "Parser key \"pretrain.epochs\":\n  Expected a <class 'int'>. Got value: abc",
            "pretrain.epochs: expected an integer, found 'abc'; correct the value.",
        ),
        (UNION, "pretrain.corruption.level: expected a number, found 'x'; correct the value."),
        (
            "unrecognized arguments: --pretrain.epocs 1",
            f"pretrain.epocs: {UNKNOWN}; perhaps pretrain.epochs is meant.",
        ),
        (
            "Subcommand 'fit' does not accept option 'zzz'",
            f"zzz: {UNKNOWN}; see --help for the names.",
        ),
        (
            'Parser key "a":\n  outside\n    - inside',
            "a: expected valid input, found a mistake (inside); correct it, or see --help.",
        ),
    ],
)
def test_messages_of_the_parser(message, sentence):
    assert one_sentence(message, ["--pretrain.epochs", "--pretrain.lr"]) == sentence
