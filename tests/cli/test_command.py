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
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sae.callbacks.metrics_csv import read_metrics
from sae.cli.command import main
from sae.cli.options import VERBS
from sae.data import DigitsDataModule
from sae.training.stacked import StackedAutoencoder

CHAIN = "784→12→4→12→784"


def test_a_run_leaves_everything_in_its_folder(finished):
    folder, _ = finished
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    for phase in ("stage1", "stage2", "finetune"):
        for name in ("codes", "reconstructions", "features", "activity"):
            assert {f"{phase}/{name}.png", f"{phase}/{name}.npz"} <= names
        assert f"{phase}/checkpoints/best.ckpt" in names
    for name in ("interpolation", "neighbours", "first_layer"):
        assert {f"finetune/{name}.png", f"finetune/{name}.npz"} <= names
    assert {"finetune/codes.csv", "losses.png", "losses.npz"} <= names
    assert {"config.yaml", "manifest.json", "metrics.csv", "summary.json"} <= names


def test_the_summary(finished):
    summary = read(finished[0], "summary.json")
    assert (summary["data"], summary["code_size"], summary["seed"]) == ("digits", 4, 0)
    assert set(summary["test"]) == {"sse", "mse", "pca_sse", "knn_accuracy"}
    assert summary["test"]["sse"] == pytest.approx(784 * summary["test"]["mse"], rel=1e-4)
    assert 0 < summary["test"]["pca_sse"] < summary["test"]["sse"]
    assert 10 < summary["test"]["knn_accuracy"] <= 100
    seconds = summary["seconds"]
    assert list(seconds) == ["stage1", "stage2", "finetune", "total"]
    assert seconds["total"] == pytest.approx(sum(seconds.values()) / 2, rel=1e-4)


def test_the_health_of_each_phase(finished, capsys):
    folder, _ = finished
    health = read(folder, "summary.json")["health"]
    assert list(health) == ["stage1", "stage2", "finetune"]
    assert all(0 <= health[phase]["dead"] <= 1 for phase in health)
    assert 0 < health["finetune"]["loss_ratio"] < 2
    capsys.readouterr()
    fit("--pretrain.lr", "1e-9")
    line = "warning: stage 1 reconstructs no more than the mean image: its squared error is"
    assert line in capsys.readouterr().out


def test_the_manifest(finished):
    manifest = read(finished[0], "manifest.json")
    assert manifest["status"] == "finished"
    assert manifest["data"]["name"] == "digits"
    assert [phase["name"] for phase in manifest["phases"]] == ["stage1", "stage2", "finetune"]
    assert all((finished[0] / phase["checkpoint"]).is_file() for phase in manifest["phases"])


def test_the_metrics_of_all_phases(finished):
    metrics = read_metrics(finished[0] / "metrics.csv")
    assert list(metrics) == [
        (phase, epoch) for phase in ("stage1", "stage2", "finetune") for epoch in (0, 1)
    ]
    assert all(row["train/loss"] > 0 and row["val/loss"] > 0 for row in metrics.values())


def test_what_it_prints(finished):
    folder, out = finished
    lines = [line for line in out.splitlines() if not line.startswith("warning: ")]
    assert lines[0].startswith("stage 1/2 784→12: 2 epochs in ")
    assert lines[1].startswith("stage 2/2 12→4: 2 epochs in ")
    assert lines[2].startswith(f"fine-tune {CHAIN}: 2 epochs in ")
    assert lines[2].endswith("(overall 6/6)")
    test = read(folder, "summary.json")["test"]
    assert f"test SSE per image                   {test['sse']:.2f}" in out
    assert f"PCA-4, test SSE per image            {test['pca_sse']:.2f}" in out
    assert "scikit-learn's bundled digits" in out
    assert "tensorboard --logdir lightning_logs" in out
    assert lines[-1] == "run: lightning_logs/digits/version_0"


def test_tensorboard_holds_each_stage_under_its_name(finished):
    for phase in ("stage1", "stage2", "finetune"):
        board = EventAccumulator(str(finished[0] / phase)).Reload()
        scalars = set(board.Tags()["scalars"])
        assert {f"{phase}/train/loss", f"{phase}/val/loss", f"{phase}/val/sse"} <= scalars
        assert {f"{phase}/codes", f"{phase}/reconstructions"} <= set(board.Tags()["images"])
        assert [event.step for event in board.Scalars(f"{phase}/val/loss")] == [19, 39]
    assert "test/sse" in EventAccumulator(str(finished[0])).Reload().Tags()["scalars"]


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
        assert lines | {line for line in figure_lines(printed) if "validation" in line} == (
            figure_lines(printed)
        )
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


