"""A run that begins with the weights of an earlier one, in place of pretraining."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
import yaml
from helpers import ROOT, SHORT, read, refusal, tiny_model
from killing import at_call, differences, outcome, run

from sae.cli.command import main
from sae.data.prepare import Pixels, Preparation
from sae.errors import InputError
from sae.nets.build import build_stack
from sae.run.checkpoint_io import read_weights
from sae.run.start import _differ, read_start
from sae.training.module import TrainingModule
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe

CONFIG = ["fit", "--config", str(ROOT / "configs" / "digits.yaml"), *SHORT, "--name", "few"]
CONFIG += ["--model.objective", "classify", "--data.labels", "100", "--pictures_every", "-1"]
CONFIG += ["--finetune.keep", "last"]
FOLDER = Path("lightning_logs/few/version_0")


@pytest.fixture(scope="module")
def unbroken(finished, tmp_path_factory) -> Path:
    where = tmp_path_factory.mktemp("unbroken")
    assert run([*CONFIG, "--start_from", str(finished[0])], where) == 0
    return where / FOLDER


def test_it_begins_with_these_very_weights(finished, capsys):
    main([*CONFIG, "--start_from", str(finished[0]), "--finetune.epochs", "0"])
    said = capsys.readouterr().out
    assert f"start: the weights of {finished[0]}; no stage is trained" in said
    weights = read_weights(FOLDER / "finetune" / "weights.safetensors")
    begun = read_weights(finished[0] / "finetune" / "weights.safetensors")
    assert all(weights[f"net.{name}"].equal(tensor) for name, tensor in begun.items())
    assert "objective.head.0.weight" in weights


def test_what_is_written_down(finished, unbroken):
    manifest = read(unbroken, "manifest.json")
    path = finished[0] / "finetune" / "weights.safetensors"
    assert manifest["start_from"] == {
        "run": str(finished[0]),
        "weights": "finetune/weights.safetensors",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert [phase["name"] for phase in manifest["phases"]] == ["finetune"]
    config = yaml.safe_load((unbroken / "config.yaml").read_text())
    assert config["start_from"] == str(finished[0])


def test_killed_and_gone_on_with(finished, unbroken, tmp_path):
    words = [*CONFIG, "--start_from", str(finished[0])]
    plan = at_call(TrainingModule, "training_loss", 3)  # in the second epoch: 100 in batches of 64
    assert run(words, tmp_path, plan) == -signal.SIGKILL, (tmp_path / "err.txt").read_text()
    assert run(["fit", "--resume", str(FOLDER)], tmp_path) == 0, (tmp_path / "err.txt").read_text()
    assert not differences(outcome(unbroken), outcome(tmp_path / FOLDER))


def test_a_run_that_began_with_other_weights_does_not_go_on(finished, capsys):
    """Those of the folder are others by now: trained by another seed, say."""
    begun = Path(shutil.copytree(finished[0], "begun"))
    words = [*CONFIG, "--start_from", str(begun)]
    assert run(words, Path.cwd(), at_call(TrainingModule, "training_loss", 3)) == -signal.SIGKILL
    path = begun / "finetune" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    capsys.readouterr()
    line = refusal(capsys, *words, "--resume", "auto")
    assert line.startswith("start_from: expected '")
    assert "as the run began with" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": [784, 12, 5]}, r"same network \(.*12→5.*found .*12→4"),
        ({"sizes": [784, 12, 4], "tied": True}, r"same network \(.*tied.*found .*784→12"),
        ({"sizes": [784, 12, 4, 2], "activation": "relu"}, "same network"),
        ({"sizes": [784, 12]}, r"same network \(1 layers\), found 2"),
    ],
)
def test_another_network_is_refused(options, message, finished):
    with pytest.raises(InputError, match=rf"^start_from: expected a run of the {message}"):
        read_start(finished[0], build_stack(**options))


def test_what_is_no_finished_run_is_refused_in_a_sentence(finished, capsys):
    assert refusal(capsys, *CONFIG, "--start_from", "nowhere").startswith(
        "start_from: expected a file manifest.json in 'nowhere', found none"
    )
    folder = Path(shutil.copytree(finished[0], "begun"))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "status": "interrupted"}))
    line = refusal(capsys, *CONFIG, "--start_from", "begun")
    assert line.startswith("start_from: expected a finished run, found one that is interrupted")
    assert not Path("lightning_logs").exists()


class Scaled(Preparation):
    """Samples times a number that is fitted, and moved by one that is set."""

    def __init__(self, by: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.offset = offset
        self.register_buffer("by", torch.tensor([by]))

    @property
    def settings(self) -> dict[str, float]:
        return {"offset": self.offset}

    def forward(self, x):
        return x * self.by + self.offset

    def inverse(self, x):
        return (x - self.offset) / self.by


def test_other_inputs_are_said(finished):
    start = read_start(finished[0], build_stack([784, 12, 4]))
    assert len(start.lines(Pixels(255))) == len(start.lines(Pixels(1))) == 1
    line, warning = start.lines(Scaled(2.0))
    assert line.startswith("start: the weights of ")
    assert warning.startswith("warning: the samples are prepared differently from those of the run")


def test_preparations_are_compared_by_what_they_do():
    assert not _differ(Scaled(2.0), Scaled(2.0))
    assert _differ(Scaled(2.0), Scaled(3.0))
    assert _differ(Scaled(2.0), Scaled(2.0, offset=1))
    assert _differ(Pixels(255), Scaled(2.0))


def test_stages_and_a_start_contradict_each_other():
    model = tiny_model()
    greedy = GreedyPretrainer([Recipe(epochs=1)] * 2, Recipe(), start=model.stack.state_dict())
    samples = model.stack[0].weight.new_ones(20, 12)
    with pytest.raises(InputError, match="start: expected stages of 0 epochs, found"):
        greedy.fit(model, samples, samples)
