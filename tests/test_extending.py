"""What ``docs/extending.md`` shows runs as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, read
from killing import run

from sae.cli.command import main

PAGE = ROOT / "docs" / "extending.md"
FOLDER = Path("lightning_logs/mine/version_0")
CODE = dict(re.findall(r"^`([\w./]+)`\n\n```\w+\n(.*?)^```$", PAGE.read_text(), re.M | re.S))


@pytest.fixture(scope="module")
def where(tmp_path_factory) -> Path:
    """A folder with what is on the page, where its experiment has been run."""
    folder = tmp_path_factory.mktemp("extending")
    for name, text in {**CODE, "mine/__init__.py": ""}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    assert run(["fit", "--config", "mine.yaml"], folder) == 0, (folder / "err.txt").read_text()
    return folder


def test_the_page_has_a_file_for_each_of_six_kinds():
    kinds = ("layer", "term", "objective", "data", "picture", "verb")
    assert list(CODE) == [*(f"mine/{kind}.py" for kind in kinds), "mine.yaml"]
    lengths = {name: len(text.splitlines()) for name, text in CODE.items()}
    assert max(lengths.values()) < 36, lengths


def test_its_experiment_is_worth_showing(where):
    summary = read(where / FOLDER, "summary.json")
    assert summary["sizes"] == [256, 64, 16]
    assert summary["test"]["off"] < 0.1
    assert not [
        w for phase in read(where / FOLDER, "manifest.json")["phases"] for w in phase["warnings"]
    ]
    rows = (where / FOLDER / "metrics.csv").read_text()
    for name in ("stage1,4,180,val/energy", "stage2,4,180,val/size", "finetune,9,360,val/worst"):
        assert name in rows, name
    for phase in ("stage1", "stage2", "finetune"):
        assert (where / FOLDER / phase / "worst.png").exists()
        assert np.load(where / FOLDER / phase / "worst.npz")["images"].shape == (2, 6, 16, 16)


def test_its_command_works(where, monkeypatch, capsys):
    monkeypatch.chdir(where)
    monkeypatch.setattr(sys, "path", [*sys.path, str(where)])
    main(["mine.verb.Best", "--run", str(FOLDER)])
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["stage1", "stage2", "finetune"]
    with pytest.raises(SystemExit) as end:
        main(["mine.verb.Best", "--run", "nowhere"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: run: expected the folder of a run, found now")


def test_the_files_that_it_names_are_there():
    for name in re.findall(r"`(sae/[\w./]+|tests/[\w./]+|src/[\w./]+)`", PAGE.read_text()):
        path = ROOT / ("src" if name.startswith("sae/") else "") / name
        assert path.exists() or name == "tests/nets/test_gated.py", name


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_both_readmes_lead_to_it(readme):
    assert "](docs/extending.md)" in (ROOT / readme).read_text()