def test_early_stopping_ends_a_stage_and_not_the_next():
    wild = ["--pretrain.epochs", "9", "--pretrain.lr", "5", "--pretrain.patience", "1"]
    epochs = [phase["epochs"] for phase in read(fit(*wild), "manifest.json")["phases"]]
    assert 2 <= epochs[0] < 9
    assert 2 <= epochs[1] <= 9


def test_callbacks_of_the_config_are_fresh_in_each_phase():
    fit("--trainer.callbacks", '[{"class_path": "helpers.CountEpochs"}]')
    assert Path("epochs.txt").read_text() == "2\n2\n2\n"


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


def test_a_diverged_run_ends_in_a_sentence_and_says_so_in_the_manifest(capsys):
    wild = ["--finetune.lr", "1e30", "--finetune.optimizer", "sgd", "--model.activation", "relu"]
    with pytest.raises(SystemExit) as end:
        fit(*wild, "--model.output", "linear")
    assert end.value.code == 2
    assert "finetune: expected a finite" in capsys.readouterr().err
    folder = Path("lightning_logs/digits/version_0")
    assert read(folder, "manifest.json")["status"] == "diverged"
    assert [phase["name"] for phase in read(folder, "manifest.json")["phases"]] == [
        "stage1",
        "stage2",
    ]


def test_pictures_summary_and_checkpoint_show_the_best_weights_not_the_last(capsys):
    wild = ["--finetune.lr", "0.1", "--finetune.schedule", "constant", "--finetune.epochs", "8"]
    for seed in range(5):  # which seeds end worse than they were depends on the machine's last bits
        folder = fit(*wild, "--model.sizes", "[784, 12, 2]", "--seed_everything", str(seed))
        metrics = read_metrics(folder / "metrics.csv")
        losses = [row["val/loss"] for (phase, _), row in metrics.items() if phase == "finetune"]
        if min(losses) < losses[-1]:
            break
    assert min(losses) < losses[-1], "the best epoch must not be the last, or this shows nothing"
    assert f"validation loss {min(losses):.3f} SSE per image" in capsys.readouterr().out
    assert read(folder, "summary.json")["val"]["sse"] == pytest.approx(min(losses), rel=1e-4)
    model = StackedAutoencoder.load_from_checkpoint(
        folder / "finetune/checkpoints/best.ckpt", weights_only=True
    )
    data = DigitsDataModule()
    data.setup()
    codes = model.encode(data.val.x[:1].float() / 255)[0].tolist()
    first = (folder / "finetune" / "codes.csv").read_text().splitlines()[1].split(",")
    assert [float(value) for value in first[-2:]] == pytest.approx(codes, rel=1e-4)


def test_mixed_precision_from_fit_to_predict():
    mixed = ["--trainer.precision", "bf16-mixed", "--trainer.gradient_clip_val", "1.0"]
    folder = fit(*mixed, "--pretrain.sparsity", '{"rho": 0.05}')
    verb("predict", folder)
    row = read_metrics(folder / "metrics.csv")["stage1", 0]
    parts = row["train/reconstruction"] + row["train/sparsity"]
    assert row["train/loss"] == pytest.approx(parts, rel=1e-3)


def test_help_says_what_the_verbs_do(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Stacked autoencoders" in out
    assert all(f"{verb} {text}" in out for verb, text in VERBS.items())


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_puts_our_options_before_the_trainers(verb, capsys):
    with pytest.raises(SystemExit) as end:
        main([verb, "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: python cli.py {verb} --config CONFIG")
    assert 0 < out.index("--model.sizes") < out.index("--pretrain.epochs") < out.index("--trainer.")
    assert ("--ckpt_path" in out) == (verb != "fit")


def test_print_config_is_a_config(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--config", str(ROOT / "configs" / "sparse.yaml"), "--print_config"])
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["pretrain"]["sparsity"] == {"rho": 0.05, "weight": 1.5}


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
