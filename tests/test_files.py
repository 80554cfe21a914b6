from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from sae.files import write_atomically, write_npy


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "manifest.json"
    write_atomically(path, "old")

    def full(fd):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new and longer")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_a_file_that_is_written_can_be_read_by_all(tmp_path):
    write_atomically(tmp_path / "a", "ä")
    write_atomically(tmp_path / "b", b"\0")
    assert (tmp_path / "a").read_bytes() == "ä".encode()
    assert (tmp_path / "b").read_bytes() == b"\0"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_rows_written_part_by_part_are_one_array(tmp_path):
    x = torch.rand(7, 3)
    write_npy(tmp_path / "x.npy", (7, 3), iter([x[:4], x[4:]]))
    found = np.load(tmp_path / "x.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, x.numpy())
    write_npy(tmp_path / "none.npy", (0, 3), iter([]))
    assert np.load(tmp_path / "none.npy").shape == (0, 3)
    assert len(list(tmp_path.iterdir())) == 2


def test_rows_that_break_off_leave_nothing(tmp_path):
    def parts():
        yield torch.rand(4, 3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_npy(tmp_path / "x.npy", (7, 3), parts())
    assert list(tmp_path.iterdir()) == []
