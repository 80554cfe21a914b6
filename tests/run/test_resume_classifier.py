"""A classifier's run that was interrupted goes on bit for bit, in its head phase too."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from helpers import ROOT, SHORT, read, verb
from killing import at_call, differences, outcome, run, while_writing

from sae.callbacks.checkpoints import BestWeights
from sae.callbacks.metrics_csv import read_metrics
from sae.cli.command import main
from sae.run.checkpoint_io import read_weights, write_weights
from sae.training.handover import CodesInMemory
from sae.training.module import TrainingModule

AIM = '{"kind": "classify", "dropout": 0.3, "input_dropout": 0.1, "hidden": [8], "lr_factor": 2}'
CONFIG = ["fit", "--config", str(ROOT / "configs" / "digits.yaml"), *SHORT]
CONFIG += ["--model.objective", AIM, "--head.epochs", "2", "--head.lr", "0.01"]
CONFIG += ["--data.labels", "200", "--pictures_every", "0"]
FOLDER = Path("lightning_logs/digits/version_0")
# Stages see 1,257 images in batches of 64, head and fine-tuning 200.
STAGES, EPOCH = 4 * 20, 4
PLANS = {
    "half of last.ckpt of the head is written": while_writing("last.ckpt", 6),
    "in the second epoch of the head": at_call(TrainingModule, "training_loss", STAGES + EPOCH + 2),
    "the head's codes are handed on": at_call(CodesInMemory, "hand_on", 4),
    "the best head is loaded": at_call(BestWeights, "on_fit_end", 3),
    "in the second epoch of the fine-tuning": at_call(
        TrainingModule, "training_loss", STAGES + 3 * EPOCH + 2
    ),
}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    where = tmp_path_factory.mktemp("unbroken")
    assert run(CONFIG, where) == 0, (where / "err.txt").read_text()
    return where / FOLDER


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_killed_and_gone_on_with(plan, unbroken, tmp_path):
    assert run(CONFIG, tmp_path, plan) == -signal.SIGKILL, (tmp_path / "err.txt").read_text()
    time.sleep(1)  # event files are read by their names, which count seconds
    assert run([*CONFIG, "--resume", "auto"], tmp_path) == 0, (tmp_path / "err.txt").read_text()
    assert not differences(outcome(unbroken), outcome(tmp_path / FOLDER))


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A run killed in its fine-tuning, its head done."""
    where = tmp_path_factory.mktemp("killed")
    plan = at_call(TrainingModule, "training_loss", STAGES + 3 * EPOCH + 2)
    assert run(CONFIG, where, plan) == -signal.SIGKILL
    time.sleep(1)
    return where / FOLDER


@pytest.fixture
def broken(killed) -> Path:
    shutil.copytree(killed, FOLDER)
    return FOLDER


def lines(capsys) -> dict[str, str]:
    """What a run says of each phase."""
    out = capsys.readouterr().out.splitlines()
    return dict(line.split(": ", 1) for line in out if line.startswith(("stage", "head", "fine")))


@pytest.mark.parametrize("name", ["objective.head.0.weight", "objective.head.1.bias"])
def test_a_damaged_head_is_noticed_and_trained_anew(name, broken, unbroken, capsys):
    """One number of it is another: the manifest knows its fingerprint."""
    path = broken / "head" / "weights.safetensors"
    weights = read_weights(path)
    assert name in weights
    weights[name].flatten()[0] += 1e-6
    module = torch.nn.ParameterDict({key.replace(".", "/"): t for key, t in weights.items()})
    write_weights(path, Renamed(module), {})
    main([*CONFIG, "--resume", "auto"])
    said = capsys.readouterr().out
    assert "head on 4 units: trained again, because its weights are not those that it saved" in said
    assert "stage 2/2 12→4: done before" in said
    assert outcome(unbroken)["weights"] == outcome(broken)["weights"]


