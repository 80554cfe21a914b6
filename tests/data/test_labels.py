from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from helpers import verb

from sae.cli.command import main
from sae.data import ArrayDataModule
from sae.errors import InputError
from sae.pictures.scene import Probe

X = np.random.default_rng(0).random((90, 6)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 90)
NAMES = np.array(["cat", "dog, wild", "ähre"])


def labelled(y: np.ndarray, test: np.ndarray | None = None, **kwargs) -> ArrayDataModule:
    for name, array in {"x": X, "y": y, "xt": X[:20], "yt": test}.items():
        if array is not None:
            np.save(f"{name}.npy", array, allow_pickle=True)
    if test is not None:
        kwargs |= {"test": "xt.npy", "test_labels": "yt.npy"}
    data = ArrayDataModule("x.npy", train_labels="y.npy", val_size=20, **kwargs)
    data.setup()
    return data


FORMS = {
    "whole": Y.astype(np.uint8),
    "a column": Y[:, None],
    "floats": Y.astype(np.float32),
    "a column of floats": Y[:, None].astype(np.float64),
}


@pytest.mark.parametrize("y", FORMS.values(), ids=FORMS)
def test_labels_whose_meaning_is_plain_are_read(y):
    data = labelled(y)
    order = {row.tobytes(): label for row, label in zip(X, Y.tolist(), strict=True)}
    for part in (data.train, data.val, data.test):
        assert [order[row.numpy().tobytes()] for row in part.x[:]] == part.y.tolist()
    assert list(data.class_names) == []


@pytest.mark.parametrize("kind", [str, bytes])
def test_texts_are_numbered_by_their_order_and_keep_their_names(kind):
    texts = NAMES[Y]
    texts = np.char.encode(texts, "utf-8") if kind is bytes else texts
    data = labelled(texts)
    assert list(data.class_names) == sorted(NAMES)
    order = {row.tobytes(): label for row, label in zip(X, NAMES[Y], strict=True)}
    for part in (data.train, data.val, data.test):
        named = [data.class_names[k] for k in part.y.tolist()]
        assert named == [order[row.numpy().tobytes()] for row in part.x[:]]


def test_names_mean_the_same_in_both_sets():
    data = labelled(np.array(["b", "c"])[Y % 2], np.array(["a", "c"])[np.arange(20) % 2])
    assert list(data.class_names) == ["a", "b", "c"]
    assert set(data.train.y.tolist()) == {1, 2}
    assert data.test.y.tolist() == [0, 2] * 10


WRONG = {
    "halves": (Y / 2, r"train_labels: expected integers.*found 0\.5 in row"),
    "NaN": (np.where(Y == 0, np.nan, Y), "found nan in row"),
    "objects": (NAMES.astype(object)[Y], "Python objects"),
    "too few": (Y[:80], r"found int64 of \(80,\)"),
    "two columns": (np.stack([Y, Y], axis=1), r"found int64 of \(90, 2\)"),
    "bytes": (np.array([b"\xff"] * 90), "not UTF-8"),
}


@pytest.mark.parametrize(("y", "words"), WRONG.values(), ids=WRONG)
def test_other_labels_are_refused(y, words):
    with pytest.raises(InputError, match=words):
        labelled(y)


def test_texts_beside_numbers_are_refused():
    with pytest.raises(InputError, match="test_labels: expected texts, as for train"):
        labelled(NAMES[Y], np.arange(20))


def test_pictures_call_the_classes_by_name():
    probe = Probe(labelled(NAMES[Y]), 2)
    assert probe.named(probe.labels[probe.rows]).tolist() == sorted(NAMES)
    assert Probe(labelled(Y), 2).named(np.array([2, 0])).tolist() == [2, 0]


def test_a_run_calls_the_classes_by_name_everywhere():
    labelled(NAMES[Y])
    command = ["fit", "--data", "ArrayDataModule", "--data.train", "x.npy", "--data.val_size", "20"]
    command += ["--data.train_labels", "y.npy", "--model.sizes", "[6, 2]", "--name", "n"]
    command += ["--pretrain.epochs", "1", "--finetune.epochs", "1", "--projector", "true"]
    main(command)
    folder = Path("lightning_logs/n/version_0")
    with (folder / "finetune" / "codes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == set(NAMES)
    assert len(rows) == 20
    for picture in ("codes", "reconstructions", "nearest", "interpolation", "plane"):
        with np.load(folder / "finetune" / f"{picture}.npz") as numbers:
            words = {str(v) for k in ("classes", "labels") if k in numbers for v in numbers[k].flat}
        assert words <= set(NAMES), picture
        assert len(words) > 1, picture
    metadata = next(folder.rglob("metadata.tsv")).read_text(encoding="utf-8")
    assert {line.split("\t")[0] for line in metadata.splitlines()[1:]} == set(NAMES)
    verb("predict", folder)
    path = next(Path("lightning_logs").rglob("predict/version_*/codes.csv"))
    with path.open(encoding="utf-8", newline="") as file:
        predicted = list(csv.DictReader(file))
    assert {row["label"] for row in predicted} == set(NAMES)
    assert all(np.isfinite(float(row[key])) for row in predicted for key in ("sse", "h0", "h1"))
