"""The command line, in process, on the bundled digits; and once each as real processes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from helpers import ROOT, SHORT, fit, read, verb, write_mnist

from sae.callbacks.metrics_csv import read_metrics
from sae.cli.command import main


def test_the_saved_config_gives_the_same_weights(finished, tmp_path):
    """Contract 6, through the command line."""
    folder, _ = finished
    main(["fit", "--config", str(folder / "config.yaml"), "--trainer.default_root_dir", "again"])
    again = Path("again/lightning_logs/digits/version_0")
    weights = [run / "finetune" / "weights.safetensors" for run in (again, folder)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert (again / "metrics.csv").read_text() == (folder / "metrics.csv").read_text()
    assert read(again, "summary.json")["test"] == read(folder, "summary.json")["test"]


@pytest.mark.usefixtures("no_web")
def test_the_saved_config_names_the_data_really_used(tmp_path, monkeypatch):
    """Contract 6: $SAE_DATA may point elsewhere tomorrow."""
    first = fit(config="stacked")
    again = ["fit", "--config", str(first / "config.yaml"), "--trainer.default_root_dir", "again"]
    write_mnist(tmp_path / "mnist", monkeypatch, 80, 20)
    monkeypatch.setenv("SAE_DATA", "mnist")
    main(again)
    second = Path("again/lightning_logs/stacked/version_0")
    weights = [read(folder, "manifest.json")["phases"][-1] for folder in (first, second)]
    assert weights[0]["weights_sha256"] == weights[1]["weights_sha256"]

    third = fit("--data.val_size", "10", config="stacked")
    monkeypatch.delenv("SAE_DATA")
    data = yaml.safe_load((third / "config.yaml").read_text())["data"]
    assert data["init_args"]["root"] == str(tmp_path / "mnist")


def figure_lines(out: str) -> set[str]:
    return {" ".join(line.split()) for line in out.splitlines() if " SSE" in line or "5-NN" in line}


@pytest.mark.parametrize("name", ["validate", "test", "predict"])
def test_the_verbs_print_figures_that_fit_printed(finished, name, capsys, tmp_path):
    folder, printed = finished
    before = sorted(folder.rglob("*"))
    verb(name, folder, "--trainer.default_root_dir", str(tmp_path))
    lines = figure_lines(capsys.readouterr().out)
    assert lines
    assert lines <= figure_lines(printed)
    if name == "test":
        # What a fit has beside them: the validation, and its word on PCA.
        of_fit = ("validation", "rebuilds")
        more = {x for x in figure_lines(printed) if any(word in x for word in of_fit)}
        assert lines | more == figure_lines(printed)
    assert sorted(folder.rglob("*")) == before


def test_predict_writes_the_codes(finished, tmp_path):
    folder, _ = finished
    for k in range(2):
        verb("predict", folder, "--trainer.default_root_dir", str(tmp_path))
        path = tmp_path / "lightning_logs" / "digits" / "predict" / f"version_{k}" / "codes.csv"
        rows = list(csv.DictReader(path.open()))
        assert list(rows[0]) == ["label", "sse", "h0", "h1", "h2", "h3"]
        assert len(rows) == 360
    sse = sum(float(row["sse"]) for row in rows) / len(rows)
    assert sse == pytest.approx(read(folder, "summary.json")["test"]["sse"], rel=1e-4)


def test_runs_do_not_overwrite_each_other():
    assert [fit("--pretrain.epochs", "0").name for _ in range(2)] == ["version_0", "version_1"]


def test_only_fine_tuning_and_only_pretraining():
    folder = fit("--pretrain.epochs", "0")
    assert list(read(folder, "summary.json")["seconds"]) == ["finetune", "total"]
    folder = fit("--finetune.epochs", "0")
    assert list(read(folder, "summary.json")["seconds"]) == ["stage1", "stage2", "total"]
    assert (folder / "finetune" / "checkpoints" / "best.ckpt").is_file()


def test_each_stage_can_have_its_own_settings(tmp_path):
    stages = [
        {"epochs": 1, "corruption": {"kind": "gaussian", "level": 0.1}},
        {"epochs": 3, "lr": 0.02, "sparsity": {"rho": 0.2, "weight": 1.0}, "patience": 1},
    ]
    config = yaml.safe_load((ROOT / "configs" / "digits.yaml").read_text())
    config["pretrain"] |= {"stages": stages}
    config["model"] |= {"activation": ["tanh", "sigmoid"], "tied": True, "loss": "bce"}
    Path("mine.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "--config", "mine.yaml", "--finetune.epochs", "1"])
    folder = Path("lightning_logs/mine/version_0")
    assert [phase["epochs"] for phase in read(folder, "manifest.json")["phases"]] == [1, 3, 1]
    metrics = read_metrics(folder / "metrics.csv")
    sparse = [phase for (phase, _), row in metrics.items() if "train/activity" in row]
    assert sparse == ["stage2"] * 3
    weights = torch.load(folder / "finetune/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert not any("decoder_weight" in name for name in weights)


def test_user_loggers_and_no_loggers():
    folder = fit("--trainer.logger", "false", "--pictures_every", "-1")
    assert not list(folder.rglob("events.*"))
    assert not list(folder.rglob("*.png"))
    csv_logger = {
        "class_path": "lightning.pytorch.loggers.CSVLogger",
        "init_args": {"save_dir": "x"},
    }
    folder = fit("--trainer.logger", json.dumps(csv_logger))
    assert list(Path("x").rglob("metrics.csv"))
    assert list(folder.rglob("events.*"))


def test_fast_dev_run_goes_through_the_whole_path():
    folder = fit("--trainer.fast_dev_run", "true")
    assert read(folder, "manifest.json")["status"] == "finished"


@pytest.mark.usefixtures("no_web")
@pytest.mark.parametrize(
    "config",
    [
        "stacked",
        "visualize",
        "sparse",
        "denoising",
        "reconstruct",
        "convolutional",
        "hinton2006",
        "hinton2006_2d",
    ],
)
def test_without_mnist_the_configs_say_so_and_run_on_the_digits(config, capsys):
    head = ["fit", "--config", str(ROOT / "configs" / f"{config}.yaml")]
    main([*head, "--pretrain.epochs", "1", "--finetune.epochs", "1"])
    captured = capsys.readouterr()
    assert captured.err.count("WARNING") == 1
    assert "scikit-learn's bundled digits" in captured.err
    assert "scikit-learn's bundled digits" in captured.out
    folder = Path(f"lightning_logs/{config}/version_0")
    assert read(folder, "summary.json")["data"] == "digits"
    assert read(folder, "manifest.json")["data"]["name"] == "digits"
    test = read(folder, "summary.json")["test"]
    assert ("activity" in test) == (config == "sparse")
    assert ("denoised_sse" in test) == (config == "denoising")


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_each_config_has_a_header_with_purpose_command_and_override(path):
    lines = path.read_text().splitlines()
    header = [line for line in lines if line.startswith("#")]
    assert lines[: len(header)] == header
    text = "\n".join(header)
    assert f"python cli.py fit --config configs/{path.name}" in text
    assert "Override one thing" in text


def test_the_simple_config_is_simple():
    lines = (ROOT / "configs" / "stacked.yaml").read_text().splitlines()
    assert len([line for line in lines if line and not line.startswith("#")]) <= 10


def test_mixed_precision_from_fit_to_predict():
    mixed = ["--trainer.precision", "bf16-mixed", "--trainer.gradient_clip_val", "1.0"]
    folder = fit(*mixed, "--pretrain.sparsity", '{"rho": 0.05}')
    verb("predict", folder)
    row = read_metrics(folder / "metrics.csv")["stage1", 0]
    parts = row["train/reconstruction"] + row["train/sparsity"]
    assert row["train/loss"] == pytest.approx(parts, rel=1e-3)


@pytest.mark.slow
def test_two_processes_run_the_whole_path_and_agree_with_one():
    """In every figure: odd batches, a last one of a single sample, noise and a penalty."""
    options = ["--data.batch_size", "205", "--data.val_size", "206"]
    for phase in ("pretrain", "finetune"):
        options += [f"--{phase}.sparsity", '{"rho": 0.2, "weight": 1}']
        options += [f"--{phase}.corruption", '{"kind": "masking", "level": 0.3}']
    command = [sys.executable, str(ROOT / "cli.py"), "fit", "--config"]
    command += [str(ROOT / "configs" / "digits.yaml"), *SHORT, "--trainer.devices", "2"]
    command += ["--trainer.accelerator", "cpu", "--trainer.strategy", "ddp", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "run: lightning_logs/digits/version_0"
    assert done.stdout.count("run: ") == 1
    assert [path.name for path in Path("lightning_logs/digits").iterdir()] == ["version_0"]
    folders = [Path("lightning_logs/digits/version_0"), fit(*options)]
    data = read(folders[0], "manifest.json")["data"]
    assert data["train"] % 205 == data["val"] % 205 == 1

    two, one = (read(folder, "summary.json")["test"] for folder in folders)
    assert {"sse", "corrupted_sse", "denoised_sse", "activity"} < set(one)
    # One image of 360 is 0.3 %.
    assert two.pop("knn_accuracy") == pytest.approx(one.pop("knn_accuracy"), abs=2)
    assert two == pytest.approx(one, rel=1e-4)
    metrics = [read_metrics(folder / "metrics.csv") for folder in folders]
    assert len(metrics[1]) == 6
    assert list(metrics[0]) == list(metrics[1])
    for place, row in metrics[1].items():
        assert metrics[0][place] == pytest.approx(row, rel=1e-4)
