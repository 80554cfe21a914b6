"""The whole path on one axis: errors after each epoch, phase by phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from sae.pictures.numbers import Numbers, texts
from sae.pictures.style import (
    CLASSES,
    FAINT,
    FIRST,
    HEAD,
    MARGIN,
    SECOND,
    SMALL,
    Box,
    label,
    panel,
    sheet,
)

CAPTION = (
    "The whole path: above the error of the images rebuilt through all layers so far, "
    "in one unit throughout; below the loss that each phase minimised, in its own "
    "unit."
)
LEFT = 0.95
UPRIGHT: dict[str, Any] = {
    "rotation": 90,
    "ha": "left",
    "fontsize": SMALL,
    "multialignment": "center",
}
MOST_RANGE = 1000  # of a logarithmic axis
COLUMNS = ("val/image_sse", "train/loss", "val/loss")


def numbers(
    metrics: Mapping[tuple[str, int], Mapping[str, float]],
    phases: Sequence[tuple[str, str, int]],
    title: str,
    pca: tuple[str, float],
) -> Numbers:
    """The figures of ``metrics.csv`` along the epochs of the whole run, nan where one has none.

    Args:
        metrics: By phase and epoch, as :func:`~sae.callbacks.metrics_csv.read_metrics` gives them.
        phases: Name, title and epochs before it, of each phase in order.
        title: Of the picture.
        pca: Name and squared error per image, over all validation images, of PCA with as many
            components as the final code.
    """
    before = {name: epochs for name, _, epochs in phases}
    names = [name for name, _, _ in phases]
    rows = [(phase, epoch) for phase, epoch in metrics if phase in before]
    values = [[metrics[row].get(column, np.nan) for column in COLUMNS] for row in rows]
    return {
        "title": np.array("The whole path"),
        "subtitle": np.array(title),
        "phase": np.array([names.index(phase) for phase, _ in rows], dtype=int),
        "epoch": np.array([before[phase] + epoch + 1 for phase, epoch in rows]),
        "values": np.array(values).reshape(-1, len(COLUMNS)),
        "names": texts(title for _, title, _ in phases),
        "starts": np.array([epochs for _, _, epochs in phases]),
        "pca": np.array(pca[1]),
        "pca_name": np.array(pca[0]),
    }


def draw(numbers: Numbers) -> Figure:
    """Above the error in pixels, comparable throughout; below the losses that were trained on."""
    width, top, high, low = 7.9, HEAD + 0.3, 2.1, 1.5
    under = top + high + 0.4
    title, subtitle = str(numbers["title"]), str(numbers["subtitle"])
    figure = sheet(LEFT + width + 0.95, under + low + 0.6, title, subtitle)
    above = panel(figure, Box(LEFT, top, width, high))
    below = panel(figure, Box(LEFT, under, width, low))
    epoch, phase, values = numbers["epoch"], numbers["phase"], numbers["values"]
    for k in range(len(numbers["names"])):
        mine = phase == k
        sse, train, val = values[mine].T
        _line(above, epoch[mine], sse, color=CLASSES[k % len(CLASSES)], marker="o", ms=3)
        _line(below, epoch[mine], train, color=SECOND, ls="--", marker="s", ms=2.5)
        _line(below, epoch[mine], val, color=FIRST, marker="o", ms=2.5)
    _mark_ends(above, epoch, phase, values[:, 0])
    pca, last = float(numbers["pca"]), max(epoch, default=1)
    above.axhline(pca, color=FAINT, lw=1, ls="--")
    logs = []
    for axis, shown in ((above, np.append(values[:, 0], pca)), (below, values[:, 1:].ravel())):
        axis.set_xlim(0.5, last + 0.5)
        logs.append(_scale(axis, shown))
        for start in numbers["starts"][1:]:
            axis.axvline(start + 0.5, color=FAINT, lw=0.6)
    words = f"{numbers['pca_name']}\n{pca:.2f}"
    place = above.get_yaxis_transform()
    if above.get_ylim()[0] <= pca <= above.get_ylim()[1]:
        above.text(1.01, pca, words, transform=place, va="center", fontsize=SMALL, color=FAINT)
    _name_phases(above, numbers, last)
    label(
        figure, MARGIN, top + high / 2, f"SSE per image, in pixels,\nvalidation{logs[0]}", **UPRIGHT
    )
    label(figure, MARGIN, under + low / 2, f"loss as trained,\nin its own unit{logs[1]}", **UPRIGHT)
    label(figure, LEFT + width / 2, under + low + 0.4, "epoch of the whole run", ha="center")
    for k, (name, colour) in enumerate((("training", SECOND), ("validation", FIRST))):
        words = f"{'■●'[k]} {name}"
        label(figure, LEFT + width + 0.08, under + 0.3 + 0.2 * k, words, color=colour)
    return figure


def _scale(axis: Axes, values: NDArray[Any]) -> str:
    """A logarithmic axis where values differ much, with numbers as people write them; its name."""
    axis.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    known = values[np.isfinite(values)]
    if not len(known) or known.min() <= 0 or known.max() <= 3 * known.min():
        axis.margins(y=0.15)
        return ""
    low, high = max(known.min(), known.max() / MOST_RANGE), known.max()
    many = (1, 2, 3, 5, 7) if high < 20 * low else (1, 2, 5) if high < 500 * low else (1,)
    axis.set_yscale("log")
    axis.set_ylim(low / (high / low) ** 0.15, high * (high / low) ** 0.15)
    axis.yaxis.set_major_locator(LogLocator(subs=many))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return " (log)"


def _name_phases(axis: Axes, numbers: Numbers, last: int) -> None:
    """Name the phases above their part of the axis, in short where it is narrow."""
    starts = numbers["starts"]
    letters = 120 / last  # that fit above an epoch
    for name, start, end in zip(numbers["names"], starts, [*starts[1:], last], strict=True):
        words = str(name).split("/")[0].split(" ")
        for shown in (str(name), " ".join(words[:2]) if len(words) == 2 else words[0], words[-1]):
            if len(shown) <= (end - start) * letters:
                style: dict[str, Any] = {"ha": "center", "fontsize": SMALL, "color": FAINT}
                place = axis.get_xaxis_transform()
                axis.text((start + end + 1) / 2, 1.04, shown, transform=place, **style)
                break


def _line(axis: Axes, x: np.ndarray, y: np.ndarray, **style: Any) -> None:
    there = np.isfinite(y)
    axis.plot(x[there], y[there], lw=1.5, **style)


def _mark_ends(axis: Axes, epoch: np.ndarray, phase: np.ndarray, sse: np.ndarray) -> None:
    """Write the last error of each phase at its end."""
    for k in np.unique(phase):
        mine = (phase == k) & np.isfinite(sse)
        if mine.any():
            last = float(epoch[mine][-1]), float(sse[mine][-1])
            axis.annotate(
                f"{last[1]:.2f}",
                last,
                xytext=(0, 6),
                textcoords="offset points",
                ha="right",
                fontsize=SMALL,
            )
