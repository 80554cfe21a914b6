from __future__ import annotations

import pytest

from sae.errors import InputError
from sae.sweep.space import Choice, Range, read_space, with_values

CONFIG = {"model": {"sizes": [784, 128, 10]}, "pretrain": {"lr": 0.01, "sparsity": None}}


def test_ranges_and_lists():
    space = read_space(
        {
            "pretrain.lr": {"low": 0.001, "high": 0.1, "log": True},
            "model.sizes.1": {"low": 32, "high": 256, "step": 32},
            "pretrain.terms": [[], [{"kind": "l1"}]],
        }
    )
    assert space[0] == Range("pretrain.lr", 0.001, 0.1, log=True)
    assert space[1].whole
    assert not space[0].whole
    assert space[2] == Choice("pretrain.terms", ([], [{"kind": "l1"}]))


def test_suggestions_lie_within_and_are_of_the_kind_asked_for():
    optuna = pytest.importorskip("optuna", reason="optuna is not installed")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    space = [
        Range("rate", 0.001, 0.1, log=True),
        Range("units", 32, 256, step=32),
        Range("part", 0.0, 1.0, step=0.25),
        Choice("sizes", ([784, 8], [784, 4])),
    ]
    found = {each.key: [] for each in space}
    for _ in range(40):
        trial = study.ask()
        for each in space:
            found[each.key].append(each.suggest(trial))
    assert all(0.001 <= rate <= 0.1 for rate in found["rate"])
    assert sum(rate < 0.01 for rate in found["rate"]) > 10, "orders of magnitude evenly"
    assert all(isinstance(units, int) and units % 32 == 0 for units in found["units"])
    assert set(found["part"]) == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert {tuple(sizes) for sizes in found["sizes"]} == {(784, 8), (784, 4)}


def test_values_are_set_in_a_copy():
    made = with_values(
        CONFIG, {"model.sizes.1": 64, "pretrain.sparsity.rho": 0.1, "finetune.lr": 0.2}
    )
    assert made["model"]["sizes"] == [784, 64, 10]
    assert made["pretrain"] == {"lr": 0.01, "sparsity": {"rho": 0.1}}
    assert made["finetune"] == {"lr": 0.2}
    assert CONFIG["model"]["sizes"][1] == 128
    assert "finetune" not in CONFIG


@pytest.mark.parametrize(
    ("space", "says"),
    [
        (None, "sweep.space: expected options with a range or a list, found nothing"),
        ({}, "sweep.space: expected options"),
        ({"a": 3}, "sweep.space.a: expected a range or a list, found 3"),
        ({"a": {"low": 1}}, "sweep.space.a: expected a range or a list"),
        ({"a": [1]}, "sweep.space.a: expected two values or more"),
        ({"a": [1, 1]}, "sweep.space.a: expected two values or more"),
        ({"a": {"low": 1, "high": 2, "lg": True}}, "sweep.space.a.lg: expected one of low, high"),
        ({"a": {"low": 1, "high": 1}}, "sweep.space.a.high: expected a finite number above 1"),
        ({"a": {"low": "x", "high": 1}}, "sweep.space.a.low: expected"),
        ({"a": {"low": 0, "high": 1, "log": True}}, "sweep.space.a.low: expected a finite number"),
        ({"a": {"low": 1, "high": 2, "log": 1}}, "sweep.space.a.log: expected true or false"),
        ({"a": {"low": 1, "high": 9, "step": 0.5}}, "sweep.space.a.step: expected an integer"),
        ({"a": {"low": 0.1, "high": 0.9, "step": 2}}, "sweep.space.a.step: expected a number in"),
        (
            {"a": {"low": 1, "high": 9, "step": 2, "log": True}},
            "sweep.space.a.step: expected no step with log",
        ),
        ({"sweep.trials": [1, 2]}, "expected an option of a run"),
        ({"name": ["a", "b"]}, "expected an option of a run"),
    ],
)
def test_a_wrong_space_is_a_sentence(space, says):
    with pytest.raises(InputError) as error:
        read_space(space)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "key", ["model.sizes.3", "model.sizes.x", "pretrain.lr.a", "model.sizes.0.a"]
)
def test_a_way_that_leads_nowhere(key):
    with pytest.raises(InputError, match=rf"^sweep\.space\.{key}: expected an? "):
        with_values(CONFIG, {key: 1})
