from __future__ import annotations

import gzip
import hashlib
import os
import re

import numpy as np
import pytest
import torch
from helpers import idx_bytes, write_mnist

from sae.data import MNISTDataModule, idx
from sae.data.idx import parse_idx
from sae.errors import InputError

REAL = os.environ.get("SAE_DATA") or None


def test_idx_against_numpy():
    array = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    assert np.array_equal(parse_idx(idx_bytes(array)).numpy(), array)
    with pytest.raises(ValueError, match="not an IDX file"):
        parse_idx(b"\x00\x00\x0d\x01" + bytes(8))


@pytest.mark.skipif(REAL is None, reason="the real MNIST: set SAE_DATA")
def test_the_real_archives_have_the_real_checksums():
    data = MNISTDataModule(root=REAL)
    data.setup()
    assert [len(part) for part in (data.train, data.val, data.test)] == [55_000, 5_000, 10_000]
    assert torch.bincount(data.test.y).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


DAMAGES = {
    "magic": ("train-images-idx3-ubyte", 1, 7),
    "type of the data": ("train-images-idx3-ubyte", 2, 0x0D),
    "number of dimensions": ("train-images-idx3-ubyte", 3, 1),
    "number of images": ("train-images-idx3-ubyte", 7, 61),
    "a size beyond all memory": ("train-images-idx3-ubyte", 4, 0x7F),
    "width": ("train-images-idx3-ubyte", 15, 27),
    "a pixel": ("train-images-idx3-ubyte", 500, 1),
    "a label out of range": ("train-labels-idx1-ubyte", 20, 11),
    "number of labels": ("train-labels-idx1-ubyte", 7, 59),
}


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("kind", "at", "value"), DAMAGES.values(), ids=DAMAGES)
def test_every_kind_of_wrong_byte_is_found(kind, at, value, packed, tmp_path, monkeypatch):
    write_mnist(tmp_path, monkeypatch)
    path = tmp_path / f"{kind}.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    assert content[at] != value
    content[at] = value
    if packed:
        path.write_bytes(gzip.compress(content))
    else:
        path.unlink()
        path = tmp_path / kind
        path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(f"{path}: expected the original file")):
        MNISTDataModule(str(tmp_path), val_size=10).setup()


@pytest.mark.parametrize("packed", [True, False])
def test_a_file_cut_short_or_too_long(packed, tmp_path, monkeypatch):
    write_mnist(tmp_path, monkeypatch)
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    whole = path.read_bytes() if packed else gzip.decompress(path.read_bytes())
    if not packed:
        path.unlink()
        path = path.with_suffix("")
    for content in (whole[:-1], whole[: len(whole) // 2], whole + b"\0more", b""):
        path.write_bytes(content)
        with pytest.raises(InputError, match=re.escape(f"{path}: expected")):
            MNISTDataModule(str(tmp_path), val_size=10).setup()


def test_an_archive_that_unpacks_without_end_is_not_read_to_its_end(tmp_path, monkeypatch):
    write_mnist(tmp_path, monkeypatch)
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(bytes(2**20)))
    monkeypatch.setattr(idx, "MOST_BYTES", 1000)
    read = []
    sha256 = hashlib.sha256
    monkeypatch.setattr(
        idx.hashlib, "sha256", lambda content: read.append(len(content)) or sha256(content)
    )
    with pytest.raises(InputError, match="a damaged one"):
        idx.read_idx(tmp_path, "train-labels-idx1-ubyte")
    assert read == [1000]


@pytest.mark.parametrize("layout", ["MNIST/raw", "raw", "."])
def test_files_are_found_in_each_layout_and_only_whole(layout, tmp_path, monkeypatch):
    folder = tmp_path / layout
    write_mnist(folder, monkeypatch)
    assert idx.find_folder(tmp_path) == folder
    assert idx.present(tmp_path) == list(idx.CHECKSUMS)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    assert idx.find_folder(tmp_path) is None
    assert idx.present(tmp_path) == list(idx.CHECKSUMS)[:3]
    with pytest.raises(InputError, match="t10k-labels-idx1-ubyte: expected a file, found none"):
        idx.read_idx(folder, "t10k-labels-idx1-ubyte")
