"""Labels that a classifier cannot learn from end a command in one sentence, before any training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import read

from sae.cli.command import main

Y = np.arange(60) % 3
FIT = ["fit", "--model.sizes", "[4, 3]", "--model.objective", "classify", "--name", "run"]
FIT += ["--pretrain.epochs", "1", "--finetune.epochs", "1", "--pictures_every", "0"]
FIT += ["--data", "ArrayDataModule", "--data.train", "x.npy", "--data.val_size", "12"]


def words(labels, test_labels=None, test=True) -> list[str]:
    rng = np.random.default_rng(0)
    np.save("x.npy", rng.random((60, 4), dtype=np.float32))
    found = list(FIT)
    for option, y in (("train_labels", labels), ("test_labels", test_labels)):
        if y is not None:
            np.save(f"{option}.npy", y)
            found += [f"--data.{option}", f"{option}.npy"]
    if test:
        np.save("t.npy", rng.random((20, 4), dtype=np.float32))
        found += ["--data.test", "t.npy"]
    return found


BAD = {
    "none at all": (None, None, "data: expected labels of the training samples, found none;"),
    "one class": (
        Y * 0,
        Y[:20] * 0,
        "expected labels of 2 to 100,000 classes to tell apart, found",
    ),
    "a negative one": (Y - 1, Y[:20], "expected labels from 0 to 1, "),
    "a gap": (
        np.where(Y == 1, 5, Y),
        Y[:20] * 0,
        "training samples of all 6 classes, found none of",
    ),
    "a test sample of no known class": (Y, Y[:20] + 1, "found 3 in the test samples;"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_bad_labels_end_in_a_sentence_and_leave_nothing(case, capsys):
    labels, test_labels, expected = case
    args = words(labels, test_labels)
    with pytest.raises(SystemExit) as end:
        main(args)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: data: expected ")
    assert expected in error
    assert error.count("\n") == 1
    assert not Path("lightning_logs").exists()


def test_test_samples_need_no_labels(capsys):
    """They may be there to be predicted: then nothing is said of them."""
    main(words(Y))
    (run,) = Path("lightning_logs/run").glob("version_*")
    summary = read(run, "summary.json")
    assert summary["test"] == {}
    assert set(summary["val"]) == {"error", "accuracy"}
    assert not (run / "test_confusion.csv").exists()
    assert (run / "finetune" / "confusion.png").exists()
    checkpoint = str(run / "finetune" / "checkpoints" / "best.ckpt")
    args = ["--config", str(run / "config.yaml"), "--ckpt_path", checkpoint]
    main(["test", *args])
    main(["predict", *args])
    (table,) = Path("lightning_logs/run/predict").glob("version_*/codes.csv")
    assert table.read_text().startswith("predicted,probability,h0,h1,h2\n")


def test_test_samples_that_are_set_aside_have_labels():
    main(words(Y, test=False))
    (run,) = Path("lightning_logs/run").glob("version_*")
    assert set(read(run, "summary.json")["test"]) == {"error", "accuracy", "knn_accuracy"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--finetune.keep", "worst"], "finetune.keep: expected one of best, last"),
        (["--data.labels", "2"], "data.labels: expected at least one label of each of the 3"),
        (["--data.labels", "3000"], "data.labels: expected at most"),
        (["--model.objective", "clasify"], "perhaps classify is meant"),
        (
            ["--model.objective", '{"kind": "classify", "dropout": 2}'],
            "model.objective.dropout: expected a number in [0, 1), found 2",
        ),
    ],
)
def test_bad_options_end_in_a_sentence(options, message, capsys):
    args = words(Y, Y[:20])
    with pytest.raises(SystemExit) as end:
        main([*args, *options])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_head_without_a_classifier_is_refused(capsys):
    args = [word for word in words(Y, Y[:20]) if word not in ("--model.objective", "classify")]
    with pytest.raises(SystemExit) as end:
        main([*args, "--head.epochs", "1"])
    assert end.value.code == 2
    assert "head: expected an objective with a head of its own" in capsys.readouterr().err
