"""``score``: errors of the samples of a file, and which are odd."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from helpers import refusal

from sae.cli.command import main
from sae.data import DigitsDataModule
from sae.run.model import load_run


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    """Digits, and noise as the last one."""
    data = DigitsDataModule()
    data.setup()
    noise = np.random.default_rng(0).integers(0, 256, (1, 784), dtype=np.uint8)
    return np.concatenate([data.test.x.numpy()[:20], noise])


@pytest.fixture
def words(x, finished) -> list[str]:
    np.save("x.npy", x)
    return ["--run", str(finished[0]), "--input", "x.npy", "--output"]


def read(name: str) -> tuple[list[str], np.ndarray]:
    with Path(name).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return header, np.array(rows, np.float32)


def test_what_is_unlike_the_training_data_is_odd(words, x, finished, capsys):
    main(["score", *words, "s.csv"])
    run = load_run(finished[0])
    header, rows = read("s.csv")
    assert header == ["row", "score", "odd"]
    np.testing.assert_array_equal(rows[:, 1], run.score(x))
    odd = run.score(x) > run.threshold(0.99)
    assert odd[-1]
    assert odd.sum() < 5
    np.testing.assert_array_equal(rows[:, 2], odd)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "scores: s.csv (21 samples)"
    start = f"odd: {odd.sum()} samples ({100 * odd.sum() / 21:.1f} %) with an error above "
    assert said[1].startswith(start)
    assert said[1].endswith(", the 0.99 quantile of the validation samples")


def test_a_lower_quantile_flags_more(words, x, finished):
    main(["score", *words, "s.npy", "--quantile", "0.2"])
    run = load_run(finished[0])
    odd = run.score(x) > run.threshold(0.2)
    assert odd.sum() > 10
    np.testing.assert_array_equal(np.load("s.npy"), np.stack([run.score(x), odd], axis=1))


def test_errors_of_features_and_no_flags(words, x, finished, capsys):
    main(["score", *words, "s.csv", "--quantile", "null", "--per_feature", "true"])
    assert capsys.readouterr().out == "scores: s.csv (21 samples)\n"
    header, rows = read("s.csv")
    assert header[:3] == ["row", "score", "error_x0"]
    run = load_run(finished[0])
    np.testing.assert_array_equal(rows[:, 2:], run.score(x, per_feature=True))
    np.testing.assert_array_equal(rows[:, 1], run.score(x))


@pytest.mark.parametrize("quantile", ["0", "1.5", "often"])
def test_a_quantile_is_a_part(words, quantile, capsys):
    assert refusal(capsys, "score", *words, "s.csv", "--quantile", quantile).startswith("quantile")
    assert not Path("s.csv").exists()
