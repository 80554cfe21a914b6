from __future__ import annotations

import pytest

from sae.figure import Figure, Measured


@pytest.mark.parametrize(
    ("form", "unit", "shown"),
    [("{:.2f}", "", "12.35"), ("{:.1f} %", "%", "12.3 %"), ("{:.0f} nats", "nats", "12 nats")],
)
def test_the_form_says_how_it_reads_and_in_what_unit(form, unit, shown):
    figure = Figure("{part} error", form)
    assert figure.unit == unit
    assert figure.line(12.345, "validation") == ("validation error", shown)


def test_a_figure_is_of_the_test_and_better_when_lower_unless_it_says_otherwise():
    figure = Figure("{part} SSE per image")
    assert figure.better == "lower"
    assert Measured(figure, 2.5).line() == ("test SSE per image", "2.50")
    assert Measured(figure, 2.5, "validation").line() == ("validation SSE per image", "2.50")