class Renamed(torch.nn.Module):
    """Tensors under any names."""

    def __init__(self, tensors) -> None:
        super().__init__()
        self.tensors = {key.replace("/", "."): tensor for key, tensor in tensors.items()}

    def state_dict(self, *args, **kwargs):
        return self.tensors


def test_a_finished_head_is_not_trained_again(broken, unbroken, capsys):
    main([*CONFIG, "--resume", "auto"])
    said = lines(capsys)
    assert said["head on 4 units"] == "done before (2 epochs)"
    assert not differences(outcome(unbroken), outcome(broken))


@pytest.mark.parametrize(
    ("option", "value", "key"),
    [
        ("--data.labels", "100", "data.init_args.labels"),
        ("--head.epochs", "3", "head.epochs"),
        ("--head.keep", "last", "head.keep"),
        ("--model.objective", AIM.replace("0.3", "0.2"), "model.objective.dropout"),
    ],
)
def test_another_config_is_refused(option, value, key, broken, capsys):
    with pytest.raises(SystemExit) as end:
        main([*CONFIG, option, value, "--resume", "auto"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {key}: expected ")


@pytest.mark.parametrize("phase", ["head", "finetune"])
def test_the_epoch_of_the_lowest_error_goes_on(phase, unbroken):
    figures = read_metrics(unbroken / "metrics.csv")
    errors = {k: found["val/error"] for (name, k), found in figures.items() if name == phase}
    best = min(errors, key=lambda k: (errors[k], k))
    kept = torch.load(unbroken / phase / "checkpoints" / "best.ckpt", weights_only=True)
    assert kept["epoch"] == best
    (entry,) = [p for p in read(unbroken, "manifest.json")["phases"] if p["name"] == phase]
    assert entry["loss"] == pytest.approx(errors[best])


def test_what_a_run_leaves(unbroken):
    summary = read(unbroken, "summary.json")
    assert summary["network"] == "784→12→4→8→10"
    for part in ("val", "test"):
        assert summary[part]["error"] + summary[part]["accuracy"] == pytest.approx(100, abs=1e-3)
    rows = [line.split(",") for line in (unbroken / "test_confusion.csv").read_text().splitlines()]
    assert rows[0][:3] == ["class", "taken_for_0", "taken_for_1"]
    counts = torch.tensor([[int(cell) for cell in row[1:]] for row in rows[1:]])
    assert counts.sum() == 360
    error = 100 * (1 - counts.diag().sum() / 360)
    assert summary["test"]["error"] == pytest.approx(error.item(), abs=1e-3)
    health = summary["health"]
    assert health["head"] == {}
    assert health["finetune"]["loss_ratio"] is health["finetune"]["stuck"] is None
    assert health["stage1"]["loss_ratio"] is not None
    (head,) = [p for p in read(unbroken, "manifest.json")["phases"] if p["name"] == "head"]
    assert (head["judged_by"], head["unit"]) == ("error", "%")
    assert (unbroken / "finetune" / "confusion.png").exists()


def test_verbs_take_the_head_from_the_checkpoint(unbroken, capsys, monkeypatch):
    monkeypatch.chdir(unbroken.parents[2])
    summary = read(unbroken, "summary.json")
    for name in ("validate", "test"):
        verb(name, unbroken)
        part = {"validate": "val", "test": "test"}[name]
        assert f"{summary[part]['error']:.2f} %" in capsys.readouterr().out
    verb("predict", unbroken)
    (table,) = Path("lightning_logs/digits/predict").glob("version_*/codes.csv")
    rows = [line.split(",") for line in table.read_text().splitlines()]
    assert rows[0][:4] == ["label", "predicted", "probability", "h0"]
    wrong = sum(row[0] != row[1] for row in rows[1:])
    assert 100 * wrong / 360 == pytest.approx(summary["test"]["error"], abs=1e-3)
    assert all(0.1 <= float(row[2]) <= 1 for row in rows[1:])
