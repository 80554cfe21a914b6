from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from helpers import ROOT, fit, refusal, refused_fit

from sae.cli.command import main
from sae.cli.options import as_list, trainer_error
from sae.cli.sentences import TRAINING_VERBS

DIGITS = str(ROOT / "configs" / "digits.yaml")


def test_callbacks_of_the_config_are_fresh_in_each_phase():
    fit("--trainer.callbacks", '[{"class_path": "helpers.CountEpochs"}]')
    assert Path("epochs.txt").read_text() == "2\n2\n2\n"


def test_help_says_what_the_verbs_do(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Stacked autoencoders" in out
    assert all(f"{verb} {text}" in out for verb, text in TRAINING_VERBS.items())


@pytest.mark.parametrize("verb", TRAINING_VERBS)
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


@pytest.mark.parametrize(
    ("name", "option", "package"),
    [
        ("WandbLogger", "logger", "wandb"),
        ("MLFlowLogger", "logger", "mlflow"),
        ("CometLogger", "logger", "comet"),
        ("RichProgressBar", "callbacks", "rich"),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(name, option, package, capsys):
    if importlib.util.find_spec("comet_ml" if package == "comet" else package):
        pytest.skip(f"{package} is installed")
    line = refused_fit(capsys, f"--trainer.{option}", name)
    pattern = rf"trainer: expected the package ({package}.*), which {name} needs, found none; "
    assert re.fullmatch(rf"{pattern}run: pip install '\1'\.", line), line


@pytest.mark.parametrize(
    "line",
    [
        "pretrain:",
        "finetune:",
        "trainer: 5",
        "seed_everything:",
        "model: {sizes: 9, activation: }",
        "model: {sizes: [784, 9], tied: null}",
        "data: {class_path: DigitsDataModule, dict_kwargs: {zzz: 1}}",
    ],
)
def test_an_empty_group_of_a_config(line, capsys):
    config = yaml.safe_load(Path(DIGITS).read_text())
    Path("bad.yaml").write_text(yaml.safe_dump(config | yaml.safe_load(line)))
    assert line.split(":")[0] in refusal(capsys, "fit", "--config", "bad.yaml")


def test_one_option_may_be_nothing_one_or_several():
    assert as_list(None) == []
    assert as_list(5) == [5]
    assert as_list((5, 6)) == [5, 6]


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            "Problem with class_path 'a.b.Logger': No module named 'wandb'",
            "trainer: expected the package wandb, which Logger needs, found none; "
            "run: pip install 'wandb'.",
        ),
        (
            'Needs `rich`. Install it with: pip install -U "rich>=10.2"',
            "trainer: expected the package rich>=10.2, found none; run: pip install 'rich>=10.2'.",
        ),
        (
            "two\n  lines",
            "trainer: expected options that fit each other and this machine, "
            "found a clash (two lines); correct the trainer options.",
        ),
    ],
)
def test_what_the_trainer_finds_wrong_is_one_sentence(message, sentence):
    assert str(trainer_error(ValueError(message))) == sentence
