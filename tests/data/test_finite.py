from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sae.cli.command import main

X = np.random.default_rng(0).random((600, 36)).astype(np.float32)


def refusal(capsys, *words: str) -> str:
    command = ["fit", "--model.sizes", "[36, 4]", "--data", "ArrayDataModule", "--data.val_size"]
    with pytest.raises(SystemExit) as end:
        main([*command, "50", "--data.train", "x.npy", *words])
    assert end.value.code == 2
    assert not Path("lightning_logs").exists()
    (line,) = capsys.readouterr().err.splitlines()
    return line


def spoilt(**values: float) -> np.ndarray:
    x = X.copy()
    for place, value in values.items():
        row, column = map(int, place.removeprefix("at_").split("_"))
        x[row, column] = value
    return x


def test_the_places_of_values_that_are_no_numbers_are_named(capsys):
    np.save("x.npy", spoilt(at_5_3=np.nan, at_17_0=np.inf))
    line = refusal(capsys)
    assert "x.npy: expected finite numbers, found 2 that are not" in line
    assert "nan in row 5 column 3, inf in row 17 column 0;" in line
    assert "x[numpy.isfinite(x).all(axis=1)]" in line
    x = np.load("x.npy")
    x = x[np.isfinite(x).all(axis=1)]  # as it says
    assert x.shape == (598, 36)


def test_of_many_the_first_are_shown_and_all_are_counted(capsys):
    np.save("x.npy", spoilt(**{f"at_{row}_1": np.nan for row in range(0, 500)}))
    line = refusal(capsys)
    assert "found 500 that are not: nan in row 0 column 1, nan in row 1 column 1, " in line
    assert "nan in row 2 column 1, …;" in line


@pytest.mark.parametrize("row", [3, 99, 100, 401])
def test_the_file_is_named_and_the_row_in_it(row, capsys):
    Path("many").mkdir()
    for k, part in enumerate(np.split(spoilt(**{f"at_{row}_7": -np.inf}), [100, 400])):
        np.save(f"many/{k}.npy", part)
    k, first = next((k, f) for k, f in ((2, 400), (1, 100), (0, 0)) if row >= f)
    line = refusal(capsys, "--data.train", "many")
    assert line.startswith(f"error: many/{k}.npy: expected finite numbers, found 1 that are not")
    assert f"-inf in row {row - first} column 7;" in line


def test_a_test_file_of_its_own_is_named(capsys):
    np.save("x.npy", X)
    np.save("others.npy", spoilt(at_8_9=np.nan).reshape(600, 6, 6))
    line = refusal(capsys, "--data.test", "others.npy")
    assert line.startswith("error: others.npy: ")
    assert "nan in row 8 at (1, 3)" in line


def test_a_column_without_any_number_is_named(capsys):
    x = X.copy()
    x[:, 7] = np.nan
    np.save("x.npy", x)
    line = refusal(capsys)
    assert "found none in any row of column 7; leave out empty columns: " in line
    assert "numpy.delete(x, [7], axis=1)" in line
    assert np.isfinite(np.delete(x, [7], axis=1)).all()
