from __future__ import annotations

from pathlib import Path

import pytest
from helpers import ROOT, refusal

from sae.cli import ready_made
from sae.cli.command import main
from sae.cli.ready_made import folder, with_ready_made


def test_they_lie_in_the_clone():
    assert folder() == ROOT / "configs"


def test_in_an_installed_package_they_lie_inside(monkeypatch, tmp_path):
    (tmp_path / "sae/configs").mkdir(parents=True)
    monkeypatch.setattr(ready_made.sae, "__file__", str(tmp_path / "sae/__init__.py"))
    assert folder() == tmp_path.resolve() / "sae/configs"


@pytest.mark.parametrize(
    ("words", "at"),
    [
        (["fit", "--config", "digits.yaml", "--name", "a"], 2),
        (["fit", "-c", "digits.yaml"], 2),
        (["fit", "--config=digits.yaml"], 1),
    ],
)
def test_a_bare_name_is_found_and_said(words, at, capsys):
    found = with_ready_made(words)
    assert found[at].endswith(str(ROOT / "configs/digits.yaml"))
    assert found[:at] + found[at + 1 :] == words[:at] + words[at + 1 :]
    assert capsys.readouterr().err == f"config: {ROOT / 'configs/digits.yaml'}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "--config", "nothing.yaml"],
        ["fit", "--config", "sub/digits.yaml"],
        ["fit", "--config", "../README.md"],
        ["fit", "--config", ""],
        ["fit", "--config"],
        ["fit", "--name", "digits.yaml"],
        [],
    ],
)
def test_all_else_stays_as_it_is(words, capsys):
    assert with_ready_made(words) == words
    assert capsys.readouterr().err == ""


def test_one_in_a_folder_of_theirs_is_found(capsys):
    found = with_ready_made(["sweep", "--config", "sweeps/digits.yaml"])
    assert found[2] == str(ROOT / "configs/sweeps/digits.yaml")


def test_a_file_of_the_current_folder_comes_first():
    Path("digits.yaml").write_text("model: {sizes: [784, 9]}")
    assert with_ready_made(["fit", "--config", "digits.yaml"])[2] == "digits.yaml"


def test_fit_reads_it(capsys):
    with pytest.raises(SystemExit) as end:
        main(["fit", "--config", "digits.yaml", "--print_config"])
    assert end.value.code == 0
    assert "- 784\n  - 128\n" in capsys.readouterr().out


def test_one_that_is_not_there_is_said_to_be_none(capsys):
    line = refusal(capsys, "fit", "--config", "nothing.yaml")
    assert "the name is enough, such as stacked.yaml" in line


def test_a_process_that_was_launched_beside_the_first_does_not_repeat_it(monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert with_ready_made(["fit", "--config", "stacked.yaml"])[2].endswith("stacked.yaml")
    assert capsys.readouterr().err == ""
