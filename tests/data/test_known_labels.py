"""Few labels: which are known, and that nothing sees the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import fit, read

from sae.data import ArrayDataModule, DigitsDataModule, MNISTDataModule
from sae.data.datamodule import Samples
from sae.data.labels import balanced
from sae.errors import InputError
from sae.run.checkpoint_io import read_weights

FEW = {"labels": 20}
FIT = ["--model.objective", "classify", "--head.epochs", "1"]


def digits(**options) -> DigitsDataModule:
    data = DigitsDataModule(**options)
    data.setup()
    return data


def counts(data) -> list[int]:
    return torch.bincount(data.labelled_dataloader().y, minlength=10).tolist()


def test_as_many_of_each_class():
    assert counts(digits(labels=20)) == [2] * 10
    assert counts(digits(labels_per_class=3)) == [3] * 10


def test_what_is_left_over_goes_to_some_classes():
    found = counts(digits(labels=27))
    assert sorted(found) == [2] * 3 + [3] * 7
    assert found != counts(digits(labels=27, split_seed=1))


def test_they_are_those_of_their_images():
    every, few = digits(), digits(labels=50)
    labels = {tuple(x.tolist()): int(y) for x, y in zip(every.train.x, every.train.y, strict=True)}
    assert len(few.labelled) == 50
    for x, y in zip(few.labelled.x, few.labelled.y, strict=True):
        assert labels[tuple(x.tolist())] == y


def test_they_are_a_function_of_the_seed():
    one, same, other = (digits(labels=20, split_seed=seed) for seed in (0, 0, 1))
    assert one.labelled.x.equal(same.labelled.x)
    assert not one.labelled.x.equal(other.labelled.x)


def test_all_images_are_pretrained_on_and_no_label_with_them():
    every, few = digits(), digits(labels=20)
    assert few.train_dataloader().x.equal(every.train_dataloader().x)
    assert few.train_dataloader().y is None
    assert few.val.y.equal(every.val.y)
    assert few.n_classes == 10
    assert digits().labelled_dataloader().y.equal(every.train.y)


def test_an_epoch_of_few_is_one_batch_of_all():
    loader = digits(labels=20, batch_size=256).labelled_dataloader()
    (batch,) = loader
    assert len(batch.x) == loader.n_full == 20


def test_balanced_draws_from_all():
    y = torch.arange(1000) % 2
    drawn = [
        balanced(y, torch.tensor([1, 2]), torch.Generator().manual_seed(seed), "labels")
        for seed in range(50)
    ]
    assert all(y[index].sum() == 2 and len(index) == 3 for index in drawn)
    assert torch.cat(drawn).max() > 900
    assert torch.cat(drawn).min() < 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": 0}, "labels: expected an integer of 1 or more"),
        ({"labels_per_class": -1}, "labels_per_class: expected an integer"),
        ({"labels": 20, "labels_per_class": 2}, "labels: expected labels or labels_per_class, fou"),
        ({"labels": 9}, "at least one label of each of the 10 classes, found 9; give 10 or more"),
        (
            {"labels_per_class": 1000},
            r"at most \d+ labels of class \d: there are no more training samples",
        ),
    ],
)
def test_other_numbers_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        digits(**options)


def test_data_without_labels_have_none_to_know(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((40, 4)))
    data = ArrayDataModule(str(tmp_path / "x.npy"), val_size=4, labels=2)
    with pytest.raises(InputError, match="labels: expected data with labels, found none"):
        data.setup()


def test_arrays_in_files_take_it_too(tmp_path):
    x = np.random.default_rng(0).random((60, 4), dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.array(["owl", "cat", "dog"])[np.arange(60) % 3])
    files = [str(tmp_path / f"{name}.npy") for name in "xy"]
    data = ArrayDataModule(files[0], train_labels=files[1], val_size=6, labels_per_class=2)
    data.setup()
    assert data.labelled.y.bincount().tolist() == [2, 2, 2]
    number = {tuple(row.tolist()): k for k, row in enumerate(torch.from_numpy(x))}
    names = [data.class_names[y] for y in data.labelled.y]
    rows = [number[tuple(row.tolist())] for row in data.labelled.x]
    assert names == [["owl", "cat", "dog"][row % 3] for row in rows]


def test_mnist_passes_it_to_its_fallback(tmp_path, no_web):
    data = MNISTDataModule(str(tmp_path), fallback="digits", labels=30)
    data.setup()
    assert counts(data) == [3] * 10
    path, options = data.resolved("MNISTDataModule", {})
    assert (path, options["labels"]) == ("sae.DigitsDataModule", 30)
    assert options["labels_per_class"] is None


def test_the_fingerprint_knows_which_labels_are_known():
    found = {digits(**o).fingerprint() for o in ({}, FEW, FEW, {"labels": 30}, {"labels": None})}
    assert len(found) == 3
    one = digits(labels=20, split_seed=0)
    before = one.fingerprint()
    one.labelled.y[0] = 9 - one.labelled.y[0]
    assert one.fingerprint() != before
    assert one.summary()["labels"] == 20


@pytest.fixture
def same_choice(monkeypatch):
    """The same samples are known, whatever the other labels say."""
    from sae.data import datamodule

    def choose(y, wanted, generator, key):
        return torch.tensor(CHOICE)

    monkeypatch.setattr(datamodule, "balanced", choose)


CHOICE = list(range(60))


@pytest.mark.usefixtures("same_choice")
def test_labels_that_are_left_out_are_seen_by_nothing(monkeypatch, capsys):
    """Contract 5: with lies in their place everything is the same, 5-NN included."""
    found = []
    load = DigitsDataModule.load
    for lies in (False, True):

        def lying(self, lies=lies):
            train, test = load(self)
            generator = torch.Generator().manual_seed(self.split_seed)
            order = torch.randperm(len(train), generator=generator)
            hidden = torch.ones(len(train), dtype=torch.bool)
            hidden[order[: self.val_size]] = False  # validation labels are no part of this
            hidden[order[self.val_size :][CHOICE]] = False
            y = torch.where(hidden & torch.tensor(lies), (train.y + 1) % 10, train.y)
            return Samples(train.x, y), test

        monkeypatch.setattr(DigitsDataModule, "load", lying)
        found.append(fit(*FIT, "--data.labels", "20", "--pictures_every", "-1"))
    weights = [read_weights(run / "finetune" / "weights.safetensors") for run in found]
    assert weights[0].keys() == weights[1].keys()
    assert all(tensor.equal(weights[1][name]) for name, tensor in weights[0].items())
    figures = [read(run, "summary.json") for run in found]
    assert figures[0]["test"] == figures[1]["test"]
    assert "knn_accuracy" in figures[0]["test"]
    prints = [read(run, "manifest.json")["data"]["sha256"] for run in found]
    assert prints[0] == prints[1]
    out = capsys.readouterr().out
    line = (
        "data: 60 labels are used for training; the labels of 180 validation samples choose "
        "the best epoch (not with --head.keep last --finetune.keep last)"
    )
    assert out.count(line) == 2


def test_where_the_last_epoch_goes_on_no_label_chooses(capsys):
    keep = ["--head.keep", "last", "--finetune.keep", "last", "--pictures_every", "-1"]
    run = fit(*FIT, "--data.labels", "20", *keep)
    assert "data: 20 labels are used for training\n" in capsys.readouterr().out
    best = torch.load(run / "finetune" / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] == 1


def test_other_labels_of_the_same_split():
    one, same, other = (digits(labels=20, label_seed=seed) for seed in (None, 0, 1))
    assert one.labelled.x.equal(same.labelled.x)  # null is the seed of the split, 0
    assert not one.labelled.x.equal(other.labelled.x)
    assert counts(other) == [2] * 10
    assert one.val.x.equal(other.val.x)
    assert one.train.x.equal(other.train.x)
    assert one.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(("options", "found"), [({"labels": 20}, "-1"), ({}, "neither")])
def test_a_seed_of_labels_is_checked(options, found):
    with pytest.raises(InputError, match=f"label_seed: expected .* found {found}"):
        DigitsDataModule(label_seed=-1 if options else 1, **options)
