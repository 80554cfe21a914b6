from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from sae.data import DigitsDataModule
from sae.demo.examples import MOST, Gallery, read_gallery
from sae.errors import InputError
from sae.run.model import load_run


def sha256(folder) -> str:
    return json.loads((folder / "manifest.json").read_text())["data"]["sha256"]


def test_it_has_the_validation_samples_with_their_codes_and_classes(finished):
    folder, _ = finished
    stack = load_run(folder).stack
    gallery = read_gallery(folder, stack, sha256(folder))
    data = DigitsDataModule()
    data.setup()
    assert len(gallery.x) == min(MOST, len(data.val))
    expected = torch.cat(list(data.val_dataloader().whole()))
    assert torch.equal(gallery.x, expected), "and none of the test"
    torch.testing.assert_close(torch.from_numpy(gallery.codes), stack.encode(expected))
    assert list(gallery.classes) == [str(k) for k in range(10)]
    assert [gallery.name(k) for k in range(5)] == [str(int(y)) for y in data.val.y[:5]]


def test_other_data_are_refused(finished, tmp_path):
    folder, _ = finished
    with pytest.raises(InputError, match="data: expected the data of the run, found"):
        read_gallery(folder, load_run(folder).stack, "0")
    gone = shutil.copytree(folder, tmp_path / "run")
    config = (gone / "config.yaml").read_text()
    (gone / "config.yaml").write_text(config.replace("DigitsDataModule", "NoSuchDataModule"))
    with pytest.raises(InputError, match="data: expected a class at"):
        read_gallery(gone, load_run(folder).stack, sha256(folder))


def test_the_nearest_come_first():
    codes = np.array([[0.0, 0.0], [3.0, 4.0], [1.0, 0.0]], dtype=np.float32)
    gallery = Gallery(torch.zeros(3, 2), codes, None, ())
    assert gallery.nearest(np.zeros(2, np.float32), 3) == [(0, 0.0), (2, 1.0), (1, 5.0)]
    assert gallery.name(0) is None
