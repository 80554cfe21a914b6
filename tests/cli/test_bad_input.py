"""Bad input ends in one sentence with exit code 2, before any training, and nothing is lost."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from helpers import ROOT, SHORT, fit, read, verb, write_mnist

from sae.cli.command import main

SALT = '{"kind": "salt_and_pepper", "level": 0.1}'
BAD = {
    "unknown activation": (["--model.activation", "swish"], "model.activation", "'swish'"),
    "too few sizes": (["--model.sizes", "[784]"], "model.sizes", "[784]"),
    "sizes that do not fit the data": (["--model.sizes", "[100, 9]"], "model.sizes", "100"),
    "sizes that do not fit the activations": (
        ["--model.activation", "[relu, relu, relu]"],
        "model.activation",
        "3 names",
    ),
    "a negative size": (["--model.sizes", "[784, -3]"], "model.sizes[1]", "-3"),
    "a text for sizes": (["--model.sizes", "big"], "model.sizes", "'big'"),
    "negative epochs": (["--pretrain.epochs", "-1"], "pretrain.epochs", "-1"),
    "a text for epochs": (["--finetune.epochs", "many"], "finetune.epochs", "'many'"),
    "rho outside (0, 1)": (["--finetune.sparsity.rho", "1.5"], "finetune.sparsity.rho", "1.5"),
    "a noise level outside its range": (
        ["--pretrain.corruption", '{"kind": "masking", "level": 1.5}'],
        "pretrain.corruption.level",
        "1.5",
    ),
    "an unknown noise": (
        ["--pretrain.corruption", '{"kind": "fog", "level": 0.1}'],
        "pretrain.corruption.kind",
        "'fog'",
    ),
    "a wrong stage": (["--pretrain.stages", '[{}, {"lr": 0}]'], "pretrain.stages[1].lr", "0"),
    "a stage too few": (["--pretrain.stages", "[{}]"], "pretrain.stages", "1"),
    "half an option": (["--pretrain.epoch", "3"], "pretrain.epoch", "does not exist"),
    "an unknown option": (["--pretrain.epocs", "3"], "pretrain.epocs", "does not exist"),
    "an unknown datamodule": (["--data", "Fashion"], "data", "'Fashion'"),
    "an unknown option of the data": (["--data.bach", "3"], "data.bach", "does not exist"),
    "an empty batch": (["--data.batch_size", "0"], "data.batch_size", "0"),
    "no training images left": (["--data.val_size", "9999"], "data.val_size", "9999"),
    "a missing data folder": (
        ["--data", "MNISTDataModule", "--data.root", "/nowhere"],
        "data.root",
        "'/nowhere'",
    ),
    "a missing config": (["--config", "nowhere.yaml"], "config", "nowhere.yaml"),
    "epochs of the trainer": (["--trainer.max_epochs", "3"], "trainer.max_epochs", "3"),
    "no such accelerator": (["--trainer.accelerator", "abacus"], "trainer", "abacus"),
    "a name with slashes": (["--name", "a/b"], "name", "'a/b'"),
    "a seed to be drawn": (["--seed_everything", "true"], "seed_everything", "True"),
    "a negative seed": (["--seed_everything=-1"], "seed_everything", "-1"),
    "salt and pepper without bounds": (
        ["--model.activation", "relu", "--pretrain.corruption", SALT],
        "pretrain (stage 2).corruption.kind",
        "'salt_and_pepper'",
    ),
    "sizes beyond any memory": (["--model.sizes", "[784, 99999999]"], "model.sizes[1]", "99999999"),
    "a text for noise": (["--pretrain.corruption", "masking"], "pretrain.corruption", "'masking'"),
    "a number for sparsity": (["--finetune.sparsity", "5"], "finetune.sparsity", "'5'"),
    "a huge seed of the split": (["--data.split_seed", "9" * 30], "data.split_seed", "9" * 30),
    "a long name": (["--name", "n" * 400], "name", "'nnn"),
    "a slip in an option of the data": (
        ["--data.batch_siz", "3"],
        "data.batch_siz",
        "did you mean data.batch_size?",
    ),
    "one stage of several": (
        ["--pretrain.stages.1.lr", "0.1"],
        "pretrain.stages",
        "'--pretrain.stages.1.lr'",
    ),
    "an option without a value": (["--finetune.epochs"], "finetune.epochs", "none"),
    "a lone word": (["extra"], "extra", "a lone word"),
    "lists without end": (["--model.sizes", "[" * 100_000], "model.sizes", "'[[["),
    "a number no float holds": (["--finetune.lr", "9" * 400], "finetune.lr", "'999"),
    "weights beyond any memory": (
        ["--model.sizes", "[784, 1000000, 1000000]"],
        "model.sizes",
        "1,000,784,000,000",
    ),
    "an address for a group": (["--model", "http://127.0.0.1/a"], "model", "'http://127.0.0.1/a'"),
    "half a character": (["--name", "\udcff"], "name", "'\\udcff'"),
    "a name of two lines": (["--name", "a\nb"], "name", "'a\\nb'"),
    "a name of too many bytes": (["--name", "🦊" * 90], "name", "'🦊"),
    "a folder below a file": (
        ["--trainer.default_root_dir", "/dev/null/a"],
        "trainer.default_root_dir",
        "Not a directory",
    ),
    "more devices than there are": (["--trainer.devices", "1000000"], "trainer.devices", "1000000"),
    "a callback that refuses its options": (
        ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.save_top_k=-7"],
        "trainer",
        "save_top_k=-7",
    ),
    "a run that is nowhere": (["--resume", "nowhere"], "resume", "no manifest.json in 'nowhere'"),
    "no run at all": (["--resume", ""], "resume", "no manifest.json"),
    "a sparse linear code": (
        ["--model.linear_code", "true", "--finetune.sparsity", '{"rho": 0.1}'],
        "finetune.sparsity",
        "'identity'",
    ),
}


BAD |= {
    f"trainer: {option} {value}": ([f"--trainer.{option}", value], f"trainer.{option}", value)
    for option, value in {
        "max_steps": "5",
        "overfit_batches": "1.0",
        "barebones": "True",
        "accumulate_grad_batches": "0",
        "check_val_every_n_epoch": "0",
        "val_check_interval": "1000",
        "limit_val_batches": "0",
        "limit_train_batches": "1.5",
        "precision": "bf16-true",
        "default_root_dir": "s3://bucket/x",
    }.items()
}


@pytest.mark.parametrize(("args", "key", "found"), BAD.values(), ids=BAD)
def test_bad_input_ends_in_one_sentence_before_any_training(args, key, found, capsys):
    with pytest.raises(SystemExit) as end:
        fit(*args)
    assert end.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith(f"error: {key}: expected ")
    assert f"found {found}" in lines[0] or found in lines[0]
    assert "; " in lines[0], "what to do"
    assert not Path("lightning_logs").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "command: expected one of fit, validate, test, predict"),
        (["fly"], "command: expected one of fit, validate, test, predict, report, found 'fly'"),
        (["fit"], "model.sizes, data: expected a value, found none"),
    ],
)
def test_a_command_that_lacks_something(args, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(args)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


@pytest.mark.parametrize(
    "line",
    [
        "pretrain:",
        "finetune:",
        "trainer: 5",
        "seed_everything:",
        "model: {sizes: 9, activation: }",
        "pretran: {}",
        "model: {sizes: [784, 9], tied: null}",
        "data: {class_path: DigitsDataModule, dict_kwargs: {zzz: 1}}",
    ],
)
def test_an_empty_group_of_a_config(line, capsys):
    config = yaml.safe_load((ROOT / "configs" / "digits.yaml").read_text())
    Path("bad.yaml").write_text(yaml.safe_dump(config | yaml.safe_load(line)))
    with pytest.raises(SystemExit) as end:
        main(["fit", "--config", "bad.yaml"])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert f"{line.split(':')[0]}" in error
    assert not Path("lightning_logs").exists()


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_wrong_data_folder_in_the_environment(kind, capsys, monkeypatch, tmp_path):
    if kind == "file":
        (tmp_path / "where").write_text("")
    monkeypatch.setenv("SAE_DATA", str(tmp_path / "where"))
    with pytest.raises(SystemExit) as end:
        main(["fit", "--config", str(ROOT / "configs" / "stacked.yaml")])
    assert end.value.code == 2
    message = "error: data.root (from $SAE_DATA): expected a folder, found none at"
    assert capsys.readouterr().err.startswith(message)


def test_a_damaged_file_is_named_by_its_path(capsys, monkeypatch, tmp_path):
    write_mnist(tmp_path / "mnist", monkeypatch)
    path = tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(SystemExit) as end:
        main(["fit", "--config", str(ROOT / "configs/stacked.yaml"), "--data.root", "mnist"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: mnist/t10k-images-idx3-ubyte.gz: expected")


@pytest.mark.parametrize("damage", ["cut", "keys", "shape", "type"])
def test_a_damaged_checkpoint(finished, damage, capsys):
    path = finished[0] / "finetune" / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    if damage == "keys":
        del content["state_dict"]["net.layers.0.bias"]
    elif damage == "shape":
        content["state_dict"]["net.layers.0.bias"] = torch.zeros(3)
    elif damage == "type":
        content["state_dict"] = 5
    torch.save(content, "bad.ckpt")
    if damage == "cut":
        Path("bad.ckpt").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(SystemExit) as end:
        main(["test", "--config", str(finished[0] / "config.yaml"), "--ckpt_path", "bad.ckpt"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: ckpt_path: expected")


def test_figures_on_other_data_than_the_runs_are_refused(finished, capsys, monkeypatch, tmp_path):
    write_mnist(tmp_path / "mnist", monkeypatch)
    mine = ["--data", "MNISTDataModule", "--data.root", "mnist", "--data.val_size", "10"]
    with pytest.raises(SystemExit) as end:
        verb("test", finished[0], *mine)
    assert end.value.code == 2
    message = "error: data: expected digits, which the run trained on, found MNIST"
    assert capsys.readouterr().err.startswith(message)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("model: [", "config: expected plain YAML, found a mistake ("),
        ("\tmodel:", "config: expected plain YAML, found a mistake (found character '\\t' that"),
        (
            "a: 1\nb: 2\na: 3\n",
            "config: expected plain YAML, found 'a' twice in line 3 of bad.yaml",
        ),
        ("a: 1\n---\nb: 2", "config: expected plain YAML, found a second document in line 2"),
        ("&m\nmodel: *m", "config: expected plain YAML, found *m within itself in line 2 of bad"),
        ("model: !!python/name:os.system", "config: expected plain YAML, found the tag 'tag:yaml"),
        ("[" * 60, "config: expected plain YAML, found more than 50 levels in line 1 of bad.yaml"),
        ("pictures_every: 0x_", "config: expected plain YAML, found a mistake (invalid literal"),
        ('name: "\\0"', "config: expected plain YAML, found a NUL or half a character in line 1"),
        ("model:\n  sizs: [1, 2]\n", "model.sizs: expected the name of an option, found one that"),
        ("1: 2", "'1': expected the name of an option, found this one"),
        ("just text", "config: expected options, found 'just text'"),
        ("{}", "config: expected options, found '{}'"),
        ("", "config: expected options, found ''"),
    ],
)
def test_a_config_with_a_mistake(content, sentence, capsys):
    Path("bad.yaml").write_text(content)
    with pytest.raises(SystemExit) as end:
        main(["fit", "--config", "bad.yaml"])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {sentence}")
    assert len(error.splitlines()) == 1


def test_a_config_in_another_encoding(capsys):
    Path("bad.yaml").write_text("name: é", encoding="latin-1")
    with pytest.raises(SystemExit) as end:
        main(["fit", "--config", "bad.yaml"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: config: expected a file in UTF-8, found")


def test_early_stopping_on_a_metric_that_does_not_exist(capsys):
    with pytest.raises(SystemExit) as end:
        fit("--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val_los")
    assert end.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: trainer.callbacks: expected a monitor that is logged (train/lo")
    assert "val_los" in error
    assert not Path("lightning_logs").exists()


def test_early_stopping_on_a_metric_that_a_callback_does_not_log(capsys):
    """One of the user's might: it shows after the first epoch."""
    stop = {"class_path": "EarlyStopping", "init_args": {"monitor": "val_los"}}
    with pytest.raises(SystemExit) as end:
        with_callbacks([stop, {"class_path": "helpers.CountEpochs"}])
    assert end.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: trainer.callbacks: expected metrics that there are, found")
    assert "val_los" in error
    assert "`val/loss`" in error


