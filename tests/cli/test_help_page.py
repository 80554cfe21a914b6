from __future__ import annotations

import re

from sae.cli import help_page, kept
from sae.cli.help_page import main_page, trainer_page, verb_page


def option(key: str, **more) -> dict:
    return {"names": [f"--{key}"], "key": key, "takes": True, "type": "N", "help": "It.", **more}


def test_the_main_page_has_each_verb_once_in_groups_with_an_example():
    verbs = kept.read()["verbs"]
    page = main_page(verbs)
    assert "  python cli.py fit --config stacked.yaml\n" in page
    for verb in verbs:
        assert len(re.findall(rf"^  {verb} ", page, re.M)) == 1
    titles = [page.index(f"\n{title}:\n") for title in help_page.VERB_GROUPS]
    assert titles == sorted(titles)
    assert main_page({"mine": {"help": "Mine."}}).count("others:\n  mine          Mine.\n") == 1


def test_our_groups_come_before_the_trainers_which_is_one_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    about = kept.read()["verbs"]["fit"]
    page = verb_page("fit", about["help"], about["example"], about["options"])
    titles = [page.index(f"\n{group}: ") for group in help_page.OPTION_GROUPS]
    assert titles == sorted(titles)
    assert page.startswith("usage: python cli.py fit --config CONFIG")
    assert "\nexample:\n  python cli.py fit --config stacked.yaml" in page
    assert "--trainer.devices N" not in page
    assert page.rstrip().splitlines()[-1].startswith("trainer: ")
    assert len(page.splitlines()) < 110
    assert max(map(len, page.splitlines())) <= 100
    assert "+" not in page, "--model.sizes+ is for those who know of it"


def test_an_option_has_its_type_and_default_and_what_two_lines_hold():
    long = "First. " + "Second " * 40 + "end."
    options = [option("n", default="3"), option("m", default="null", help=long)]
    rows = verb_page("mine", "Does it.", "--n 3", options).splitlines()
    assert rows[0] == "usage: python cli.py mine --n 3"
    assert rows[-2].split() == ["--n", "N", "It.", "(default:", "3)"]
    assert rows[-1].split() == ["--m", "N", "First."]


def test_a_group_like_pretrain_says_only_what_differs():
    options = [
        option("pretrain.epochs", default="10"),
        option("pretrain.lr", default="0.1"),
        option("finetune.epochs", default="20"),
        option("finetune.lr", default="0.1"),
    ]
    page = verb_page("fit", "", "", options)
    assert "--finetune.epochs N" in page
    assert "--finetune.lr" not in page
    assert "\n  as in pretrain: lr\n" in page


def test_the_trainers_page_has_its_options_alone():
    page = trainer_page([option("trainer.devices"), option("model.sizes")])
    assert "--trainer.devices N" in page
    assert "model" not in page


def test_a_narrow_terminal_gets_narrow_lines(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, main_page(kept.read()["verbs"]).splitlines()[6:])) <= 110
    about = kept.read()["verbs"]["score"]
    page = verb_page("score", about["help"], "", about["options"])
    assert max(map(len, page.splitlines())) <= 60
