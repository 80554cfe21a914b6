from __future__ import annotations

import pytest

from sae.cli import sentences
from sae.errors import InputError


def test_each_verb_is_named_and_the_near_one_proposed():
    assert {"fit", "predict", "report", "sweep"} <= set(sentences.verbs())
    assert "verb" not in sentences.verbs()
    error = sentences.wrong_verb("reprot")
    assert error.found == "'reprot'"
    assert error.remedy == "perhaps report is meant"
    assert sentences.wrong_verb(None).found == "none"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("finetune.epoch", "perhaps finetune.epochs is meant"),
        ("fintune.epochs", "perhaps finetune.epochs is meant"),
        ("pretrain.zzz", "see --help for the names"),
        ("nme", "perhaps name is meant"),
    ],
)
def test_the_option_that_was_meant_is_proposed_from_its_own_group(name, near):
    known = ["name", "pretrain.epochs", "finetune.epochs", "finetune.lr"]
    assert sentences.unknown_option(name, known).remedy == near


def test_a_file_is_named_as_one_would_type_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sentences.no_file("config", str(tmp_path / "a/b.yaml")).found == "'a/b.yaml'"


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("sub/my_frist.yaml", "perhaps sub/my_first.yaml is meant"),
        ("sub/my_first", "perhaps sub/my_first.yaml is meant"),
        ("configs/sparce.yaml", "perhaps sparse.yaml is meant"),
        ("sweeps/digit.yaml", "perhaps sweeps/digits.yaml is meant"),
        ("zzzz.yaml", "correct the path"),
    ],
)
def test_a_config_that_is_there_is_proposed(path, remedy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/my_first.yaml").write_text("")
    assert sentences.no_file("config", path).remedy.startswith(remedy)


@pytest.mark.parametrize("word", ["train", "Train", "run"])
def test_who_wants_to_train_is_told_of_fit(word):
    assert "fit --config stacked.yaml" in sentences.wrong_verb(word).remedy


def test_a_config_without_its_option_is_no_wrong_option():
    known = ["config", "name"]
    assert sentences.unknown_option("a.yaml", known).remedy == (
        "to use a config, write --config a.yaml"
    )
    assert "--config" not in sentences.unknown_option("a.yaml", ["run"]).remedy


def test_an_unknown_datamodule_is_compared_with_ours():
    error = sentences.unknown_data("MNISTDatModule", ["DigitsDataModule", "MNISTDataModule"])
    assert error.remedy == "perhaps MNISTDataModule is meant"
    assert error.expected.startswith("DigitsDataModule, MNISTDataModule, or ")


@pytest.mark.parametrize("word", ["\udcff", "--n=\0", "--n=" + "[" * 99, "--n=" + "9" * 400])
def test_a_word_on_which_the_parser_would_break_is_refused(word):
    with pytest.raises(InputError):
        sentences.check_words(["fit", word])
    sentences.check_words(["fit", "--n=[[3]]", "--name", "a=b"])
