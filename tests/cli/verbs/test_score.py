"""``score``: errors of the samples of a file, and which are odd."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from helpers import refusal

from sae.cli import on_files
from sae.cli.command import main
from sae.data import DigitsDataModule
from sae.data.table_preparation import Column, TablePreparation
from sae.run.model import TrainedRun, load_run
from sae.run.reference import write_errors
from sae.training.stacked import StackedAutoencoder


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
    assert said[1].endswith(f", the 0.99 quantile of the {run.n_validation} validation samples")
    assert said[2].startswith(
        f"note: {run.n_validation} validation samples are too few for a reliable 0.99"
    )


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


def test_rows_with_gaps_and_categories_that_are_none(monkeypatch, capsys):
    columns = [Column("width"), Column("colour", "category", values=["a", "b"])]
    preparation = TablePreparation(columns, missing="mask")
    model = StackedAutoencoder([3, 2])
    model.suit(preparation)
    run = TrainedRun(Path(), model.stack, preparation, model.objective, (1, 3))
    monkeypatch.setattr(on_files, "load_run", lambda folder, device: run)
    write_errors(Path(), np.full(400, 1e6, np.float32))
    Path("x.csv").write_text("id,colour,width\np,a,1\nq,c,2\nr,,\n", encoding="utf-8")
    words = ["--run", ".", "--input", "x.csv", "--output", "s.csv", "--per_feature", "true"]
    main(["score", *words])
    with Path("s.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "score", "odd", "missing", "error_width", *header[5:]]
    assert [row[2:4] for row in rows] == [["0", "0"], ["0", "1"], ["1", "2"]]
    assert rows[1][5:] == ["nan", "nan"]
    assert rows[2][1] == "nan"
    assert float(rows[1][1]) == pytest.approx(3 * float(rows[1][4]), rel=1e-5)
    out, err = capsys.readouterr()
    assert out.splitlines()[1] == "empty: 1 sample has no values: no score, and odd"
    assert out.splitlines()[2].endswith("of the 400 validation samples")
    assert "note" not in out
    assert err == (
        "warning: x.csv: values that no training row has, which count as missing: 1 in column "
        "colour (the first is 'c' in row 1)\n"
    )
