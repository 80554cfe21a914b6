from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path

import pytest

from sae.errors import InputError
from sae.sweep.study import Settings, Study, read_settings

SECTION = {"trials": 9, "seed": 3, "space": {"x": {"low": 0.0, "high": 1.0}, "kind": ["a", "b"]}}
needs_optuna = pytest.mark.skipif(
    not importlib.util.find_spec("optuna"), reason="optuna is not installed"
)


def cost(values) -> float:
    return (values["x"] - 0.3) ** 2 + (values["kind"] == "b")


def go_on(folder: Path, most: int, section=SECTION) -> list[dict[str, str]]:
    """Do trials until there are so many; what the table says of them."""
    study = Study(folder, read_settings(section))
    try:
        while len(study.done) < most:
            trial, values = study.ask()
            higher = section.get("figure") == "accuracy"
            value = -cost(values) if higher else cost(values)
            study.note(trial, values, value, figure="cost", higher=higher)
    finally:
        study.close()
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


@needs_optuna
def test_it_finds_what_is_good_and_remembers_it():
    rows = go_on(Path("one"), 16)
    assert [row["trial"] for row in rows] == [str(k) for k in range(16)]
    study = Study(Path("one"), read_settings(SECTION))
    assert study.best.user_attrs["value"] == min(float(row["value"]) for row in rows) < 0.1
    assert study.best.user_attrs["values"]["kind"] == "a"
    study.close()


@needs_optuna
def test_more_of_a_figure_may_be_better():
    rows = go_on(Path("one"), 6, {**SECTION, "figure": "accuracy"})
    study = Study(Path("one"), read_settings(SECTION))
    assert study.best.user_attrs["value"] == max(float(row["value"]) for row in rows)
    study.close()


@needs_optuna
def test_one_that_was_broken_off_goes_on_as_if_it_had_not_been():
    whole = go_on(Path("whole"), 13)
    go_on(Path("broken"), 11)
    study = Study(Path("broken"), read_settings(SECTION))
    _, begun = study.ask()  # and the process ends
    study.close()
    assert str(begun["x"]) == whole[11]["x"]
    assert go_on(Path("broken"), 13) == whole


@needs_optuna
def test_another_seed_tries_others():
    first, second = (go_on(Path(str(s)), 2, {**SECTION, "seed": s}) for s in (0, 1))
    assert [row["x"] for row in first] != [row["x"] for row in second]
    assert len({row["x"] for row in first + second}) == 4, "each trial draws anew"


@needs_optuna
def test_bad_stages_are_pruned_after_the_first_few():
    study = Study(Path("one"), read_settings({**SECTION, "prune_after": 2}))
    verdicts = []
    for error in (1.0, 2.0, 9.0, 0.5):
        trial, values = study.ask()
        trial.report(error, 1)
        verdicts.append(trial.should_prune())
        study.note(trial, values, None if verdicts[-1] else error, why="bad")
    study.close()
    assert verdicts == [False, False, True, False]
    states = [row["state"] for row in go_on(Path("one"), 4)]
    assert states == ["finished", "finished", "pruned", "finished"]


@needs_optuna
def test_one_process_at_a_time():
    study = Study(Path("one"), read_settings(SECTION))
    with pytest.raises(InputError, match="folder: expected no other process in it"):
        Study(Path("one"), read_settings(SECTION))
    study.close()
    Path("file").touch()
    with pytest.raises(InputError, match="folder: expected a folder to write into, found none"):
        Study(Path("file"), read_settings(SECTION))


def test_without_optuna_there_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"sweep: expected the package optuna, found none; run: "):
        Study(Path("one"), read_settings(SECTION))
    assert not Path("one").exists()


def test_what_is_left_out_has_a_value():
    found = read_settings({"space": {"x": [1, 2]}})
    assert found == Settings(found.space, trials=20, seed=0, prune=True, prune_after=5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"trials": 0}, "sweep.trials: expected an integer of 1 or more"),
        ({"trial": 5}, "sweep.trial: expected one of space, trials"),
        ({"seed": -1}, "sweep.seed: expected"),
        ({"prune": 1}, "sweep.prune: expected true or false"),
        ({"prune_after": None}, "sweep.prune_after: expected an integer"),
        ({"figure": 3}, "sweep.figure: expected the name of a figure"),
    ],
)
def test_wrong_settings_are_a_sentence(change, says):
    with pytest.raises(InputError) as error:
        read_settings({**SECTION, **change})
    assert str(error.value).startswith(says)


def test_no_section():
    with pytest.raises(InputError, match="sweep: expected a section sweep in the config"):
        read_settings(None)
