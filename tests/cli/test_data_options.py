from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from helpers import refusal, verb
from jsonargparse import Namespace

from sae.cli.command import main
from sae.cli.data_options import make_data, set_up
from sae.data import DigitsDataModule
from sae.errors import InputError
from sae.run.checkpoint_io import read_weights

QUICK = ["--data", "DigitsDataModule", "--pictures_every", "-1", "--trainer.logger", "false"]
QUICK += ["--pretrain.epochs", "1", "--finetune.epochs", "1"]


def named(**options) -> Namespace:
    return Namespace(class_path="sae.DigitsDataModule", init_args=Namespace(options))


def test_a_datamodule_of_its_options():
    data = make_data(named(batch_size=32))
    set_up(data)
    assert isinstance(data, DigitsDataModule)
    assert (data.batch_size, data.n_features) == (32, 784)


def test_a_wrong_option_is_named():
    with pytest.raises(InputError, match=r"data\.batch_size: expected an integer of 1 or more"):
        make_data(named(batch_size=0))
    with pytest.raises(InputError, match=r"data\.val_size: expected at most 1435"):
        set_up(make_data(named(val_size=5000)))


def fit(*words: str) -> tuple[Path, dict]:
    main(["fit", *QUICK, *words])
    folder = max(Path("lightning_logs").glob("*/version_*"), key=lambda path: path.stat().st_ctime)
    return folder, yaml.safe_load((folder / "config.yaml").read_text())["model"]


def test_sizes_left_to_the_data_stand_in_the_run_and_train_to_the_same_weights(capsys):
    chosen, model = fit("--name", "chosen")
    assert model["sizes"] == [784, 256, 64]
    assert "model: sizes 784→256→64, chosen: the largest power" in capsys.readouterr().out
    verb("test", chosen)
    given, model = fit("--name", "given", "--model.sizes", "[auto, 256, 64]")
    assert model["sizes"] == [784, 256, 64]
    assert "chosen" not in capsys.readouterr().out
    first, second = (read_weights(run / "finetune/weights.safetensors") for run in (chosen, given))
    assert all(first[name].equal(second[name]) for name in first)


def test_the_shape_of_an_input_is_left_to_the_data():
    layers = "[{kind: conv, channels: 2}, {kind: dense, units: 4}]"
    _, model = fit("--model.layers", layers, "--model.input_shape", "auto")
    assert model["input_shape"] == [28, 28]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--model.sizes", "[auto, auto]"], "model.sizes: expected auto as the first size alone"),
        (["--model.sizes", "[auto]"], "model.sizes: expected a list of two sizes or more"),
        (["--model.sizes", "auto", "--data.val_size", "9999"], "data.val_size: expected at most"),
        (["--model.sizes", "auto", "--data.val_size", "0"], "data.val_size: expected an integer"),
        (["--model.sizes", "auto", "--model.loss", "x"], "model.loss: expected one of"),
        (["--model.input_shape", "auto"], "model.input_shape: expected layers, too"),
    ],
)
def test_what_the_data_cannot_mend_is_one_sentence(words, sentence, capsys):
    assert refusal(capsys, "fit", *QUICK, *words).startswith(sentence)
    assert not Path("lightning_logs").exists()
