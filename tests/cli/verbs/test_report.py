from __future__ import annotations

import re
import shutil

import pytest

from sae.cli.command import main


def refused(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["report", *words])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_no_folder(capsys):
    assert refused(capsys).startswith("error: run: expected a value, found none; ")


def test_an_option_that_does_not_exist(capsys):
    assert "perhaps run is meant" in refused(capsys, "--rum", "x")


def test_help_names_it(capsys):
    for words in (["--help"], ["report", "--help"]):
        with pytest.raises(SystemExit):
            main(words)
        assert re.search(
            r"python cli.py report --run FOLDER|^  report  ", capsys.readouterr().out, re.M
        )


def test_it_writes_the_page_and_says_where(finished, capsys, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "digits" / "version_0")
    main(["report", "--run", str(folder)])
    assert capsys.readouterr().out == "report: digits/version_0/report.html\n"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "test SSE per image" in page
