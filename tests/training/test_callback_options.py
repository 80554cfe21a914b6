"""Every callback that Lightning ships runs in a run of several trainings, or is refused."""

from __future__ import annotations

import json
from pathlib import Path

import lightning.pytorch.callbacks
import pytest
import torch
from helpers import fit, read
from lightning import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning_utilities.core.imports import module_available

from sae.callbacks.metrics_csv import MetricsCSV
from sae.cli.command import main
from sae.errors import InputError
from sae.training import callback_options
from sae.training.callback_options import BASES, REFUSED, check_callbacks, check_kinds
from sae.training.stacked import StackedAutoencoder

FEW = ["--data.batch_size", "500", "--pictures_every", "-1"]
REFUSED_NAMES = {kind.__name__ for kind in (*REFUSED, *BASES)}
# Callback -> options to try it with.
RUN: dict[str, dict] = {
    "Callback": {},
    "Checkpoint": {},
    "DeviceStatsMonitor": {"cpu_stats": False},
    "EarlyStopping": {"monitor": "val/loss"},
    "EMAWeightAveraging": {"decay": 0.5},
    "GradientAccumulationScheduler": {"scheduling": {"0": 2, "1": 1}},
    "LambdaCallback": {},
    "LearningRateMonitor": {},
    "ModelCheckpoint": {"monitor": "val/loss", "filename": "{epoch}-{step}"},
    "ModelSummary": {},
    "ThroughputMonitor": {"batch_size_fn": "builtins.len"},
    "TQDMProgressBar": {},
    "WeightAveraging": {},
}
NEEDS_RICH = {"RichModelSummary", "RichProgressBar"}
# What it takes to build the refused ones.
NEEDED = {
    "OnExceptionCheckpoint": {"dirpath": "exceptions"},
    "ModelPruning": {"pruning_fn": "l1_unstructured"},
    "StochasticWeightAveraging": {"swa_lrs": 0.01},
    "Timer": {"duration": "00:01:00:00", "interval": "epoch"},
}


def option(name: str, **init_args) -> list[str]:
    named = {"class_path": f"lightning.pytorch.callbacks.{name}", "init_args": init_args}
    return ["--trainer.callbacks", json.dumps([named])]


def refused(capsys, *args: str) -> str:
    """The sentence with which a run is refused before it begins."""
    with pytest.raises(SystemExit) as end:
        fit(*FEW, *args)
    assert end.value.code == 2
    sentence = capsys.readouterr().err
    assert sentence.startswith("error: trainer")
    assert sentence.count("\n") == 1
    assert "resume it with:" not in sentence
    assert not Path("lightning_logs").exists()
    return sentence


def weights(folder: Path) -> list[str]:
    return [phase["weights_sha256"] for phase in read(folder, "manifest.json")["phases"]]


def test_every_callback_is_placed():
    shipped = set(lightning.pytorch.callbacks.__all__)
    assert shipped == {*RUN, *NEEDS_RICH, *REFUSED_NAMES}
    assert len(shipped) == len(RUN) + len(NEEDS_RICH) + len(REFUSED_NAMES)


def test_those_that_run_do_so_together_and_again_from_the_saved_config():
    """Those that average weights are tried below, one at a time."""
    named = [option(name, **RUN[name])[1] for name in RUN if "Averaging" not in name]
    callbacks = [callback for each in named for callback in json.loads(each)]
    folder = fit(*FEW, "--trainer.callbacks", json.dumps(callbacks))
    main(["fit", "--config", str(folder / "config.yaml"), "--name", "again"])
    again = Path("lightning_logs/again/version_0")
    assert read(again, "manifest.json")["status"] == "finished"
    assert weights(again) == weights(folder)
    assert len(weights(again)) == 3
    assert len(list(again.glob("*/checkpoints/epoch=*.ckpt"))) == 3


@pytest.mark.parametrize("name", sorted(REFUSED_NAMES))
def test_those_that_cannot_are_refused_before_any_training(name, capsys):
    sentence = refused(capsys, *option(name, **NEEDED.get(name, {})))
    assert f"found {name}, w" in sentence


def test_a_subclass_is_refused_as_well_and_that_of_a_base_is_not():
    class OwnTimer(lightning.pytorch.callbacks.Timer):
        pass

    class OwnBar(lightning.pytorch.callbacks.ProgressBar):
        pass

    with pytest.raises(InputError, match="found OwnTimer"):
        check_kinds([OwnTimer()])
    check_kinds([OwnBar()])


@pytest.mark.skipif(module_available("rich"), reason="it is about machines without rich")
@pytest.mark.parametrize("name", sorted(NEEDS_RICH))
def test_those_that_need_rich_are_refused_without_it(name, capsys):
    assert "rich" in refused(capsys, *option(name))


