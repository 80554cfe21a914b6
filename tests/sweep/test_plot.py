from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sae.pictures.style import render
from sae.sweep.plot import draw
from sae.sweep.space import Choice, Range

SPACE = [
    Range("lr", 0.001, 0.1, log=True),
    Range("units", 8, 64),
    Choice("terms", ([], [{"kind": "l1", "weight": 0.1}])),
    Choice("sizes", ([784, 9], [784, 8, 2])),
]


def trials(values: list[float | None]) -> list[Any]:
    found = []
    for k, value in enumerate(values):
        chosen = {"lr": 0.001 * (k + 1), "units": 8 + k, "terms": [], "sizes": [784, 9]}
        found.append(SimpleNamespace(user_attrs={"value": value, "values": chosen}))
    return found


@pytest.mark.parametrize(
    ("higher", "best"), [(False, [3.0, 3.0, 1.0, 1.0]), (True, [3.0, 3.0, 3.0, 5.0])]
)
def test_the_best_so_far_is_a_line_and_each_option_a_panel(higher, best):
    figure = draw(trials([3.0, None, 1.0, 5.0]), SPACE, "validation SSE per image", higher)
    first, *others = figure.axes
    assert first.lines[0].get_ydata().tolist() == best
    assert np.isnan(first.lines[1].get_ydata()[1]), "one that was given up has no figure"
    assert len(others) == len(SPACE)
    assert others[0].get_xscale() == "log"
    assert others[0].lines[0].get_xdata().tolist() == pytest.approx([0.001, 0.002, 0.003, 0.004])
    assert [text.get_text() for text in others[2].get_xticklabels()] == ["[]", "l1 0.1"]
    words = " ".join(text.get_text() for text in figure.texts)
    assert "4 trials, 1 stopped early" in words
    assert render(figure).content.startswith(b"\x89PNG")


@pytest.mark.parametrize("values", [[2.0], [None, 2.0], [1.0, 1000.0, -3.0]])
def test_few_trials_and_odd_ones_can_be_drawn(values):
    assert render(draw(trials(values), SPACE[:1], "x", False)).width > 500
