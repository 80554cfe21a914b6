"""What PyTorch users hand to a Trainer becomes one loader, or is answered by a sentence."""

from __future__ import annotations

import pytest
import torch
from helpers import clone_state, loader, same_state, tiny_model
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)

from sae.data import TensorLoader
from sae.data.convert import BATCH_SIZE, as_loader
from sae.errors import InputError
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe

X = loader(n=40).x
Y = torch.arange(40) % 3


class Images(Dataset):
    """Samples (1, 4, 3) with their labels, some of them drawn anew each time."""

    def __init__(self, noise: float = 0.0) -> None:
        self.noise = noise

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, k: int):
        x = X[k].reshape(1, 4, 3)
        return x + self.noise * torch.rand(()), int(Y[k])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(X)


class OwnLoader(TensorLoader):
    pass


def first_of_each(rows) -> torch.Tensor:
    return torch.stack([row[0] for row in rows])


def kind(value: object) -> str:
    """A name for a test that is the same in every process."""
    return value if isinstance(value, str) else type(value).__name__


def train(data) -> TensorLoader:
    return as_loader(data, "train", 12, shuffle=True)


@pytest.mark.parametrize(
    ("data", "labels"),
    [
        (X, None),
        (X.double(), None),
        (X.reshape(40, 1, 4, 3), None),
        (TensorDataset(X), None),
        (TensorDataset(X, Y), Y),
        (TensorDataset(X, X), None),
        (Subset(TensorDataset(X, Y), range(40)), Y),
        (ConcatDataset([TensorDataset(X[:9], Y[:9]), TensorDataset(X[9:], Y[9:])]), Y),
        (Images(), Y),
        (DataLoader(Images()), Y),
        (DataLoader(TensorDataset(X), collate_fn=first_of_each), None),
        (TensorLoader(X.double()), None),
    ],
    ids=kind,
)
def test_all_samples_come_in_single_precision_and_flat(data, labels):
    converted = train(data)
    assert type(converted) is TensorLoader
    torch.testing.assert_close(converted.x, X)
    assert converted.x.dtype == torch.float32
    assert (converted.y is None) if labels is None else torch.equal(converted.y, labels)


def test_pixels_stay_pixels():
    x = torch.arange(24, dtype=torch.uint8).reshape(2, 12)
    assert torch.equal(next(iter(as_loader(x, "val", 12, shuffle=False)))[0], x.float() * (1 / 255))


def test_batch_size_and_shuffling_are_those_of_the_loader():
    assert (train(X).batch_size, train(X).sampler.shuffle) == (BATCH_SIZE, True)
    for shuffle in (False, True):
        its = train(DataLoader(TensorDataset(X), 7, shuffle=shuffle))
        assert (its.batch_size, its.sampler.shuffle) == (7, shuffle)
    ours = loader()
    assert train(ours) is ours
    for data in (X, loader(shuffle=True), DataLoader(TensorDataset(X), 7, shuffle=True)):
        assert not as_loader(data, "val", 12, shuffle=False).sampler.shuffle


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (DataLoader(TensorDataset(X), 7, drop_last=True), "skips"),
        (DataLoader(TensorDataset(X), sampler=WeightedRandomSampler([1.0] * 40, 40)), "chooses"),
        (DataLoader(TensorDataset(X), batch_size=None), "skips"),
        (DataLoader(Stream(), 7), "skips"),
        (Stream(), "Stream"),
        (OwnLoader(X), "OwnLoader"),
        ([X], "list"),
        (X[0], r"a tensor of shape \(12,\)"),
        (X[:0], r"a tensor of shape \(0, 12\)"),
        (X[:, :5], "samples of 12 features, like the input of the model, found 5"),
        (Images(noise=1.0), "samples that change"),
        ([{"x": X}], "list"),
        (DataLoader([{"x": X[0]}]), "batches that are a dict"),
        (TensorDataset(X[:0]), "at least one sample"),
    ],
    ids=kind,
)
def test_what_would_lose_something_is_answered_by_a_sentence(data, found):
    with pytest.raises(InputError, match=found):
        train(data)


def test_a_dataloader_trains_as_a_tensor_loader_does():
    found = []
    for data, val in (
        (TensorLoader(X, batch_size=8, shuffle=True), TensorLoader(X[:9])),
        (DataLoader(TensorDataset(X), 8, shuffle=True), X[:9]),
        (DataLoader(Images(), 8, shuffle=True), TensorDataset(X[:9])),
    ):
        model = tiny_model()
        GreedyPretrainer([Recipe(epochs=1)] * 2, Recipe(epochs=1), seed=3).fit(model, data, val)
        found.append(clone_state(model))
    assert same_state(found[0], found[1])
    assert same_state(found[0], found[2])


def test_a_target_of_its_own_is_not_dropped_in_silence():
    with pytest.raises(InputError, match="found pairs of an input and another target"):
        train(TensorDataset(X + 0.1, X))