def test_device_stats_need_psutil_on_a_cpu(capsys, monkeypatch):
    monkeypatch.setattr(callback_options, "module_available", lambda name: name != "psutil")
    cpu = ["--trainer.accelerator", "cpu"]
    assert "pip install psutil" in refused(capsys, *cpu, *option("DeviceStatsMonitor"))
    refused(capsys, *cpu, *option("DeviceStatsMonitor", cpu_stats=True))
    refused(capsys, "--trainer.logger", "false", *option("DeviceStatsMonitor", cpu_stats=False))


def test_a_monitor_is_to_hold_in_each_phase(capsys):
    found = refused(capsys, *option("EarlyStopping", monitor="stage1/val/loss"))
    assert "write val/loss" in found
    found = refused(capsys, *option("ModelCheckpoint", monitor="finetune/train/loss"))
    assert "write train/loss" in found
    found = refused(capsys, *option("EarlyStopping", monitor="val_loss"))
    assert "(train/loss, val/loss, val/sse, val/image_sse), found 'val_loss'" in found

    class LogsMore(Callback):
        pass

    check_kinds([EarlyStopping("mine"), LogsMore()])
    in_one_phase = EarlyStopping("stage1/val/loss", strict=False)
    check_kinds([in_one_phase])
    check_callbacks([in_one_phase])


def test_a_checkpoints_name_makes_no_folders_and_takes_none_of_ours(capsys):
    with_slash = option("ModelCheckpoint", filename="{epoch}-{val/loss:.2f}")
    assert "write val_loss={val/loss} there" in refused(capsys, *with_slash)
    for init_args in ({"save_last": True}, {"filename": "best"}, {"filename": "last"}):
        found = refused(capsys, *option("ModelCheckpoint", **init_args))
        assert "leaves best.ckpt and last.ckpt to the run" in found
    check_kinds([ModelCheckpoint("elsewhere", filename="best", save_last=True)])
    named = ModelCheckpoint(filename="{epoch}-{val/loss:.2f}", auto_insert_metric_name=False)
    check_callbacks([named])


@pytest.mark.parametrize("name", ["EMAWeightAveraging", "WeightAveraging"])
def test_averaged_weights_are_those_that_are_validated_kept_and_gone_on_with(name, monkeypatch):
    averaged = option(name, **RUN[name])
    folder = fit(*FEW, *averaged, "--name", "whole")
    best = torch.load(folder / "finetune/checkpoints/best.ckpt", weights_only=True)
    current = best["current_model_state"]
    assert any(not torch.equal(best["state_dict"][key], current[key]) for key in current)
    model = StackedAutoencoder.load_from_checkpoint(
        folder / "finetune/checkpoints/best.ckpt", weights_only=True
    )
    loss = read(folder, "manifest.json")["phases"][-1]["loss"]
    assert read(folder, "summary.json")["val"]["sse"] == pytest.approx(loss, rel=1e-4)
    assert validation_sse(model) == pytest.approx(loss, rel=1e-4)

    class BrokenOffError(Exception):
        pass

    def breaks_off(self, trainer, pl_module) -> None:
        if pl_module.phase == "finetune" and trainer.current_epoch == 1:
            raise BrokenOffError

    with monkeypatch.context() as patch:
        patch.setattr(MetricsCSV, "on_train_epoch_start", breaks_off)
        with pytest.raises(BrokenOffError):
            fit(*FEW, *averaged, "--name", "broken")
    resumed = fit(*FEW, *averaged, "--name", "broken", "--resume", "auto")
    assert weights(Path("lightning_logs/broken/version_0")) == weights(folder)
    assert resumed.name == "version_0"


def validation_sse(model: StackedAutoencoder) -> float:
    """SSE per validation image, by hand."""
    from sae.data import DigitsDataModule

    data = DigitsDataModule()
    data.setup()
    x = torch.cat(list(data.val_dataloader().whole()))
    with torch.no_grad():
        return float((model(x) - x).square().sum(dim=1).mean())


def test_a_bar_of_the_users_takes_the_place_of_ours(monkeypatch):
    bars = []

    def bar_of(self, trainer, *args) -> None:
        bars.append([type(each).__name__ for each in trainer.callbacks if "Bar" in str(type(each))])

    monkeypatch.setattr(MetricsCSV, "on_train_start", bar_of)
    fit(*FEW, *option("TQDMProgressBar"))
    assert bars == [["TQDMProgressBar"]] * 3


class FailsAtOnce(Callback):
    def on_train_start(self, *args) -> None:
        raise KeyError("a defect")


class FailsLater(FailsAtOnce):
    def on_train_start(self, trainer, pl_module) -> None:
        if pl_module.phase == "stage2":
            super().on_train_start()


@pytest.mark.parametrize("kind", [FailsAtOnce, FailsLater])
def test_going_on_is_offered_only_where_there_is_something_to_go_on_from(kind, capsys):
    named = json.dumps([{"class_path": f"test_callback_options.{kind.__name__}"}])
    with pytest.raises(KeyError, match="a defect"):
        fit(*FEW, "--trainer.callbacks", named)
    error = capsys.readouterr().err
    assert "interrupted" in error
    assert ("resume it with" in error) == (kind is FailsLater)
