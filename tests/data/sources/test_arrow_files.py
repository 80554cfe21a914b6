import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from sae.data.source import open_source
from sae.errors import InputError

TABLE = pa.table({"x": np.arange(10.0), "kind": ["a", "b"] * 5, "n": list(range(10))})


def as_stream(table, path):
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=4)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("x.parquet", lambda table, path: pq.write_table(table, path, row_group_size=3)),
        ("x.feather", lambda table, path: feather.write_feather(table, path, chunksize=3)),
        ("x.arrow", as_stream),
    ],
)
def test_rows_come_in_order_some_at_a_time(tmp_path, name, write):
    write(TABLE, tmp_path / name)
    source = open_source(tmp_path / name, id="n")
    assert (source.n, source.columns) == (10, ["x", "kind"])
    assert source.types == {"x": "number", "kind": "text", "n": "number"}
    assert source.ids == list(range(10))
    frames = list(source.frames(4, ["kind", "x"]))
    assert all(len(frame) <= 4 for frame in frames)
    assert frames[0].column_names == ["kind", "x"]
    assert source.whole()[:, 0].tolist() == list(range(10))
    assert np.concatenate(list(source.chunks(3)))[:, 1].tolist() == ["a", "b"] * 5


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrow"])
def test_other_files_are_refused(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"")
    with pytest.raises(InputError, match="found an empty file"):
        open_source(path)
    path.write_bytes(b"neither this nor that" * 10)
    with pytest.raises(InputError, match=f"expected a whole {suffix[1:]} file"):
        open_source(path)


def test_a_file_cut_short_is_refused(tmp_path):
    pq.write_table(TABLE, tmp_path / "x.parquet")
    whole = (tmp_path / "x.parquet").read_bytes()
    (tmp_path / "x.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="a whole parquet file"):
        open_source(tmp_path / "x.parquet")


def test_a_parquet_file_is_never_in_memory_as_a_whole(tmp_path):
    x = np.random.default_rng(0).random(200_000).astype("f4")
    table = pa.table({f"c{k}": np.roll(x, k) for k in range(20)})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=20_000)
    whole, before = table.nbytes, pa.total_allocated_bytes()
    del table
    most = 0
    for frame in open_source(tmp_path / "x.parquet").frames(5000):
        assert len(frame) <= 5000
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < whole / 3