def test_a_manifest_of_something_else_beside_a_checkpoint(finished, tmp_path, capsys):
    checkpoint = finished[0] / "finetune" / "checkpoints" / "best.ckpt"
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "manifest.json").write_text("[]")
    (tmp_path / "a/b/best.ckpt").write_bytes(checkpoint.read_bytes())
    main(["test", "--config", str(finished[0] / "config.yaml"), "--ckpt_path", "a/b/best.ckpt"])
    assert "test SSE per image" in capsys.readouterr().out


@pytest.mark.parametrize("path", [None, "nowhere.ckpt", "text", "x" * 5000])
def test_a_verb_without_a_checkpoint(path, capsys):
    Path("text").write_text("no checkpoint")
    args = [] if path is None else ["--ckpt_path", path]
    with pytest.raises(SystemExit) as end:
        main(["test", "--config", str(ROOT / "configs" / "digits.yaml"), *args])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: ckpt_path: expected")


@pytest.mark.parametrize("when", ["before the data are read", "after"])
def test_a_bad_run_ends_with_exit_code_2_as_a_process(when):
    """And a single line: nothing that is torn down in the end adds to it."""
    wrong = {"before the data are read": "[784]", "after": "[100, 9]"}[when]
    command = [sys.executable, str(ROOT / "cli.py"), "fit", "--data", "DigitsDataModule"]
    command += ["--model.sizes", wrong]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: model.sizes: expected ")
    assert done.stderr.count("\n") == 1, done.stderr


