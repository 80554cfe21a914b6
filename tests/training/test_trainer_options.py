"""Every option of Lightning's Trainer has its effect in a run, or is refused."""

from __future__ import annotations

import inspect
import json
import logging
from enum import StrEnum
from pathlib import Path

import pytest
import torch
import yaml
from helpers import fit, read, refused_fit
from jsonargparse import Namespace
from lightning import Callback, Trainer

from sae.cli.command import main
from sae.errors import InputError
from sae.training.trainer_options import _LEFT_ALONE, check_trainer_options

FEW = ["--data.batch_size", "500", "--pictures_every", "-1"]
# Options that are tried together, with a value that is not the default.
TOGETHER = {
    **dict.fromkeys(("benchmark", "detect_anomaly", "deterministic", "sync_batchnorm"), "true"),
    **dict.fromkeys(("enable_autolog_hparams", "enable_progress_bar", "inference_mode"), "false"),
    **dict.fromkeys((f"limit_{part}_batches" for part in ("val", "test", "predict")), "1"),
    **dict.fromkeys(("devices", "num_nodes", "num_sanity_val_steps"), "1"),
    "reload_dataloaders_every_n_epochs": "1",
    "limit_train_batches": "2",
    "gradient_clip_algorithm": "value",
    "gradient_clip_val": "0.5",
    "precision": "bf16-mixed",
    "strategy": json.dumps({"class_path": "lightning.pytorch.strategies.DDPStrategy"}),
}
# Those that have tests of their own, here or elsewhere.
ALONE = {
    "accelerator",
    *("accumulate_grad_batches", "callbacks", "check_val_every_n_epoch", "default_root_dir"),
    *("enable_checkpointing", "enable_model_summary", "fast_dev_run", "log_every_n_steps"),
    *("logger", "plugins", "profiler"),
}
UNWRITABLE = "expected options that can be written as YAML, to repeat the run"
WRONG = {
    **dict.fromkeys(("max_epochs", "max_steps", "min_epochs", "min_steps"), "3"),
    "barebones": "true",
    "max_time": "00:00:10:00",
    "model_registry": "mine",
    "overfit_batches": "2",
    "use_distributed_sampler": "false",
    "val_check_interval": "0.5",
}
CPU = torch.device("cpu")


class OnADevice(Callback):
    """As StochasticWeightAveraging has it: an object for a default."""

    def __init__(self, device: torch.device = CPU) -> None:
        self.device = device


class Often(StrEnum):
    step = "step"


class AtIntervals(Callback):
    """As Timer has it."""

    def __init__(self, interval: str = Often.step) -> None:
        self.interval = interval


def weights(folder: Path) -> list[str]:
    return [phase["weights_sha256"] for phase in read(folder, "manifest.json")["phases"]]


def test_every_option_is_placed():
    options = set(inspect.signature(Trainer.__init__).parameters) - {"self"}
    assert options == {*TOGETHER, *ALONE, *WRONG}
    assert set(WRONG) == set(_LEFT_ALONE)


def test_most_options_run_and_do_so_again_from_the_saved_config():
    options = [word for key, value in TOGETHER.items() for word in (f"--trainer.{key}", value)]
    folder = fit(*FEW, *options)
    main(["fit", "--config", str(folder / "config.yaml"), "--name", "again"])
    assert weights(Path("lightning_logs/again/version_0")) == weights(folder)


@pytest.mark.parametrize("key", WRONG)
def test_what_cannot_mean_the_same_in_several_trainings_is_refused(key):
    parameters = inspect.signature(Trainer.__init__).parameters
    options = Namespace({name: each.default for name, each in parameters.items()})
    options.num_sanity_val_steps = 0  # the command line's default
    check_trainer_options(options)
    options[key] = yaml.safe_load(WRONG[key])
    with pytest.raises(InputError, match=f"^trainer.{key}: expected nothing here, found "):
        check_trainer_options(options)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--trainer.max_time=00:00:10:00"], "continue with --resume"),
        (["--trainer.gradient_clip_algorithm=value"], "so nothing is clipped"),
        (["--trainer.log_every_n_steps=5", "--trainer.logger=false"], "a logger, found"),
        (["--trainer.plugins=lightning.pytorch.plugins.DoublePrecision"], "found '64-true'"),
        (["--trainer.plugins=lightning.pytorch.plugins.io.AsyncCheckpointIO"], "AsyncCheckpoint"),
        (["--trainer.callbacks=[test_trainer_options.OnADevice]"], UNWRITABLE),
        (["--trainer.callbacks=[test_trainer_options.AtIntervals]"], UNWRITABLE),
    ],
)
def test_what_would_do_nothing_or_harm_is_refused(words, found, capsys):
    assert found in refused_fit(capsys, *FEW, *words)


class Lines(logging.Handler):
    """What Lightning says."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def said():
    handler = Lines()
    logging.getLogger("lightning.pytorch").addHandler(handler)
    yield handler.lines
    logging.getLogger("lightning.pytorch").removeHandler(handler)


def test_a_profiler_prints_once_for_each_phase(said):
    folder = fit(*FEW, "--trainer.profiler", "simple")
    reports = [line for line in said if "FIT Profiler Report" in line]
    assert len(reports) == len(said) == 3
    assert all("training_step" in report for report in reports)
    init_args = {"filename": "times"}
    named = {"class_path": "lightning.pytorch.profilers.SimpleProfiler", "init_args": init_args}
    folder = fit(*FEW, "--trainer.profiler", json.dumps(named), "--name", "files")
    phases = {path.parent.name: path.read_text() for path in folder.glob("*/fit-times.txt")}
    assert set(phases) == {"stage1", "stage2", "finetune"}
    assert all(text.count("Profiler Report") == 1 for text in phases.values())


@pytest.mark.skipif("__import__('importlib.util').util.find_spec('rich')", reason="rich draws it")
def test_a_model_summary_prints_once_for_each_phase(said):
    fit(*FEW, "--trainer.enable_model_summary", "true")
    assert len([line for line in said if "Trainable params" in line]) == len(said) == 3
