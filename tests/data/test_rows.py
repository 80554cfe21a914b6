from __future__ import annotations

import errno
import os
import warnings
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sae.data import TensorLoader
from sae.data import loader as loader_module
from sae.data.npy import map_npy
from sae.data.rows import EncodedRows, FileRows, WithoutRows, encode_rows, scale, take
from sae.errors import InputError
from sae.nets.dense import Dense

N, SIZES = 23, (5, 1, 10, 7)


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).random((N, 4, 3)).astype(np.float32)


@pytest.fixture
def files(array, tmp_path):
    """The array in four files of different lengths."""
    paths = []
    for k, part in enumerate(np.split(array, np.cumsum(SIZES)[:-1])):
        paths.append(tmp_path / f"part{k}.npy")
        np.save(paths[-1], part)
    return paths


def test_rows_of_several_files_are_those_of_one_array(array, files):
    rows, whole = FileRows(files), torch.from_numpy(array.reshape(N, -1))
    assert rows.shape == (N, 12)
    assert len(rows) == N
    assert rows.sample_shape == (4, 3)
    assert rows.nbytes == array.nbytes
    index = torch.tensor([22, 0, 5, 4, 6, 15, 16, 0])
    assert torch.equal(rows[index], whole[index])
    for start in range(N + 1):
        for stop in range(start, N + 1):
            assert torch.equal(rows[start:stop], whole[start:stop])
    assert torch.equal(FileRows(files[2:3])[index[:1] * 0], whole[6:7])


def test_rows_left_out_are_the_only_ones_missing(array, files):
    whole = torch.from_numpy(array.reshape(N, -1))
    for out in ([], [0], [N - 1], [0, 1, 2], [4, 5, 6, 20], list(range(1, N))):
        stay = [k for k in range(N) if k not in out]
        rows = WithoutRows(FileRows(files), torch.tensor(out, dtype=torch.long))
        assert len(rows) == len(stay)
        assert torch.equal(rows[:], whole[stay])
        index = torch.randperm(len(stay))
        assert torch.equal(rows[index], whole[stay][index])
        twice = WithoutRows(rows, torch.tensor([0]))
        assert torch.equal(twice[:], whole[stay[1:]])


def test_hints_name_the_very_bytes(array, files, monkeypatch):
    asked = []

    def hint(_, start, length, __):
        asked.append((start, length))

    monkeypatch.setattr("os.posix_fadvise", hint, raising=False)
    FileRows(files).will_need(4, 7)  # the last of 5, one, the first of 10
    row = 12 * 4
    assert asked == [(128 + 4 * row, row), (128, row), (128, row)]
    asked.clear()
    WithoutRows(FileRows(files), torch.tensor([0, 5])).will_need(0, 4)  # rows 1 to 4
    assert asked == [(128 + row, 4 * row)]


@pytest.mark.parametrize("sizes", [(784, 100), (12, 10), (100, 10), (33, 7), (8, 2)])
def test_codes_of_few_rows_have_the_bits_of_those_of_many(sizes):
    layer, x = Dense(*sizes), torch.rand(4096, sizes[0])
    whole = encode_rows(layer, x)
    torch.testing.assert_close(whole, layer.encode(x).detach())
    for n in (1, 7, 100, 257, 300, 1000):
        index = torch.randperm(len(x))[:n]
        assert torch.equal(encode_rows(layer, x[index]), whole[index])
        assert torch.equal(EncodedRows(x, layer, "cpu")[index], whole[index])


def test_on_a_gpu_products_are_of_one_shape_however_many_rows_there_are(monkeypatch):
    """Its libraries choose by the shape how to multiply."""
    shapes, layer = [], Dense(12, 20).to("meta")
    encode = Dense.encode
    monkeypatch.setattr(Dense, "encode", lambda self, x: shapes.append(x.shape) or encode(self, x))
    for n in (1, 256, 1000, 4096):
        assert encode_rows(layer, torch.zeros(n, 12, device="meta")).shape == (n, 20)
    assert set(shapes) == {(256, 12)}
    few = Dense(12, 3).to("meta")
    assert encode_rows(few, torch.zeros(600, 12, device="meta")).shape == (600, 3)


