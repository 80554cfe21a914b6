from __future__ import annotations

import numpy as np
import pytest
from image_files import GREY, GREY16, cut, folder
from PIL import Image

from sae.data.source import open_source
from sae.errors import InputError


def test_a_folder_of_images(tmp_path):
    root = folder(tmp_path / "x", 5)
    (root / "notes.txt").touch()
    source = open_source(root)
    assert (source.n, source.sample_shape, source.dtype) == (10, (6, 6, 3), "uint8")
    assert source.columns is None
    assert source.ids[:2] == ["cats/000.png", "cats/001.png"]
    parts = list(source.chunks(4))
    assert [part.shape for part in parts] == [(4, 108), (4, 108), (2, 108)]
    whole = np.concatenate(parts)
    assert np.array_equal(whole, source.whole())
    stored = np.array(Image.open(root / "dogs" / "004.png"))
    assert np.array_equal(whole[-1].reshape(6, 6, 3), stored)
    assert source.remarks == ["1 foreign file skipped"]


def test_one_image_and_how_it_is_read(tmp_path):
    Image.fromarray(GREY16).save(tmp_path / "deep.PNG", "png")
    source = open_source(tmp_path / "deep.PNG")
    assert (source.n, source.dtype, source.ids) == (1, "uint16", ["deep.PNG"])
    assert np.array_equal(source.whole().reshape(24, 32), GREY16)
    assert source.remarks == []
    source = open_source(tmp_path / "deep.PNG", size=[24, 16], colour="rgb", bits=8)
    assert (source.sample_shape, source.dtype) == ((24, 16, 3), "uint8")
    assert source.remarks == [
        "1 of 1 images are resized to 24x16",
        "1 of 1 images are read with 8 of their 16 bits",
    ]
    cropped = open_source(tmp_path / "deep.PNG", size=[24, 24], bits=8, crop=True).whole()
    assert np.array_equal(cropped.reshape(24, 24), GREY[:, 4:28])


def test_what_cannot_be_read_is_named(tmp_path):
    root = folder(tmp_path / "x", 3)
    Image.new("L", (9, 9)).save(root / "dogs" / "large.png")
    with pytest.raises(InputError, match=r"large.png: expected 6x6, as 000.png has, found 9x9"):
        open_source(root)
    assert "1 of 7 images are resized to 6x6" in open_source(root, size=[6, 6]).remarks
    cut(root / "cats" / "000.png", root / "dogs" / "large.png")
    with pytest.raises(InputError, match=r"large.png: expected a whole image, found"):
        open_source(root).whole()
    (root / "dogs" / "large.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"large.png: expected a whole image, found no bytes"):
        open_source(root)


def test_a_folder_with_arrays_in_it_is_one_of_arrays(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 4), np.float32))
    Image.new("L", (2, 2)).save(tmp_path / "picture.png")
    assert open_source(tmp_path).n == 3
