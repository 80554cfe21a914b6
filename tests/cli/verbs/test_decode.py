"""``decode``: samples from the codes of a file."""

from __future__ import annotations

import numpy as np
import PIL.Image
from helpers import refusal

from sae.cli.command import main
from sae.run.model import load_run


def test_codes_become_images(finished, capsys):
    codes = np.random.default_rng(0).random((3, 4), dtype=np.float32)
    np.save("codes.npy", codes)
    words = ["decode", "--run", str(finished[0]), "--input", "codes.npy", "--output"]
    main([*words, "x.npy"])
    assert capsys.readouterr().out == "samples: x.npy (3 samples)\n"
    expected = load_run(finished[0]).decode(codes).reshape(3, 28, 28)
    np.testing.assert_array_equal(np.load("x.npy"), expected)
    main([*words, "images"])
    np.testing.assert_array_equal(np.asarray(PIL.Image.open("images/2.png")), expected[2].round())


def test_codes_of_another_size_are_refused(finished, capsys):
    np.save("codes.npy", np.zeros((3, 5), np.float32))
    words = ["--run", str(finished[0]), "--input", "codes.npy", "--output", "x.npy"]
    assert "codes of 4 values" in refusal(capsys, "decode", *words)
