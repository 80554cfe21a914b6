"""``export``: a run as a file for other programs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers import fit, refusal

from sae.cli.command import main


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Path:
    """A finished run of a classifier."""
    folder = tmp_path_factory.mktemp("classifier")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["--model.objective", "classify", "--pictures_every", "-1", "--head.epochs", "1"]
        return folder / fit(*words)


def test_the_last_line_is_the_file(finished, capsys):
    main(["export", "--run", str(finished[0]), "--output", "encoder.onnx"])
    parity, exported = capsys.readouterr().out.splitlines()
    assert exported == "exported: encoder.onnx"
    assert re.fullmatch(
        r"parity: largest difference [\d.e-]+, [\d.e-]+ of the largest value \(at most 1e-04\), "
        "on the first 180 validation samples of digits",
        parity,
    )
    assert Path("encoder.onnx").stat().st_size > 4 * 784 * 12


def test_a_tilde_is_the_home(finished, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(finished[0].parent))
    run, output = f"~/{finished[0].name}", Path("here")
    output.mkdir()
    main(["export", "--run", run, "--format", "safetensors", "--output", "here/a.safetensors"])
    monkeypatch.setenv("HOME", str(output.resolve()))
    assert "exported: here/a.safetensors" in capsys.readouterr().out
    words = ["--run", str(finished[0]), "--format", "safetensors", "--output", "~/b.safetensors"]
    main(["export", *words])
    assert (output / "b.safetensors").exists()


def test_a_classifier_goes_out_with_its_head(classifier, capsys):
    words = ["export", "--run", str(classifier), "--format", "safetensors", "--what", "classifier"]
    main([*words, "--output", "it.safetensors"])
    assert capsys.readouterr().out.splitlines()[-1] == "exported: it.safetensors"
    main(["export", "--run", str(classifier), "--format", "hub"])
    assert f"exported: {classifier / 'hub'}" in capsys.readouterr().out
    assert "run.predict(x)" in (classifier / "hub" / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "run: expected a value"),
        (["--run", "nowhere"], "run: expected a file manifest.json in 'nowhere', found none"),
        (["--format", "jpeg"], "format: expected one of hub, onnx, pt2, safetensors"),
        (["--what", "classifier"], "what: expected a run with a classifier head"),
        (["--overwrite", "perhaps"], "overwrite: expected true or false"),
        (["--output", "here.txt"], "output: expected a name that ends in .onnx"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(words, says, finished, capsys):
    given = ["--run", str(finished[0])] if words and "--run" not in words else []
    assert says in refusal(capsys, "export", *given, *words)
    assert not list(Path().iterdir())
