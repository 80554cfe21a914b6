from __future__ import annotations

import math

import pytest
import torch
from helpers import tiny_data

from sae.data.datamodule import Samples
from sae.data.inspection import described, ranges, surveys
from sae.data.loader import TensorLoader
from sae.errors import InputError


def test_a_datamodule_in_words():
    lines = list(described(tiny_data()))
    assert lines[0] == "tiny random images"
    assert lines[1] == "80 samples for training, 16 for validation, 24 for the test"
    assert lines[2].startswith("12 inputs of the network (images of 4x3), from 0")
    assert lines[3].startswith("3 classes: 0 (")


def test_many_classes_are_cut_and_none_are_said():
    data = tiny_data()
    data.train = Samples(data.train.x, torch.arange(80))
    assert next(line for line in described(data) if "classes" in line).endswith(", and 68 more")
    data.train = Samples(data.train.x)
    assert list(described(data))[-1] == "no labels"


def test_ranges_are_those_of_each_input():
    x = torch.tensor([[0.5, -1.0], [0.5, 4.0], [0.5, 2.0]])
    low, high = ranges(TensorLoader(x))
    assert low.tolist() == [0.5, -1.0]
    assert high.tolist() == [0.5, 4.0]


def test_all_three_parts_are_looked_at():
    data = tiny_data()
    assert [seen.peak is not None for seen in surveys(data)] == [True] * 3
    data.not_finite = lambda: InputError("x.npy", "finite numbers", "nan", "correct it")
    data.test = Samples(torch.full((4, 12), math.nan))
    with pytest.raises(InputError, match="expected finite numbers, found nan"):
        surveys(data)
