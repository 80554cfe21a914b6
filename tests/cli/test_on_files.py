"""What the verbs refuse that bring a run to work on a file: one sentence, and nothing written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import refusal

from sae.cli.command import main
from sae.cli.verbs import decode, denoise, encode, reconstruct, score

VERBS = (decode, denoise, encode, reconstruct, score)


@pytest.fixture
def files() -> Path:
    """Samples, and what is none."""
    np.save("x.npy", np.arange(3 * 784, dtype=np.uint8).reshape(3, 28, 28))
    np.save("small.npy", np.zeros((3, 5), np.uint8))
    np.save("scaled.npy", np.full((3, 784), 0.5, np.float32))
    holes = np.full((3, 784), 9.0, np.float32)
    holes[2, 5] = np.nan
    np.save("nan.npy", holes)
    np.savez("both.npz", a=np.full((2, 784), 9, np.uint8), b=np.zeros((1, 2)))
    Path("empty.npy").touch()
    return Path()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"run": "nowhere"}, "run: expected a file manifest.json in 'nowhere', found none"),
        ({"input": "nowhere.npy"}, "nowhere.npy: expected a file or folder, found none"),
        ({"input": "x.np"}, "x.np: expected a file or folder, found none; perhaps you meant x.npy"),
        ({"input": "empty.npy"}, "empty.npy: expected"),
        ({"input": "small.npy"}, "small.npy: expected samples of 784 values, as the run's, found"),
        ({"input": "scaled.npy"}, "scaled.npy: expected values from 0 to 255, as the run's data"),
        ({"input": "nan.npy"}, "nan.npy: expected finite numbers, found others, the first in row"),
        ({"output": "y.xlsx"}, "output: expected a file that ends in one of"),
        ({"output": "nowhere/y.npy"}, "output: expected a folder to write into, found none"),
        (
            {"output": "small.npy"},
            "output: expected the name of a new file or folder, found 'small.npy'",
        ),
        ({"output": "x.npy", "overwrite": "true"}, "output: expected another file than the input"),
        ({"output": "y"}, "output: expected images for a folder of PNG files"),
        ({"device": "cuda:99"}, "device: expected one that is there"),
        ({"input": "both.npz"}, "both.npz: expected one array, found 2 ('a', 'b')"),
        ({"input": "both.npz", "key": "c"}, "key: expected an array of both.npz, found 'c'"),
    ],
)
def test_it_is_one_sentence(words, says, files, finished, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in files.iterdir()}
    given = {"run": str(finished[0]), "input": "x.npy", "output": "y.npy", **words}
    line = [word for name, value in given.items() for word in (f"--{name}", value)]
    assert refusal(capsys, "encode", *line).startswith(says)
    assert {path.name: path.stat().st_mtime_ns for path in files.iterdir()} == before


def test_an_unfinished_run_says_how_to_go_on(files, finished, capsys):
    folder = Path(shutil.copytree(finished[0], "run"))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "status": "interrupted"}))
    line = refusal(capsys, "encode", "--run", "run", "--input", "x.npy", "--output", "y.npy")
    assert line.endswith("resume it: python cli.py fit --resume run.")


@pytest.mark.parametrize("module", VERBS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_each_says_what_it_takes(module, capsys):
    name = module.__name__.rpartition(".")[2]
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    page = capsys.readouterr().out
    for option in ("--run", "--input", "--output", "--overwrite", "--key", "--device"):
        assert option in page


def test_an_array_of_several_is_named_by_its_key(files, finished):
    words = ["--run", str(finished[0]), "--input", "both.npz", "--key", "a", "--output", "y.npy"]
    main(["encode", *words])
    assert np.load("y.npy").shape == (2, 4)


def test_what_is_there_is_replaced_when_asked(files, finished, capsys):
    words = ["encode", "--run", str(finished[0]), "--input", "x.npy", "--output", "small.npy"]
    main([*words, "--overwrite", "true"])
    assert capsys.readouterr().out == "codes: small.npy (3 samples)\n"
    assert np.load("small.npy").shape == (3, 4)
