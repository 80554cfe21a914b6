"""What ``docs/scikit_learn.md`` shows runs as it stands there, in order."""

from __future__ import annotations

import re

import pytest
from helpers import ROOT

from sae import estimators

PAGE = (ROOT / "docs" / "scikit_learn.md").read_text()


def test_its_code_does_what_it_says(capsys):
    pytest.importorskip("pandas")
    names: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S):
        exec(compile(block, "scikit_learn.md", "exec"), names)
    assert names["codes"].shape == (569, 8)
    assert names["rebuilt"].shape == names["table"].shape
    assert names["search"].best_score_ > 0.9
    printed = re.findall(r"(\d+)(?:\.\d)?% of", capsys.readouterr().out)
    kept, named, outliers = map(int, printed)
    assert kept > 80
    assert named > 88
    assert outliers > 30


def test_it_tells_of_each_estimator_and_its_methods():
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", PAGE, re.M)
    assert {name for name, _ in rows} == set(estimators.__all__)
    for name, methods in rows:
        for method in re.findall(r"`(\w+)`", methods):
            assert hasattr(getattr(estimators, name), method)
