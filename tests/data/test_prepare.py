import json

import numpy as np
import pytest
import safetensors
import torch

from sae.data.prepare import Pixels, Preparation, read_preparation, write_preparation
from sae.data.rows import scale
from sae.errors import InputError


class Shifted(Preparation):
    """A kind of somebody's own."""

    def __init__(self, n, name):
        super().__init__()
        self.name = name
        self.register_buffer("shift", torch.zeros(n))

    @property
    def settings(self):
        return {"n": len(self.shift), "name": self.name}

    def forward(self, x):
        return x - self.shift

    def inverse(self, x):
        return x + self.shift


@pytest.fixture
def shifted():
    found = Shifted(3, "of mine")
    found.shift.copy_(torch.tensor([1.0, 2.0, 4.0]))
    return found


def test_bytes_are_divided_to_the_last_bit_as_the_loaders_do_it():
    x = torch.arange(256, dtype=torch.uint8)[None]
    assert torch.equal(Pixels(255)(x.float()), scale(x))
    assert Pixels(255)(x)[0, 255] == 1


@pytest.mark.parametrize(("divisor", "expected"), [(1, 3.0), (255, 765.0), (65535, 196605.0)])
def test_pixels_back_in_their_unit(divisor, expected):
    assert Pixels(divisor).inverse(torch.tensor([[3.0]])).item() == expected


def test_values_become_rows_of_single_precision():
    raw = Pixels().to_raw(np.arange(12, dtype="u1").reshape(2, 2, 3))
    assert raw.dtype == torch.float32
    assert raw.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert Pixels().from_raw(raw).tolist() == raw.tolist()


def test_a_file_gives_it_back(tmp_path, shifted):
    write_preparation(tmp_path / "a", Pixels(65535))
    found = read_preparation(tmp_path / "a")
    assert isinstance(found, Pixels)
    assert found.settings == {"divisor": 65535}
    write_preparation(tmp_path / "b", shifted)
    found = read_preparation(tmp_path / "b")
    assert isinstance(found, Shifted)
    assert found.name == "of mine"
    assert found(torch.zeros(1, 3)).tolist() == [[-1, -2, -4]]
    assert list(found.parameters()) == []


def test_equal_preparations_give_equal_files(tmp_path, shifted):
    for name in "ab":
        write_preparation(tmp_path / name, shifted)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def _written(path, about, **tensors):
    metadata = {} if about is None else {"preparation": json.dumps(about)}
    path.write_bytes(safetensors.torch.save(tensors, metadata=metadata))


@pytest.mark.parametrize(
    ("about", "found"),
    [
        (None, "damaged"),
        ({"divisor": 255}, "damaged"),
        ({"class_path": "sae.data.prepare.Pixels", "unknown": 1}, "damaged"),
        ({"class_path": "collections.OrderedDict"}, "OrderedDict"),
        ({"class_path": "nobody.has.This"}, "nobody"),
        ({"class_path": "sae.data.prepare.Pixels", "extra": True}, "damaged"),
    ],
)
def test_another_file_is_refused(tmp_path, about, found):
    path = tmp_path / "preparation.safetensors"
    _written(path, about)
    with pytest.raises(InputError, match=found):
        read_preparation(path)


def test_parts_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "preparation.safetensors"
    about = {"class_path": f"{Shifted.__module__}.Shifted", "n": 3, "name": ""}
    _written(path, about, shift=torch.zeros(4))
    with pytest.raises(InputError, match="wrong buffers"):
        read_preparation(path)


def test_a_file_that_is_not_there_or_cut_short_is_refused(tmp_path):
    with pytest.raises(InputError, match="found none"):
        read_preparation(tmp_path / "preparation.safetensors")
    path = tmp_path / "cut"
    write_preparation(path, Pixels(255))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match="damaged"):
        read_preparation(path)
