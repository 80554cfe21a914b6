"""``reconstruct``: what a run makes of the samples of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
from helpers import refusal

from sae.cli.command import main
from sae.run.model import load_run

X = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)


def test_reconstructions_have_the_shape_and_units_of_the_samples(finished, capsys):
    np.save("x.npy", X)
    words = ["reconstruct", "--run", str(finished[0]), "--input", "x.npy", "--output"]
    main([*words, "y.npy"])
    assert capsys.readouterr().out == "reconstructions: y.npy (12 samples)\n"
    expected = load_run(finished[0]).reconstruct(X)
    np.testing.assert_array_equal(np.load("y.npy"), expected)
    assert 1 < np.load("y.npy").max() <= 255
    main([*words, "y"])
    names = sorted(path.name for path in Path("y").iterdir())
    assert names == [f"{k:02d}.png" for k in range(12)]
    found = np.asarray(PIL.Image.open("y/07.png"))
    np.testing.assert_array_equal(found, expected[7].round())


def test_a_run_that_knows_of_no_gaps_is_refused(finished, capsys):
    np.save("x.npy", np.zeros((3, 784), np.uint8))
    words = ["reconstruct", "--run", str(finished[0]), "--input", "x.npy", "--output", "y.npy"]
    line = refusal(capsys, *words, "--fill", "true")
    assert line.startswith("fill: expected a run on a table that was trained with missing values")
    assert not Path("y.npy").exists()
