from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from image_files import cut, folder
from PIL import Image

from sae.data.image_files import Look, find_images
from sae.data.image_rows import ImageRows, as_rows, damaged, in_threads
from sae.errors import InputError


@pytest.fixture
def paths(tmp_path):
    return find_images(folder(tmp_path / "x", 4)).paths


def stored(paths) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.array(Image.open(path)).reshape(-1) for path in paths]))


def test_rows_are_the_images_in_any_order(paths):
    rows, wanted = ImageRows(paths, Look(6, 6, True)), stored(paths)
    assert rows.shape == (8, 108)
    assert rows[0:3].equal(wanted[:3])
    assert rows[6:20].equal(wanted[6:])
    assert rows[torch.tensor([5, 0, 5])].equal(wanted[[5, 0, 5]])
    assert rows[0:0].shape == (0, 108)
    assert rows[0:1].dtype == torch.uint8


def test_of_16_bits_and_of_another_white_they_are_floats(paths):
    wanted = stored(paths[:2]).float()
    deep = ImageRows(paths, Look(6, 6, True, bits=16))[0:2]
    assert deep.numpy() == pytest.approx((wanted / 255).numpy(), abs=1e-6)
    white = ImageRows(paths, Look(6, 6, True, white=100))[0:2]
    assert white.numpy() == pytest.approx((wanted / 100).numpy(), abs=1e-6)
    assert as_rows(np.array([[4095]], np.uint16), Look(1, 1, False, 16, white=4095)).item() == 1


def test_a_file_that_changes_or_goes_is_named(paths):
    rows = ImageRows(paths, Look(6, 6, True))
    rows.check_unchanged()
    cut(paths[0], paths[3])
    with pytest.raises(InputError, match=f"{paths[3]}: expected the same file as"):
        rows.check_unchanged()
    with pytest.raises(InputError, match=f"{paths[3]}: expected a whole image, found"):
        rows[0:5]
    paths[3].unlink()
    with pytest.raises(InputError, match=f"{paths[3]}: expected the same file as"):
        rows.check_unchanged()


def test_the_first_of_several_damaged_files_is_named(paths):
    error = damaged([(paths[0], "no bytes"), (paths[1], "cut"), (paths[2], "cut")])
    assert str(error).startswith(f"{paths[0]}: expected a whole image, found no bytes, and 2 more ")


def test_threads_keep_the_order():
    names = set()

    def work(k: int) -> int:
        names.add(threading.current_thread().name)
        return k * k

    assert list(in_threads(work, range(600), "numbers")) == [k * k for k in range(600)]
    assert threading.main_thread().name not in names
