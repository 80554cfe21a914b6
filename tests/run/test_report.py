from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers import fit

from sae.cli.command import main


@pytest.fixture
def run(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished[0], tmp_path / "digits" / "version_0"))


def report(folder: Path) -> str:
    main(["report", "--run", str(folder)])
    return (folder / "report.html").read_text(encoding="utf-8")


def refused(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["report", *words])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_run_without_pictures_has_a_report_of_figures():
    page = report(fit("--pictures_every", "-1"))
    assert "<img" not in page
    assert "test SSE per image" in page


def test_a_run_without_fine_tuning_shows_its_stack():
    page = report(fit("--finetune.epochs", "0"))
    assert "the stack</h2>" in page
    assert "finetune/interpolation.npz" in page


def test_an_unfinished_run_says_so(run):
    (run / "summary.json").unlink()
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["phases"] = manifest["phases"][:1]
    manifest["status"] = "interrupted"
    (run / "manifest.json").write_text(json.dumps(manifest))
    page = report(run)
    assert "This run is not finished (interrupted)" in page
    assert "stage1/codes.npz" in page


def test_warnings_are_in_it(run):
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["phases"][1]["warnings"] = ["stage 2 has many dead units: 90% of its code say nothing"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert "stage 2 has many dead units: 90% of its code say nothing" in report(run)


def test_another_folder(tmp_path, capsys):
    error = refused(capsys, "--run", str(tmp_path))
    assert error.startswith("error: run: expected the folder of a run, found one without manifest")
    assert "found none at 'nix'" in refused(capsys, "--run", "nix")


@pytest.mark.parametrize("content", ["{", "[]", "3"])
def test_a_damaged_summary(run, content, capsys):
    (run / "summary.json").write_text(content)
    error = refused(capsys, "--run", str(run))
    assert "expected a JSON file of a run, found a damaged one" in error


@pytest.mark.parametrize(
    "content", ['{"test": 3}', '{"test": {}}', '{"test": {"sse": "x"}, "val": {"sse": 1}}']
)
def test_a_summary_of_another_kind(run, content, capsys):
    (run / "summary.json").write_text(content)
    assert "a manifest and a summary of this version" in refused(capsys, "--run", str(run))


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"phases": 3}', '{"phases": [{}]}'])
def test_a_manifest_of_another_kind(run, content, capsys):
    (run / "manifest.json").write_text(content)
    refused(capsys, "--run", str(run))
