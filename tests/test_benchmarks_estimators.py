"""The benchmarks of the estimators work; whether they are good is not asked here."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:.*hardly better than the mean")


def benchmark(monkeypatch, capsys, name: str, *words: str) -> tuple[str, dict]:
    """What one prints, and its raw figures."""
    path = ROOT / "benchmarks" / name
    monkeypatch.setattr(sys, "argv", [str(path), "--smoke", "--json", "raw.json", *words])
    runpy.run_path(str(path), run_name="__main__")
    return capsys.readouterr().out, json.loads(Path("raw.json").read_text())


def test_that_of_tables_compares_on_each_fold(monkeypatch, capsys):
    out, raw = benchmark(monkeypatch, capsys, "tables.py", "--tables", "wine,diabetes")
    assert {name: len(folds) for name, folds in raw.items()} == {"wine": 5, "diabetes": 5}
    # What numpy makes of the first components of the same folds, to the second decimal.
    assert np.mean([fold["pca"] for fold in raw["wine"]]) == pytest.approx(30.84, abs=0.005)
    assert "13→4" in out
    assert "10→3" in out


def test_that_of_anomalies_measures_each_contestant(monkeypatch, capsys):
    words = ("--digits", "0,9", "--contestants", "sae,pca,forest")
    out, raw = benchmark(monkeypatch, capsys, "anomaly.py", *words)
    assert list(raw) == ["sae", "pca", "forest"]
    for told in raw.values():
        assert len(told["auroc"]) == len(told["seconds"]) == 2
        # The generated digits are the brighter, the higher: the brightest one stands out.
        assert told["auroc"][1] > 90
    assert "mean" in out


def test_an_unknown_contestant_is_named(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        benchmark(monkeypatch, capsys, "anomaly.py", "--contestants", "oracle")
    assert "oracle" in capsys.readouterr().err
