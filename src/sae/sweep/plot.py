"""The picture of a search: the result of each trial, and the effect of each option."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from sae.pictures.style import (
    FAINT,
    FIRST,
    HEAD,
    SECOND,
    SMALL,
    Box,
    label,
    name_axes,
    panel,
    sheet,
)
from sae.sweep.space import Choice, Dimension

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from optuna.trial import FrozenTrial

WIDTH, TALL, LEFT, GAP = 2.2, 1.7, 0.8, 0.95  # inches
ACROSS = 3  # panels in a row
MOST_LETTERS, MOST_NAME = 30, 18  # of the name of a figure, and of a value


def draw(
    trials: Sequence[FrozenTrial], space: Sequence[Dimension], label_of: str, higher: bool
) -> Figure:
    """Draw the results by trial, with the best so far, and by the value of each option.

    Args:
        trials: The finished and pruned trials, in order.
        space: The options.
        label_of: Name of the validation figure.
        higher: Whether a higher value is better.
    """
    value = np.array([_value(trial) for trial in trials])
    rows = 1 + math.ceil(len(space) / ACROSS)
    width = LEFT + ACROSS * WIDTH + (ACROSS - 1) * GAP + 0.3
    pitch = TALL + 0.95
    pruned = int(np.isnan(value).sum())
    title = f"{len(trials)} trials, {pruned} stopped early" if pruned else f"{len(trials)} trials"
    figure = sheet(width, HEAD + 0.3 + rows * pitch, "Sweep", f"{title} · {label_of}")
    top = HEAD + 0.25
    box = Box(LEFT, top, width - LEFT - 0.3, TALL)
    axis = panel(figure, box)
    number = np.arange(len(trials))
    best = np.fmax.accumulate(value) if higher else np.fmin.accumulate(value)
    axis.step(number, best, where="post", color=SECOND, lw=1.5)
    axis.plot(number, value, "o", color=FIRST, ms=4)
    for k in number[np.isnan(value)]:
        axis.axvline(k, ymin=0.94, color=FAINT, lw=1.2)
    axis.set_xlim(-0.5, len(trials) - 0.5)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    _limits(axis, value)
    name_axes(figure, box, axis, "trial", _short(label_of))
    words = [("● a trial", FIRST), ("— the best so far", SECOND)]
    for k, (text, colour) in enumerate([*words, ("| stopped early", FAINT)][: 2 + bool(pruned)]):
        label(figure, LEFT + 1.35 * k, top - 0.1, text, color=colour, fontsize=SMALL)
    for k, dimension in enumerate(space):
        row, column = divmod(k, ACROSS)
        box = Box(LEFT + column * (WIDTH + GAP), top + (row + 1) * pitch, WIDTH, TALL)
        _by_option(figure, box, dimension, trials, value, _short(label_of) if column == 0 else "")
    return figure


def _by_option(
    figure: Figure,
    box: Box,
    dimension: Dimension,
    trials: Sequence[FrozenTrial],
    value: np.ndarray,
    name: str,
) -> None:
    axis = panel(figure, box)
    chosen = [trial.user_attrs["values"][dimension.key] for trial in trials]
    if isinstance(dimension, Choice):
        names = [json.dumps(each) for each in dimension.values]
        x = np.array([names.index(json.dumps(each)) for each in chosen], dtype=float)
        shown = [_short(_called(each), MOST_NAME) for each in dimension.values]
        axis.set_xticks(range(len(names)), shown)
        many = max(len(each) for each in shown) * len(names) > 36
        axis.tick_params(axis="x", rotation=20 if many else 0)
        axis.set_xlim(-0.5, len(names) - 0.5)
    else:
        x = np.array(chosen, dtype=float)
        if dimension.log:
            axis.set_xscale("log")
            far = dimension.high > 100 * dimension.low
            axis.xaxis.set_major_locator(LogLocator(subs=(1,) if far else (1, 2, 5)))
            axis.xaxis.set_minor_locator(NullLocator())
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.set_xlim(dimension.low / 1.1, dimension.high * 1.1)
        else:
            beside = 0.05 * (dimension.high - dimension.low)
            axis.set_xlim(dimension.low - beside, dimension.high + beside)
            axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=dimension.whole))
    axis.plot(x, value, "o", color=FIRST, ms=4)
    _limits(axis, value)
    name_axes(figure, box, axis, "", name)
    label(figure, box.left, box.top - 0.12, dimension.key, fontsize=SMALL)


def _limits(axis: Axes, value: np.ndarray) -> None:
    """Set the same vertical limits for all panels; a log scale if values differ by 10 times."""
    known = value[np.isfinite(value)]
    if len(known) and known.min() > 0 and known.max() > 10 * known.min():
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.margins(y=0.15)
    if len(known):
        axis.plot(axis.get_xlim(), [known.min()] * 2, alpha=0)  # of pruned trials alone


def _value(trial: FrozenTrial) -> float:
    value: Any = trial.user_attrs.get("value")
    return math.nan if value is None else float(value)


def _called(value: Any) -> str:
    """A short text for a value: for a penalty its kind."""
    if isinstance(value, list):
        kinds = [_called(each) for each in value]
        return (
            " + ".join(kinds)
            if any(isinstance(each, dict) for each in value)
            else json.dumps(value)
        )
    if isinstance(value, dict) and isinstance(value.get("kind"), str):
        rest = [str(each) for key, each in value.items() if key != "kind"]
        return " ".join([value["kind"], *rest])
    return value if isinstance(value, str) else json.dumps(value)


def _short(words: str, most: int = MOST_LETTERS) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"
