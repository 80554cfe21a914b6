"""Two processes train the classifier that one trains: head, dropout and few labels included."""

from __future__ import annotations

import csv
from pathlib import Path

import killing
import numpy as np
import pytest
import torch
from helpers import read
from nodes import run_all, torchrun, words, write_data

from sae.run.checkpoint_io import read_weights

PHASES = ("stage1", "stage2", "stage3", "head", "finetune")
AIM = '{"kind": "classify", "dropout": 0.2, "input_dropout": 0.1, "hidden": [5]}'
# 1,001 labels in batches of 500: of the last one, of a single sample, one process has none.
OPTIONS = ["--model.objective", AIM, "--head.epochs", "2", "--data.labels", "1001"]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # sums over two processes round otherwise


def outcome(folder: Path) -> tuple[dict, list[dict], dict]:
    (run,) = (folder / "lightning_logs" / "run").iterdir()
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    weights = {name: read_weights(run / name / "weights.safetensors") for name in PHASES}
    summary = read(run, "summary.json")
    table = np.loadtxt(run / "test_confusion.csv", delimiter=",", skiprows=1)
    return weights, rows, {**summary["val"], **summary["test"], "confusion": table.tolist()}


@pytest.mark.slow
def test_two_processes_find_what_one_process_finds(tmp_path):
    write_data(tmp_path)
    one, two = tmp_path / "one", tmp_path / "two"
    assert killing.run(words(tmp_path, *OPTIONS), one) == 0, (one / "err.txt").read_text()
    command = torchrun(*words(tmp_path, *OPTIONS), processes=2)
    (ended,) = run_all([command], [two], [{}])
    assert ended.code == 0, ended.err
    wanted, found = outcome(one), outcome(two)
    torch.testing.assert_close(found[0], wanted[0], **CLOSE)
    assert len(found[1]) == len(wanted[1])
    for row, as_of_one in zip(found[1], wanted[1], strict=True):
        key = ("phase", "epoch", "step", "name")
        assert [row[k] for k in key] == [as_of_one[k] for k in key]
        # One of 500 validation samples is 0.2 %.
        near = 0.25 if row["name"].endswith(("error", "accuracy")) else 1e-4
        assert float(row["value"]) == pytest.approx(float(as_of_one["value"]), rel=1e-4, abs=near)
    assert np.abs(np.array(found[2]["confusion"]) - wanted[2]["confusion"]).max() <= 1
    assert sum(map(sum, found[2]["confusion"])) - sum(range(3)) == 300
    assert found[2]["error"] == pytest.approx(wanted[2]["error"], abs=0.7)
