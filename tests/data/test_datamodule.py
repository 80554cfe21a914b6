"""The split and the loaders that all datamodules share."""

from __future__ import annotations

import pytest
import torch
from helpers import TinyDataModule, tiny_data

from sae.data import TensorLoader
from sae.data.datamodule import SampleDataModule, Samples
from sae.errors import InputError


def rows(samples: Samples) -> list[tuple[int, ...]]:
    return [tuple(row) for row in samples.x.tolist()]


def order(loader: TensorLoader, epoch: int) -> torch.Tensor:
    loader.sampler.set_epoch(epoch)
    return torch.cat([batch.x for batch in loader])


def test_every_training_image_is_in_one_part_with_its_label():
    data = tiny_data()
    train, test = data.load()
    label = dict(zip(rows(train), train.y.tolist(), strict=True))
    assert len(label) == 96, "all differ, or this shows nothing"
    assert sorted(rows(data.train) + rows(data.val)) == sorted(label)
    for part in (data.train, data.val):
        assert [label[row] for row in rows(part)] == part.y.tolist()
    assert rows(data.test) == rows(test), "as the files have them"
    assert [len(part) for part in (data.train, data.val, data.test)] == [80, 16, 24]


def test_the_split_has_a_seed_of_its_own():
    first = tiny_data()
    torch.manual_seed(99)
    assert rows(tiny_data().val) == rows(first.val)
    other = TinyDataModule()
    other.split_seed = 1
    other.setup()
    assert rows(other.val) != rows(first.val)
    train = first.train
    first.setup()
    assert first.train is train, "a second setup splits nothing anew"


def test_only_training_images_come_in_a_new_order():
    data = tiny_data()
    loaders = {
        "train": data.train_dataloader(),
        "val": data.val_dataloader(),
        "test": data.test_dataloader(),
        "predict": data.predict_dataloader(),
    }
    moved = {
        name for name, loader in loaders.items() if (order(loader, 0) != order(loader, 1)).any()
    }
    assert moved == {"train"}
    assert torch.equal(loaders["predict"].x, data.test.x)
    assert torch.equal(loaders["val"].x, data.val.x)
    assert loaders["train"].batch_size == loaders["test"].batch_size == 16
    assert loaders["val"].batch_size == 1024, "what is only looked at comes in larger batches"


def test_what_it_says_of_itself():
    data = tiny_data()
    assert (data.n_features, data.n_classes) == (12, 3)
    summary = data.summary()
    assert (summary["train"], summary["val"], summary["test"]) == (80, 16, 24)
    assert summary["image_shape"] == [4, 3]
    assert "labels" not in summary
    assert data.resolved("a.B", {"c": 1}) == ("a.B", {"c": 1})
    data.class_names = ("cat", "dog", "cow", "pig")
    assert data.n_classes == 4, "one may have no image"


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_the_fingerprint_sees_each_pixel_and_each_label(part):
    data, same = tiny_data(), tiny_data()
    assert same.fingerprint() == data.fingerprint()
    getattr(same, part).x[3, 2] ^= 1
    assert same.fingerprint() != data.fingerprint()
    same = tiny_data()
    getattr(same, part).y[3] += 1
    assert same.fingerprint() != data.fingerprint()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "batch_size: expected an integer of 1 or more, found 0"),
        ({"val_size": 0}, "val_size: expected an integer of 1 or more, found 0"),
        ({"val_size": 95}, "val_size: expected at most 94 of the 96 training samples of tiny"),
    ],
)
def test_wrong_sizes_are_named(options, words):
    with pytest.raises(InputError, match=words):
        tiny_data(**options)


def test_two_samples_are_enough_to_train_on():
    assert len(tiny_data(val_size=94).train) == 2


def test_the_base_itself_has_no_images():
    with pytest.raises(InputError, match="class_path: expected a datamodule that loads samples"):
        SampleDataModule()


def test_samples_are_taken_and_left_out_with_their_labels():
    samples = Samples(torch.arange(8).reshape(4, 2), torch.tensor([5, 6, 7, 8]))
    index = torch.tensor([2, 0])
    taken, left = samples[index], samples.without(index)
    assert taken.x.tolist() == [[4, 5], [0, 1]]
    assert taken.y.tolist() == [7, 5]
    assert left.x.tolist() == [[2, 3], [6, 7]]
    assert left.y.tolist() == [6, 8]
    assert Samples(samples.x)[index].y is None
    assert Samples(samples.x).without(index).y is None
