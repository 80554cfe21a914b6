from __future__ import annotations

import pytest
import yaml

from sae.cli.strict_yaml import is_text, load, too_deep, too_long_a_number

NESTED: list = []
for _ in range(49):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: [x, 2.5, null, true]", {"a": 1, "b": ["x", 2.5, None, True]}),
        ("lr: 1e-3", {"lr": 0.001}),
        ("x: &a [1, 2]\ny: *a", {"x": [1, 2], "y": [1, 2]}),
        ("a: {x: 1}\nb: {x: 2}", {"a": {"x": 1}, "b": {"x": 2}}),
        ("", None),
        ("9" * 299, int("9" * 299)),
        ("[" * 50 + "]" * 50, NESTED),
    ],
)
def test_plain_values_pass(text, value):
    assert load(text) == value


DOUBLING = "a0: &a0 [x, x]\n" + "".join(
    f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]\n" for k in range(1, 30)
)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: 1\nb: 2\na: 3", "'a' twice, line 3 of bad.yaml"),
        ("m:\n  a: 1\n  a: 1", "'a' twice, line 3 of bad.yaml"),
        ("&m\nmodel: *m", "more than 50 levels or 100000 values"),
        (DOUBLING, "more than 50 levels or 100000 values"),
        ("[" * 52 + "]" * 52, "more than 50 levels or 100000 values"),
        ("[" * 100_000, "recursion"),
        ("x: " + "9" * 300, "a number of 300 digits, line 1 of bad.yaml"),
        ('x: "\\0"', "a NUL or half a character, line 1 of bad.yaml"),
        ("x: !!python/name:os.system", "could not determine a constructor"),
        ("\tx: 1", "line 1 of bad.yaml"),
        ("x: 0x_", "invalid literal for int()"),
    ],
)
def test_what_a_config_never_means_is_named_with_its_line(text, what):
    with pytest.raises(yaml.YAMLError) as caught:
        load(text, "bad.yaml")
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_file_the_line_is_named_alone():
    with pytest.raises(yaml.YAMLError, match=r"'a' twice, line 2$"):
        load("a: 1\na: 2")


@pytest.mark.parametrize(
    ("text", "long"),
    [
        ("9" * 300, True),
        (" -1_" + "0" * 300, True),
        ("9" * 299, False),
        ("9" * 300 + ".5", False),
        ("a" * 300, False),
    ],
)
def test_an_integer_that_no_float_holds(text, long):
    assert too_long_a_number(text) is long


@pytest.mark.parametrize(
    ("text", "deep"),
    [
        ("[" * 51, True),
        ("{[" * 26, True),
        ("[" * 50 + "]", False),
        ("[]" * 1000, False),
        ("{}" * 1000, False),
        ("[" * 50 + "]" * 50 + "[" * 50, False),
    ],
)
def test_brackets_within_brackets(text, deep):
    assert too_deep(text) is deep


@pytest.mark.parametrize(
    ("text", "fits"), [("Größe 🦊\n", True), ("a\0", False), ("\ud800", False)]
)
def test_what_a_file_can_hold(text, fits):
    assert is_text(text) is fits
