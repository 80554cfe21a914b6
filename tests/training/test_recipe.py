from __future__ import annotations

import pytest

from sae.errors import InputError
from sae.nets.activations import PIXELS, RANGES
from sae.nets.build import build_stack
from sae.terms.corruption import Corruption
from sae.terms.sparsity import Sparsity
from sae.training.recipe import Recipe, recipe, stage_recipes


def test_plain_settings_become_a_recipe():
    built = recipe(
        {
            "epochs": 3,
            "corruption": {"kind": "masking", "level": 0.3},
            "sparsity": {"rho": 0.1},
        }
    )
    assert built == Recipe(3, corruption=Corruption("masking", 0.3), sparsity=Sparsity(0.1))


def test_stages_inherit_what_they_do_not_name():
    stages = [{}, {"epochs": 2, "sparsity": {"rho": 0.2}}, {"lr": 0.5}]
    assert stage_recipes({"epochs": 7, "lr": 0.02, "stages": stages}, 3) == [
        Recipe(7, 0.02),
        Recipe(2, 0.02, sparsity=Sparsity(0.2)),
        Recipe(7, 0.5),
    ]


def test_a_stage_can_take_a_setting_back():
    shared = {
        "corruption": {"kind": "gaussian", "level": 0.1},
        "stages": [{}, {"corruption": None}],
    }
    first, second = stage_recipes(shared, 2)
    assert first.corruption == Corruption("gaussian", 0.1)
    assert second.corruption is None


def test_without_stages_all_are_alike():
    assert stage_recipes({"epochs": 4}, 2) == [Recipe(4), Recipe(4)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": -1}, "epochs: expected an integer of 0 or more, found -1"),
        ({"epochs": 2.5}, "epochs: expected an integer"),
        ({"epochs": True}, "epochs: expected an integer"),
        ({"lr": 0}, "lr: expected a finite number above 0, found 0"),
        ({"lr": float("nan")}, "lr: expected"),
        ({"optimizer": "lion"}, "optimizer: expected one of adam, adamw, sgd, found 'lion'"),
        ({"schedule": "steps"}, "schedule: expected one of"),
        ({"patience": 0}, "patience: expected an integer of 1 or more"),
        ({"weight_decay": -1}, "weight_decay: expected"),
        ({"noise": 0.1}, "noise: expected one of epochs, lr"),
        ({"corruption": 0.3}, "corruption: expected a mapping with the keys kind, level"),
        ({"corruption": {"kind": "masking"}}, "corruption: expected the keys kind, level"),
        ({"corruption": {"kind": "masking", "level": 2}}, r"corruption\.level: expected a number"),
        ({"sparsity": {"rho": 1.5}}, r"sparsity\.rho: expected a number in \(0, 1\), found 1.5"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        recipe(settings)


def test_a_wrong_stage_is_named_by_its_place():
    with pytest.raises(InputError, match=r"stages\[1\]\.epochs: expected"):
        stage_recipes({"stages": [{}, {"epochs": -2}]}, 2)
    with pytest.raises(InputError, match=r"stages\[0\]: expected a mapping"):
        stage_recipes({"stages": [3, {}]}, 2)
    with pytest.raises(InputError, match=r"stages: expected a list of 2 mappings.* found 1"):
        stage_recipes({"stages": [{}]}, 2)


def test_noise_and_penalty_must_fit_the_layer():
    linear = build_stack([6, 3], activation="identity", output="linear")
    with pytest.raises(InputError, match="sparsity: expected a code with one of"):
        Recipe(sparsity=Sparsity()).check_fits(linear, PIXELS)
    with pytest.raises(InputError, match=r"corruption\.kind: expected masking or gaussian"):
        Recipe(corruption=Corruption("salt_and_pepper", 0.1)).check_fits(linear, RANGES["relu"])
    Recipe(corruption=Corruption("salt_and_pepper", 0.1)).check_fits(linear, PIXELS)
