"""Kinds, in the room of penalties."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from jsonargparse import Namespace

from sae import kinds
from sae.errors import InputError
from sae.nets.dense import Dense
from sae.nets.layer import Layer
from sae.terms.l1 import L1
from sae.terms.term import Term

ROOM = "sae.terms"


def build(settings, *given, **also):
    return kinds.build(settings, ROOM, Term, "terms[0]", *given, **also)


def test_each_file_with_such_a_class_is_a_kind_and_the_base_is_none():
    found = kinds.names(ROOM, Term)
    assert {"l1", "sparsity", "contractive"} <= set(found)
    assert "term" not in found
    assert "corruption" not in found, "it lies in the room, but is no penalty"
    assert found == sorted(found)
    assert "stack" not in kinds.names("sae.nets", Layer)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "l1", "weight": 0.25},
        {"class_path": "sae.terms.l1.L1", "init_args": {"weight": 0.25}},
        Namespace(kind="l1", weight=0.25),
        Namespace(class_path="sae.terms.l1.L1", init_args=Namespace(weight=0.25)),
        L1(0.25),
    ],
    ids=["file", "path", "parsed file", "parsed path", "instance"],
)
def test_all_ways_to_describe_one(settings):
    term = build(settings)
    assert type(term) is L1
    assert term.weight == 0.25


def test_a_lone_word_is_a_kind_with_its_defaults():
    sparsity = build({"kind": "sparsity"})
    assert type(build("sparsity")) is type(sparsity)
    assert build("sparsity").rho == sparsity.rho


def test_a_description_is_left_as_it_was():
    settings = {"kind": "l1", "weight": 0.25}
    build(settings)
    assert settings == {"kind": "l1", "weight": 0.25}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kind": "l2"}, f"terms[0]: expected one of {', '.join(kinds.names(ROOM, Term))}, found"),
        ({"kind": "sparsit"}, "found 'sparsit'; perhaps sparsity is meant"),
        ({"kind": "l1", "weigth": 1}, "terms[0].weigth: expected one of weight for l1, found this"),
        ({"kind": "l1", "weigth": 1}, "; perhaps weight is meant"),
        ({"kind": "l1", "weight": -1}, "terms[0].weight: expected "),
        ({"weight": 1}, "terms[0]: expected {kind: NAME, option: value} or {class_path: "),
        (5, "terms[0]: expected {kind: NAME"),
        ({"class_path": "sae.terms.l1.L1", "weight": 1}, "terms[0]: expected {kind: NAME"),
        ({"class_path": "sae.nets.dense.Dense"}, "terms[0]: expected a kind of Term, found "),
        ({"class_path": "sae.terms.term.Term"}, "terms[0]: expected all methods of Term, found "),
        ({"class_path": "sae.terms.l1.L9"}, "terms[0]: expected a class at 'sae.terms.l1.L9', fou"),
        ({"class_path": "nowhere.L1"}, "(No module named 'nowhere')"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_its_option(settings, sentence):
    with pytest.raises(InputError) as caught:
        build(settings)
    assert sentence in str(caught.value)


def test_what_the_caller_has_is_no_option():
    given = ((6,),)
    layer = kinds.build({"kind": "dense", "units": 2}, "sae.nets", Layer, "k", *given, loss="bce")
    assert (type(layer), layer.loss) == (Dense, "bce")
    for option in ("in_shape", "loss"):
        settings = {"kind": "dense", "units": 2, option: 3}
        with pytest.raises(InputError, match=rf"^k\.{option}: expected one of units, "):
            kinds.build(settings, "sae.nets", Layer, "k", *given, loss="bce")


def test_an_option_without_a_default_must_be_given():
    with pytest.raises(InputError) as caught:
        kinds.build("dense", "sae.nets", Layer, "layers[1]", (6,))
    assert str(caught.value) == (
        "layers[1].units: expected a value for dense, found none; set it too."
    )


def test_defaults_are_for_what_a_description_leaves_out():
    given = {"tied": True, "activation": "tanh"}
    assert kinds.with_defaults({"kind": "dense", "tied": False}, given) == {
        "kind": "dense",
        "tied": False,
        "activation": "tanh",
    }
    path = {"class_path": "a.B", "init_args": {"tied": False}}
    assert kinds.with_defaults(path, given) == {
        "class_path": "a.B",
        "init_args": {"tied": False, "activation": "tanh"},
    }
    assert kinds.with_defaults("dense", given) == {"kind": "dense", **given}


def test_the_word_that_names_it():
    assert kinds.name_of({"kind": "l1", "weight": 1}, "k") == "l1"
    assert kinds.name_of({"class_path": "a.B"}, "k") == "a.B"
    assert kinds.name_of("l1", "k") == "l1"


def test_a_module_is_found_in_the_current_folder(monkeypatch):
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(Path.cwd())])
    Path("mine_alone.py").write_text(
        "from sae.terms.l1 import L1\n\n\nclass Mine(L1):\n    pass\n", encoding="utf-8"
    )
    term = build({"class_path": "mine_alone.Mine", "init_args": {"weight": 2}})
    assert type(term).__name__ == "Mine"
    assert sys.path[-1] == str(Path.cwd()), "last: it hides nothing"
    del sys.modules["mine_alone"]