def test_nothing_is_kept_of_codes_computed_when_asked_for():
    layer, x = Dense(4, 2), torch.rand(10, 4)
    rows = EncodedRows(x, layer, "cpu")
    before = rows[0:3]
    with torch.no_grad():
        layer.bias += 1
    assert rows.shape == (10, 2)
    assert not torch.equal(rows[0:3], before)
    assert not rows[0:3].requires_grad


@pytest.mark.parametrize(
    ("wrong", "words"),
    {
        "objects": (lambda: np.array([{}, 1], dtype=object), "Python"),
        "one dimension": (lambda: np.zeros(5, np.float32), r"\(5,\)"),
        "whole numbers": (lambda: np.zeros((5, 12), np.int32), "int32"),
        "other features": (lambda: np.zeros((5, 11), np.float32), "11"),
        "another type": (lambda: np.zeros((5, 4, 3), np.uint8), "uint8"),
        "big end first": (lambda: np.zeros((5, 4, 3), ">f4"), ">f4"),
    }.values(),
)
def test_a_file_that_does_not_fit_is_named(files, wrong, words):
    np.save(files[1], wrong(), allow_pickle=True)
    with pytest.raises(InputError, match=words) as caught:
        FileRows(files)
    assert str(files[1]) in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "words"),
    {
        "big end first": (lambda: np.zeros((5, 4), ">f4"), "byte order.*>f4.*ascontiguous"),
        "columns": (lambda: np.zeros((5, 4), np.float32, order="F"), "columns.*ascontiguous"),
        "columns of images": (lambda: np.zeros((5, 4, 3), "u1", order="F"), "columns"),
        "no rows": (lambda: np.zeros((0, 4), np.float32), r"not empty.*\(0, 4\)"),
        "no features": (lambda: np.zeros((5, 0), np.float32), r"not empty.*\(5, 0\)"),
    }.values(),
)
def test_a_lone_file_that_cannot_be_read_row_by_row_is_refused(tmp_path, wrong, words):
    np.save(tmp_path / "x.npy", wrong())
    with pytest.raises(InputError, match=rf"x\.npy.*{words}"):
        FileRows([tmp_path / "x.npy"])


def test_what_is_no_file_or_one_too_many_is_refused(files, tmp_path, monkeypatch):
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(InputError, match=r"folder\.npy: expected a file to read.*directory"):
        map_npy(tmp_path / "folder.npy")

    def too_many(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(np, "load", too_many)
    with pytest.raises(InputError, match=r"Too many open files.*fewer files, or raise"):
        map_npy(files[0])


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 127), byte=st.integers(0, 255))
def test_no_damage_to_a_header_gets_past_the_sentence(tmp_path_factory, place, byte):
    path = tmp_path_factory.getbasetemp() / "damaged.npy"
    np.save(path, np.zeros((5, 4), np.float32))
    content = bytearray(path.read_bytes())
    content[place] = byte
    path.write_bytes(content)
    with suppress(InputError), warnings.catch_warnings(action="ignore"):
        FileRows([path])


def test_files_that_have_changed_are_noticed(files):
    rows = FileRows(files)
    all_but_one = WithoutRows(rows, torch.tensor([0]))
    all_but_one.check_unchanged()
    os.utime(files[1], ns=(0, 0))
    with pytest.raises(InputError, match=files[1].name):
        all_but_one.check_unchanged()


def test_a_file_cut_short_is_named(files):
    content = files[0].read_bytes()
    archives = b"PK\x05\x06" + bytes(18), b"PK\x03\x04"
    for wrong in (content[:-1], content[:50], b"", b"no array at all", *archives):
        files[0].write_bytes(wrong)
        with pytest.raises(InputError, match=r"part0\.npy"):
            FileRows(files)


