"""A layer, a penalty, an objective, data, a picture and a verb of a package that is not ours.

One YAML names them by their class_path; nothing in src knows of them.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT, read
from killing import at_call, differences, outcome, run
from pairs import run_pair

from sae.cli.command import main
from sae.run.checkpoint_io import read_weights
from sae.training.module import TrainingModule

CONFIG = ROOT / "tests" / "plugins" / "all.yaml"
FIT = ["fit", "--config", str(CONFIG)]
FOLDER = Path("lightning_logs/all/version_0")
PHASES = ("stage1", "stage2", "head", "finetune")
# Sums over two processes round otherwise, and Adam takes as long a step where a gradient is tiny.
CLOSE = {"rtol": 1e-3, "atol": 1e-3}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    where = tmp_path_factory.mktemp("whole")
    assert run(FIT, where) == 0, (where / "err.txt").read_text()
    return where / FOLDER


def test_the_library_does_not_know_of_them():
    modules = [path.stem for path in (ROOT / "tests" / "plugins").glob("[a-z]*.py")]
    text = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    assert len(modules) == 6
    assert not [name for name in modules if f"plugins.{name}" in text]


def test_each_of_them_was_at_work(whole):
    summary, rows = read(whole, "summary.json"), (whole / "metrics.csv").read_text()
    assert summary["data"] == "blobs"
    assert summary["test"]["right"] > 75
    assert "right quarter, test" in str(summary["table"])
    for name in ("stage1", "stage2"):
        assert f"{name},2," in rows
    for value in ("val/decorrelated", "train/covariance", "val/right", "train/off"):
        assert f",{value}," in rows, value
    weights = read_weights(whole / "finetune" / "weights.safetensors")
    assert weights["objective.head.weight"].shape == (2, 6)
    assert weights["net.layers.0.encoder.0.weight"].shape == (16, 64)
    for phase in ("stage1", "stage2", "finetune"):
        assert (whole / phase / "averages.png").exists()
        assert np.load(whole / phase / "averages.npz")["means"].shape == (2, 8, 8)
    assert not (whole / "head" / "averages.png").exists()


def test_the_verb_works_on_the_run(whole, capsys):
    main(["plugins.verb.Norms", "--run", str(whole), "--phase", "stage1"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert lines[0].split(": ")[0].startswith(("encoder.", "decoder."))
    with pytest.raises(SystemExit) as end:
        main(["plugins.verb.Norms", "--run", "nowhere"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: run: expected a run with weights, found now")


@pytest.mark.slow
# Epochs begin in this order: three of each stage, two of the head, three of the stack.
@pytest.mark.parametrize("epoch", [2, 5, 8, 10], ids=["stage1", "stage2", "head", "finetune"])
def test_broken_off_anywhere_it_goes_on_as_if_it_had_not_been(epoch, whole, tmp_path):
    plan = at_call(TrainingModule, "on_train_epoch_start", epoch)
    assert run(FIT, tmp_path, plan) == -signal.SIGKILL
    assert run(["fit", "--resume", "auto", *FIT[1:]], tmp_path) == 0
    found, wanted = outcome(tmp_path / FOLDER), outcome(whole)
    events = {*wanted["curves"], *found["curves"], *wanted["images"], *found["images"]}
    assert not set(differences(wanted, found)) - events
    assert found["hashes"] == wanted["hashes"]


def test_two_processes_find_what_one_finds(whole, tmp_path):
    assert run_pair([*FIT, "--pictures_every", "-1"], tmp_path) == [0, 0]
    for phase in PHASES:
        one, two = (
            read_weights(folder / phase / "weights.safetensors")
            for folder in (whole, tmp_path / FOLDER)
        )
        torch.testing.assert_close(two, one, **CLOSE)
    one, two = (read(folder, "summary.json") for folder in (whole, tmp_path / FOLDER))
    for part in ("val", "test"):
        assert two[part]["sse"] == pytest.approx(one[part]["sse"], rel=1e-2)
        assert two[part]["right"] == pytest.approx(one[part]["right"], abs=2)


def test_a_class_beside_the_config_is_found(tmp_path, capsys):
    """A module of the current folder, though the program lies elsewhere."""
    text = (ROOT / "tests" / "plugins" / "source.py").read_text()
    (tmp_path / "my_spots.py").write_text(text.replace("Blobs", "Spots"))
    (tmp_path / "my_term.py").write_text((ROOT / "tests" / "plugins" / "term.py").read_text())
    before = list(sys.path)
    try:
        args = ["--model.sizes", "[64, 4]", "--data", "my_spots.Spots", "--pictures_every", "-1"]
        args += ["--pretrain.epochs", "1", "--finetune.epochs", "0"]
        main(["fit", *args, "--pretrain.terms", '["my_term.Decorrelated"]'])
    finally:
        sys.path[:] = before
    assert "soft spots of 8x8 pixels" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--model.objective", "plugins.objective.Nothing", "model.objective: expected a class at"),
        ("--model.objective", "plugins.term.Decorrelated", "expected a kind of Objective"),
        ("--pretrain.terms", "[plugins.objective.Quarter]", "expected a kind of Term"),
        ("--pictures", "[plugins.verb.Norms]", "pictures[0]: expected a kind of Picture"),
        ("--pictures", "5", "pictures: expected a list"),
        (
            "--model.layers",
            "[{kind: dense, units: {class_path: plugins.source.Blobs}}]",
            "model.layers[0].units: expected an integer of 1 or more",
        ),
        (
            "--model.layers",
            "[{class_path: plugins.layer.Deep, init_args: {hiden: 3}}]",
            "model.layers[0].hiden: expected one of units, hidden for plugins.layer.Deep, found "
            "this name; perhaps hidden is meant",
        ),
        (
            "--pretrain.terms",
            "[{class_path: plugins.term.Decorrelated, init_args: {weight: -1}}]",
            "pretrain.terms[0].weight: expected a finite number of at least 0, found -1",
        ),
    ],
)
def test_a_mistake_in_their_name_or_options_is_one_sentence(option, value, sentence, capsys):
    with pytest.raises(SystemExit) as end:
        main([*FIT, option, value])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert sentence in error
