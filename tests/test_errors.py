from __future__ import annotations

import math
import pickle

import pytest

from sae.errors import (
    DivergedError,
    InputError,
    check_choice,
    check_integer,
    check_number,
    error_prefix,
    exit_with,
    show,
)


def test_a_sentence_has_what_was_expected_what_was_found_and_what_to_do():
    error = InputError("pretrain.epochs", "an integer", "'many'", "give epochs")
    assert str(error) == "pretrain.epochs: expected an integer, found 'many'; give epochs."
    assert error.exit_code == 2


def test_a_sentence_passes_from_process_to_process():
    for kind in (InputError, DivergedError):
        error = pickle.loads(pickle.dumps(kind("lr", "a", "b", "c")))
        assert (type(error), str(error), error.key) == (kind, "lr: expected a, found b; c.", "lr")


def test_a_key_is_placed_below_its_group_and_a_file_keeps_its_name():
    for key, placed in (
        ("lr", "finetune.lr"),
        ("folder/a.gz", "folder/a.gz"),
        ("x.npy", "x.npy"),
        ("x.npz", "x.npz"),
    ):
        with pytest.raises(InputError) as caught, error_prefix("finetune"):
            raise InputError(key, "a", "b", "c")
        assert str(caught.value) == f"{placed}: expected a, found b; c."


def test_other_errors_pass_a_group_as_they_are():
    with pytest.raises(KeyError), error_prefix("finetune"):
        raise KeyError("lr")


def test_a_diverged_training_is_a_matter_of_input():
    assert issubclass(DivergedError, InputError)


@pytest.mark.parametrize("code", [2, 130])
def test_the_end_is_one_line_whatever_stands_in_it(code, capsys):
    with pytest.raises(SystemExit) as end:
        exit_with("two\nlines\t and a \x1b[31m colour", code)
    assert end.value.code == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: two lines and a \\x1b[31m colour\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "nothing (null)"),
        ("a", "'a'"),
        (2.5, "2.5"),
        ("x" * 80, repr("x" * 80)),
        ("x" * 41 + "y" * 40, repr("x" * 39 + "…" + "y" * 40)),
        (list(range(99)), f"{str(list(range(99)))[:39]}…{str(list(range(99)))[-40:]}"),
    ],
)
def test_values_are_shown_as_in_yaml_and_cut(value, shown):
    assert show(value) == shown


@pytest.mark.parametrize("value", [0, 1.0, True, "1", None, 8])
def test_what_is_no_integer_in_its_range(value):
    check_integer("k", 1, 1, "correct it", high=7)
    check_integer("k", 7, 1, "correct it", high=7)
    expected = "an integer of at most 7" if value == 8 else "an integer of 1 or more"
    with pytest.raises(InputError) as caught:
        check_integer("k", value, 1, "correct it", high=7)
    assert str(caught.value) == f"k: expected {expected}, found {show(value)}; correct it."


def accepted(value, **options) -> bool:
    try:
        check_number("k", value, 0.0, 1.0, "correct it", **options)
    except InputError:
        return False
    return True


def test_a_number_may_be_an_end_of_its_interval_unless_that_is_open():
    assert [accepted(value) for value in (0, 0.5, 1)] == [True] * 3
    assert [accepted(value, low_open=True) for value in (0, 0.5, 1)] == [False, True, True]
    assert [accepted(value, high_open=True) for value in (0, 0.5, 1)] == [True, True, False]


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, 10**400, True, "0.5", None])
def test_what_is_no_number_of_the_interval(value):
    assert not accepted(value)
    if value != 1.1:
        with pytest.raises(InputError, match="a finite number above 0, found"):
            check_number("k", value, 0, math.inf, "correct it", low_open=True)


@pytest.mark.parametrize(
    ("options", "interval"),
    [
        ({}, "[0, 1]"),
        ({"low_open": True}, "(0, 1]"),
        ({"high_open": True}, "[0, 1)"),
    ],
)
def test_the_interval_is_written_as_mathematicians_do(options, interval):
    with pytest.raises(InputError) as caught:
        check_number("k", 5, 0.0, 1.0, "correct it", **options)
    assert caught.value.expected == f"a number in {interval}"


def test_one_of_several_words():
    check_choice("loss", "mse", ["mse", "bce"])
    with pytest.raises(InputError, match="loss: expected one of mse, bce, found 'mae'; choose"):
        check_choice("loss", "mae", ["mse", "bce"])