def test_a_checkpoint_does_not_beat_the_yaml(finished, capsys):
    """Contract 7."""
    with pytest.raises(SystemExit) as end:
        verb("test", finished[0], "--model.activation", "tanh")
    assert end.value.code == 2
    error = capsys.readouterr().err.strip()
    assert "activation = tanh, found one of activation = sigmoid" in error.splitlines()[-1]


STATEFUL = [{"class_path": "helpers.Stateful"}]
STOPS = [{
    "class_path": "EarlyStopping",
    "init_args": {"monitor": "stage1/val/loss", "strict": False, "divergence_threshold": math.inf},
}]  # fmt: skip


def with_callbacks(callbacks: list, *args: str) -> Path:
    config = yaml.safe_load((ROOT / "configs" / "digits.yaml").read_text())
    Path("mine.yaml").write_text(yaml.safe_dump(config | {"trainer": {"callbacks": callbacks}}))
    main(["fit", "--config", "mine.yaml", *SHORT, *args])
    return Path("lightning_logs/mine/version_0")


def test_a_callback_whose_state_could_not_be_read_back(capsys):
    with pytest.raises(SystemExit) as end:
        with_callbacks(STATEFUL)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: trainer.callbacks: expected callbacks whose state is tensors")
    assert len(error.splitlines()) == 1


def test_an_infinite_option_of_a_callback_is_none_of_our_business():
    assert read(with_callbacks(STOPS), "manifest.json")["status"] == "finished"


def test_two_early_stoppings_on_the_same_metric(capsys):
    with pytest.raises(SystemExit) as end:
        with_callbacks(STOPS, "--pretrain.patience", "3")
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: trainer: expected options that fit")
