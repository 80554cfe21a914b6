from __future__ import annotations

import pytest
import torch

from sae import kinds
from sae.augment.augmentation import Augmentation
from sae.errors import InputError
from sae.place import Place, Share


class Darker(Augmentation):
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, x, place, image_shape):
        return self.factor * x


def test_a_kind_is_a_class_with_its_options():
    settings = {"class_path": f"{__name__}.Darker", "init_args": {"factor": 0.5}}
    darker = kinds.build(settings, "sae.augment", Augmentation, "augment")
    x = torch.rand(3, 4)
    place = Place(0, "stage1", 0, 0, share=Share.equal(3), epoch=0)
    assert torch.equal(darker(x, place, (2, 2)), x / 2)


def test_a_class_that_changes_nothing_is_no_kind():
    with pytest.raises(TypeError, match="__call__"):
        Augmentation()
    settings = "sae.augment.augmentation.Augmentation"
    with pytest.raises(InputError, match="augment: expected all methods of Augmentation"):
        kinds.build(settings, "sae.augment", Augmentation, "augment")
