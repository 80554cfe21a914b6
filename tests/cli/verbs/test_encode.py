"""``encode``: codes of the samples of a file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sae.cli.command import main
from sae.run.model import load_run

X = np.random.default_rng(0).integers(0, 256, (5000, 28, 28), dtype=np.uint8)


def encode(folder: Path, given: str, output: str) -> None:
    main(["encode", "--run", str(folder), "--input", given, "--output", output])


@pytest.mark.parametrize("name", ["codes.npy", "codes.csv", "codes.parquet"])
def test_a_row_a_sample_in_order(name, finished, capsys):
    np.save("x.npy", X)
    encode(finished[0], "x.npy", name)
    assert capsys.readouterr() == (f"codes: {name} (5,000 samples)\n", "")
    expected = load_run(finished[0]).encode(X)
    if name.endswith(".npy"):
        found = np.load(name)
    elif name.endswith(".csv"):
        with Path(name).open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        assert header == ["row", "h0", "h1", "h2", "h3"]
        assert [int(row[0]) for row in rows] == list(range(5000))
        found = np.array([row[1:] for row in rows], np.float32)
    else:
        table = pq.read_table(name)
        assert table["row"].to_pylist() == list(range(5000))
        found = np.stack([table[f"h{k}"] for k in range(4)], axis=1)
    np.testing.assert_array_equal(found, expected)


def test_an_archive_and_a_folder_of_files(finished):
    Path("parts").mkdir()
    np.save("parts/a.npy", X[:3])
    np.save("parts/b.npy", X[3:5])
    np.savez("x.npz", x=X[:5])
    encode(finished[0], "parts", "a.npy")
    encode(finished[0], "x.npz", "b.npy")
    assert Path("a.npy").read_bytes() == Path("b.npy").read_bytes()
