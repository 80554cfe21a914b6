from __future__ import annotations

import torch

from sae.data import DigitsDataModule
from sae.data.digits import load_digits


def test_the_bundled_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits as original

    train, test = load_digits()
    assert (len(train), len(test)) == (1437, 360)
    x = torch.cat([train.x, test.x])
    assert (x.dtype, x.shape) == (torch.uint8, (1797, 784))
    # Resizing keeps the mean brightness of the whole set to a hair.
    assert abs(x.float().mean() / 255 - original().data.mean() / 16) < 0.01
    assert torch.bincount(torch.cat([train.y, test.y])).tolist() == [
        178, 182, 177, 183, 181, 182, 181, 179, 174, 180,
    ]  # fmt: skip


def test_every_class_is_in_every_part():
    data = DigitsDataModule()
    data.setup()
    for part in (data.train, data.val, data.test):
        assert len(part.y.unique()) == 10


def test_no_image_is_in_two_parts_more_often_than_in_the_set_itself():
    train, test = load_digits()
    seen = [tuple(row) for row in torch.cat([train.x, test.x]).tolist()]
    assert len(set(seen)) == len(seen)


def test_the_same_images_each_time():
    first, second = DigitsDataModule(), DigitsDataModule()
    first.setup()
    second.setup()
    assert first.fingerprint() == second.fingerprint()
    third = DigitsDataModule(split_seed=1)
    third.setup()
    assert third.fingerprint() != first.fingerprint()
