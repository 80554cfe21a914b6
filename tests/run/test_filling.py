"""Missing values are filled in, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as read
import pyarrow.parquet as pq
import pytest
from helpers import refusal

from sae.cli.command import main
from sae.run.model import load_run

N = 120
# Beyond what single precision holds, so that a value that went through the network would show.
BIG = 2**40


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> pa.Table:
    """A table with gaps; whole numbers, texts, and columns that are no inputs."""
    r = np.random.default_rng(0)
    size = r.random(N)
    gap = r.random((4, N)) < 0.15
    gap[:, 0] = False
    return pa.table(
        {
            "note": pa.array([f"say, {k}" for k in range(N)]),
            "height": pa.array(size / 3, mask=gap[0]),
            "count": pa.array((BIG + 50_000_000 * size).astype(np.int64), mask=gap[1]),
            "id": pa.array(range(BIG + 1, BIG + 1 + N), pa.int64()),
            "colour": pa.array(np.where(size > 0.5, "red", "blue").tolist(), mask=gap[2]),
            "whole": pa.array(np.floor(9 * size), mask=gap[3]),
            "kind": pa.array(["tree" if s > 0.8 else "herb" for s in size]),
        }
    )


@pytest.fixture(scope="module")
def run(file, tmp_path_factory) -> Path:
    """A run on it, of an epoch."""
    folder = tmp_path_factory.mktemp("filling")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        pq.write_table(file, "train.parquet")
        words = "fit --data TableDataModule --data.train train.parquet --data.id id"
        words += (
            " --data.label kind --data.ignore [note] --data.missing mask --model.sizes [auto,3]"
        )
        words += " --pretrain.epochs 1 --finetune.epochs 1 --pictures_every -1 --name gaps"
        main(words.split())
    return folder / "lightning_logs" / "gaps" / "version_0"


def filled(run, file, name: str) -> None:
    pq.write_table(file, "x.parquet")
    words = ["reconstruct", "--run", str(run), "--input", "x.parquet", "--output", name]
    main([*words, "--fill", "true"])


def test_only_what_is_missing_changes(run, file, capsys):
    filled(run, file, "y.parquet")
    new = pq.read_table("y.parquet")
    assert new.schema.equals(file.schema), "columns, their order and their types"
    for name in file.column_names:
        old, found = file.column(name).to_pylist(), new.column(name).to_pylist()
        assert None not in found
        assert [b for a, b in zip(old, found, strict=True) if a is not None] == [
            a for a in old if a is not None
        ]
    counts = {name: file.column(name).null_count for name in ("height", "count", "colour")}
    line = capsys.readouterr().out.splitlines()[-1]
    total = sum(file.column(name).null_count for name in file.column_names)
    assert line.startswith(f"filled in: {total} values: ")
    assert all(f"{n} in column {name}" in line for name, n in counts.items())


def test_what_is_filled_in_is_what_the_network_makes_of_it(run, file):
    filled(run, file, "y.parquet")
    new, inputs = pq.read_table("y.parquet"), ["height", "count", "colour", "whole"]
    made = load_run(run).reconstruct(file.select(inputs).to_pandas())
    for name in inputs:
        gaps = np.array(file.column(name).is_null())
        expected = made[name].to_numpy()[gaps]
        if name in ("count", "whole"):  # stored as integers, and as floats that are whole
            expected = np.rint(expected.astype(float))
        assert np.array(new.column(name))[gaps].tolist() == expected.tolist()


def test_a_csv_has_integers_as_integers(run, file):
    filled(run, file, "y.csv")
    new = read.read_csv("y.csv")
    assert new.column_names == file.column_names
    assert new.schema.field("count").type == pa.int64()
    assert new.column("id").to_pylist() == file.column("id").to_pylist()
    assert "." not in Path("y.csv").read_text().splitlines()[1].split(",")[3]


def test_a_category_that_no_training_row_has_is_known_too(run, file):
    k = file.column_names.index("colour")
    file = file.set_column(k, "colour", pa.array(["mauve", None] * (N // 2)))
    filled(run, file.slice(0, 2), "y.parquet")
    colours = pq.read_table("y.parquet").column("colour").to_pylist()
    assert colours[0] == "mauve"
    assert colours[1] in ("red", "blue")


def test_an_array_of_numbers_keeps_its_precision():
    x = np.random.default_rng(0).normal(size=(60, 3)) + 1 / 3
    x[5, 1] = np.nan
    np.save("x.npy", x)
    words = "fit --data TableDataModule --data.train x.npy --data.missing mean --model.sizes [3,2]"
    words += " --pretrain.epochs 1 --finetune.epochs 1 --pictures_every -1 --name array"
    main(words.split())
    words = "reconstruct --run lightning_logs/array/version_0 --input x.npy --output y.npy"
    main([*words.split(), "--fill", "true"])
    new = np.load("y.npy")
    assert np.isfinite(new[5, 1])
    assert np.argwhere(new != x).tolist() == [[5, 1]]


def test_a_table_is_no_npy(run, file, capsys):
    pq.write_table(file, "x.parquet")
    words = ["reconstruct", "--run", str(run), "--input", "x.parquet", "--output", "y.npy"]
    line = refusal(capsys, *words, "--fill", "true")
    assert line.endswith("name a file that ends in .csv, .tsv or .parquet.")
