"""Bad input ends in one sentence with exit code 2, before any training, and nothing is lost."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from helpers import ROOT, SHORT, read, refusal, refused_fit, write_mnist

from sae import kinds
from sae.cli.command import main
from sae.cli.verbs.verb import ROOM, Verb

DIGITS = str(ROOT / "configs" / "digits.yaml")
SALT = "{kind: salt_and_pepper, level: 0.1}"
VERBS = ", ".join(["fit", "validate", "test", "predict", *kinds.names(ROOM, Verb)])
NUMBER_OF_NO_FLOAT = "9" * 400
# Option, its wrong value, and what the sentence says of it.
VALUES = [
    ("model", "http://127.0.0.1/a", "http://127.0.0.1/a"),
    ("model.sizes", "[784]", "found [784]"),
    ("model.sizes", "[100, 9]", "found 100"),
    ("model.sizes", "big", "'big'"),
    ("model.sizes", "[" * 100_000, "'[[["),
    ("model.activation", "swish", "'swish'"),
    ("pretrain.corruption", "masking", "write {kind: masking, level: 0.3}"),
    ("pretrain.epoch", "3", "does not exist; perhaps pretrain.epochs is meant"),
    ("finetune.epochs", "many", "found 'many'"),
    ("finetune.lr", NUMBER_OF_NO_FLOAT, "found '999"),
    ("finetune.sparsity", "5", "write {rho: 0.05, weight: 1}"),
    ("data", "Fashion", "expected ArrayDataModule, DigitsDataModule, EMNIST"),
    ("data.batch_siz", "3", "does not exist; perhaps data.batch_size is meant"),
    ("data.val_size", "9999", "found 9999"),
    ("config", "nowhere.yaml", "nowhere.yaml"),
    ("seed_everything", "-1", "found -1"),
    ("name", "a/b", "found 'a/b'"),
    ("name", "a\nb", "found 'a\\nb'"),
    ("name", "🦊" * 90, "found '🦊"),
    ("name", "\udcff", "\\udcff"),
    ("resume", "nowhere", "no manifest.json in 'nowhere'"),
    ("resume", "", "no manifest.json"),
    ("trainer.devices", "1000000", "found 1000000"),
    ("trainer.precision", "bf16-true", "'bf16-true'"),
    ("trainer.default_root_dir", "/dev/null/a", "Not a directory"),
]
WORDS = [
    (["extra"], "extra: expected the name of an option"),
    (["--finetune.epochs"], "finetune.epochs: expected a value, found none"),
    (["--pretrain.corruption={kind: masking, level: 1.5}"], "pretrain.corruption.level: "),
    (["--pretrain.stages=[{}, {lr: 0}]"], "pretrain.stages[1].lr: "),
    (["--pretrain.stages.1.lr=0.1"], "pretrain.stages: "),
    (["--data", "MNISTDataModule", "--data.root", "/nowhere"], "data.root: "),
    (["--model.activation", "relu", f"--pretrain.corruption={SALT}"], "pretrain (stage 2).corr"),
    (["--model.linear_code=true", "--finetune.sparsity={rho: 0.1}"], "finetune.sparsity: "),
    (["--trainer.accelerator=abacus"], "trainer: expected options that fit"),
    (["--trainer.limit_train_batches=1.5"], "trainer: expected options that fit"),
    (["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.save_top_k=-7"], "trainer: "),
    (
        ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val_los"],
        "trainer.callbacks: expected a monitor that is logged (train/loss, ",
    ),
]


@pytest.mark.parametrize(("option", "value", "found"), VALUES)
def test_a_wrong_value(option, value, found, capsys):
    line = refused_fit(capsys, f"--{option}={value}")
    assert line.startswith(f"{option}: expected ")
    assert ", found " in line
    assert found in line
    assert "; " in line, "what to do"


@pytest.mark.parametrize(("words", "start"), WORDS)
def test_words_that_do_not_fit(words, start, capsys):
    assert refused_fit(capsys, *words).startswith(start)


@pytest.mark.parametrize(
    ("words", "start"),
    [
        ([], f"command: expected one of {VERBS}, found none; "),
        (["fly"], f"command: expected one of {VERBS}, found 'fly'; see --help"),
        (["fit"], "data: expected a value, found none; "),
        (["report"], "run: expected a value, found none; "),
    ],
)
def test_a_command_that_lacks_something(words, start, capsys):
    assert refusal(capsys, *words).startswith(start)


BROKEN = "config: expected valid input, found a mistake ("


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("\tmodel:", BROKEN),
        ("a: 1\nb: 2\na: 3\n", f"{BROKEN}Problems parsing config: 'a' twice, line 3 of bad.yaml)"),
        ("a: 1\n---\nb: 2", BROKEN),
        ("&m\nmodel: *m", f"{BROKEN}Problems parsing config: more than 50 levels or 100000 values"),
        ("model: !!python/name:os.system", BROKEN),
        ("name: !!binary aGk=", "name: "),
        ("[" * 100_000, BROKEN),
        ("pictures_every: 0x_", BROKEN),
        ("pictures_every: " + NUMBER_OF_NO_FLOAT, f"{BROKEN}Problems parsing config: a number of"),
        ('name: "\\0"', f"{BROKEN}Problems parsing config: a NUL or half a character, line 1 of"),
        ("model:\n  sizs: [1, 2]\n", "model.sizs: expected the name of an option, found one that"),
        ("1: 2", f"{BROKEN}Key must be a string, got: 1"),
        ("just text", f"{BROKEN}Unexpected config: just text)"),
        ("", f"{BROKEN}Unexpected config: )"),
        (b"name: \xe9", "config: expected a file in UTF-8, found"),
    ],
)
def test_a_config_with_a_mistake(content, sentence, capsys):
    Path("bad.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refusal(capsys, "fit", "--config", "bad.yaml").startswith(sentence)


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_wrong_data_folder_in_the_environment(kind, capsys, monkeypatch, tmp_path):
    if kind == "file":
        (tmp_path / "where").write_text("")
    monkeypatch.setenv("SAE_DATA", str(tmp_path / "where"))
    line = refusal(capsys, "fit", "--config", str(ROOT / "configs" / "stacked.yaml"))
    assert line.startswith("data.root (from $SAE_DATA): expected a folder, found none at")


def test_a_damaged_file_is_named_by_its_path(capsys, monkeypatch, tmp_path):
    write_mnist(tmp_path / "mnist", monkeypatch)
    path = tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-30])
    config = str(ROOT / "configs/stacked.yaml")
    line = refusal(capsys, "fit", "--config", config, "--data.root", "mnist")
    assert line.startswith("mnist/t10k-images-idx3-ubyte.gz: expected")


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
    config = str(finished[0] / "config.yaml")
    line = refusal(capsys, "test", "--config", config, "--ckpt_path", "bad.ckpt")
    assert line.startswith("ckpt_path: expected")


@pytest.mark.parametrize("path", [None, "nowhere.ckpt", "text", "x" * 5000])
def test_a_verb_without_a_checkpoint(path, capsys):
    Path("text").write_text("no checkpoint")
    words = [] if path is None else ["--ckpt_path", path]
    line = refusal(capsys, "test", "--config", DIGITS, *words)
    assert line.startswith("ckpt_path: expected")


def test_what_differs_from_the_run_of_a_checkpoint(finished, capsys, monkeypatch, tmp_path):
    """A checkpoint does not beat the YAML: contract 7."""
    write_mnist(tmp_path / "mnist", monkeypatch)
    config, checkpoint = finished[0] / "config.yaml", "finetune/checkpoints/best.ckpt"
    words = ["test", "--config", str(config), "--ckpt_path", str(finished[0] / checkpoint)]
    mine = ["--data", "MNISTDataModule", "--data.root", "mnist", "--data.val_size", "10"]
    line = refusal(capsys, *words, *mine)
    assert line.startswith("data: expected digits, which the run trained on, found MNIST")
    line = refusal(capsys, *words, "--model.activation", "tanh")
    assert "activation = tanh, found one of activation = sigmoid" in line


def test_a_manifest_of_something_else_beside_a_checkpoint(finished, tmp_path, capsys):
    checkpoint = finished[0] / "finetune" / "checkpoints" / "best.ckpt"
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "manifest.json").write_text("[]")
    (tmp_path / "a/b/best.ckpt").write_bytes(checkpoint.read_bytes())
    main(["test", "--config", str(finished[0] / "config.yaml"), "--ckpt_path", "a/b/best.ckpt"])
    assert "test SSE per image" in capsys.readouterr().out


@pytest.mark.parametrize("sizes", ["[784]", "[100, 9]"])
def test_a_bad_run_ends_with_exit_code_2_as_a_process(sizes):
    """Before and after the data are read; and nothing that is torn down in the end adds a line."""
    command = [sys.executable, str(ROOT / "cli.py"), "fit", "--data", "DigitsDataModule"]
    done = subprocess.run([*command, "--model.sizes", sizes], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: model.sizes: expected ")
    assert done.stderr.count("\n") == 1, done.stderr


STOPS = [{
    "class_path": "EarlyStopping",
    "init_args": {"monitor": "stage1/val/loss", "strict": False, "divergence_threshold": math.inf},
}]  # fmt: skip


def with_callbacks(callbacks: list) -> list[str]:
    config = yaml.safe_load(Path(DIGITS).read_text())
    Path("mine.yaml").write_text(yaml.safe_dump(config | {"trainer": {"callbacks": callbacks}}))
    return ["fit", "--config", "mine.yaml", *SHORT]


def test_a_callback_whose_state_could_not_be_read_back(capsys):
    line = refusal(capsys, *with_callbacks([{"class_path": "helpers.Stateful"}]))
    assert line.startswith("trainer.callbacks: expected callbacks whose state is tensors")


def test_two_early_stoppings_on_the_same_metric(capsys):
    line = refusal(capsys, *with_callbacks(STOPS), "--pretrain.patience", "3")
    assert line.startswith("trainer: expected options that fit")


def test_an_infinite_option_of_a_callback_is_none_of_our_business():
    main(with_callbacks(STOPS))
    folder = Path("lightning_logs/mine/version_0")
    assert read(folder, "manifest.json")["status"] == "finished"


def test_early_stopping_on_a_metric_that_a_callback_does_not_log(capsys):
    """One of the user's might: it shows after the first epoch."""
    stop = {"class_path": "EarlyStopping", "init_args": {"monitor": "val_los"}}
    with pytest.raises(SystemExit) as end:
        main(with_callbacks([stop, {"class_path": "helpers.CountEpochs"}]))
    assert end.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: trainer.callbacks: expected metrics that exist, found")
    assert "val_los" in error
    assert "`val/loss`" in error


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--finetune.augment={kind: shift, most: 40}"], "finetune.augment.most: expected less"),
        (["--finetune.terms=[..x]"], "finetune.terms[0]: expected a class at '..x', found none"),
        (["--head.epochs=1"], "head: expected an objective with a head of its own"),
        (
            ["--model.objective=classify", "--head.epochs=1", "--head.terms=[l1]"],
            "head.terms: expected none, since a head is trained on codes that do not change",
        ),
        (["--model.objective={kind: reconstruct, pixels: true}"], "model.objective.pixels: "),
        (
            [
                "--model.objective=classify",
                "--trainer.callbacks+=EarlyStopping",
                "--trainer.callbacks.monitor=val/error",
            ],
            "trainer.callbacks: expected a monitor that is logged (train/loss, val/loss)",
        ),
    ],
)
def test_what_a_phase_cannot_do_is_refused_before_any_of_them(words, found, capsys):
    assert refused_fit(capsys, *words).startswith(found)


def test_an_image_in_another_shape_is_refused(capsys):
    conv = ["--model.layers=[{kind: conv, channels: 2}]", "--model.sizes=null"]
    line = refused_fit(capsys, *conv, "--model.input_shape=[14, 56]")
    assert line.startswith("model.input_shape: expected [28, 28] or [784], an image of ")


def test_an_option_before_the_verb_is_no_verb(capsys):
    line = refusal(capsys, "--config=a.b", "fit")
    assert "a class at" not in line