@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_floats_are_given_in_single_precision(tmp_path, array, kind):
    np.save(tmp_path / "x.npy", array.astype(kind))
    rows = FileRows([tmp_path / "x.npy"])
    for got in (rows[2:5], rows[torch.tensor([2, 3, 4])]):
        assert got.dtype == torch.float32
        np.testing.assert_allclose(got.numpy(), array[2:5].reshape(3, -1), atol=1e-3)


def test_whole_numbers_are_scaled():
    every = torch.arange(256, dtype=torch.uint8)
    # As on a GPU, which multiplies also where it is told to divide.
    expected = every.numpy().astype(np.float32) * np.float32(1 / 255)
    assert np.array_equal(scale(every).numpy(), expected)
    assert scale(every)[-1].item() == 1.0, "no pixel is beyond the range of a sigmoid"
    assert scale(torch.ones(2, dtype=torch.double)).dtype == torch.double
    assert take(torch.arange(5), torch.tensor([3, 3])).tolist() == [3, 3]


# The order of rows in files


@pytest.fixture
def small_windows(monkeypatch):
    """Windows of three blocks, as if a block were large."""
    monkeypatch.setattr(loader_module, "WINDOW_BLOCKS", 3)


def epoch(x, **kwargs) -> list[int]:
    return torch.cat([batch.number for batch in TensorLoader(x, **kwargs)]).tolist()


def test_rows_in_files_are_shuffled_within_windows_of_blocks(files, small_windows, monkeypatch):
    rows = FileRows(files)
    rows.block = 2
    seen = epoch(rows, batch_size=4, shuffle=True)
    assert sorted(seen) == list(range(N))
    assert seen != list(range(N))
    # Three blocks of two rows: the first six rows stem from three blocks alone, but in no order.
    lone = N // 2  # the last block has one row
    size = 6 - (lone in {k // 2 for k in seen[:5]})
    assert len({k // 2 for k in seen[:size]}) == 3
    assert any(abs(a - b) != 1 for a, b in zip(seen[0:size:2], seen[1:size:2], strict=False))
    assert seen == epoch(rows, batch_size=7, shuffle=True)
    assert epoch(rows, batch_size=4) == list(range(N))


def test_what_is_asked_for_was_hinted_at_before(files, small_windows, monkeypatch):
    rows = FileRows(files)
    rows.block = 2
    hinted: set[int] = set()
    monkeypatch.setattr(rows, "will_need", lambda a, b: hinted.update(range(a, b)))
    loader = TensorLoader(rows, torch.arange(N), batch_size=3, shuffle=True)
    batches = iter(loader)
    y = next(batches).y
    assert 5 <= len(hinted) <= 8  # no more than the first window, and what has been read of it
    seen = y.tolist()
    for batch in batches:
        seen += batch.y.tolist()
        assert set(seen) <= hinted
    assert hinted == set(range(N))


def test_codes_come_in_the_order_of_their_samples(files, small_windows):
    rows = FileRows(files)
    rows.block = 2
    loader = TensorLoader(rows, torch.arange(N), batch_size=4, shuffle=True, seed=3)
    codes = loader.of(torch.rand(N, 2))
    order = [torch.cat([batch.y for batch in each]).tolist() for each in (loader, codes)]
    assert order[0] == order[1]


def test_a_sample_is_all_or_always_the_same_some():
    x = torch.arange(100.0)[:, None]
    loader = TensorLoader(x, torch.arange(100))
    assert loader.sample(100) is loader
    some = loader.sample(10)
    assert len(some.x) == len(set(some.y.tolist())) == 10
    assert torch.equal(some.x, loader.sample(10).x)
    assert torch.equal(some.x[:, 0].long(), some.y)
    assert len(loader.sample(100, most_bytes=4 * 7).x) == 7


def test_the_mean_is_that_of_the_values(files, array):
    mean = torch.from_numpy(array.reshape(N, -1)).double().mean(dim=0).float()
    torch.testing.assert_close(TensorLoader(FileRows(files)).survey().mean, mean)
    pixels = torch.randint(0, 256, (5000, 3), dtype=torch.uint8)
    expected = (pixels.double() / 255).mean(dim=0).float()
    torch.testing.assert_close(TensorLoader(pixels).survey().mean, expected)
