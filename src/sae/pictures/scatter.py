"""The codes of all test samples on one axis, coloured by class.

It is drawn once, at the end of a run, from the codes that the test has computed anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sae.pictures.codes import Array, Labels, in_plane, zoom
from sae.pictures.numbers import Numbers, texts
from sae.pictures.style import (
    HEAD,
    SMALL,
    Box,
    class_colours,
    label,
    name_axes,
    panel,
    sheet,
    short,
    show,
)

NAME = "scatter"
CAPTION = (
    "The code of every test image (20,000 at most), one point each, coloured by class. A code of "
    "two units is shown as it is; a wider one by its first two principal components."
)
MOST_CLASSES = 20  # with a colour bar: beyond that nobody can tell the colours apart
MOST_LETTERS = 10  # of the name of a class
SIDE, LEFT, BAR, RIGHT = 5.2, 0.95, 0.16, 0.95  # inches


def numbers(
    codes: Array,
    labels: Labels | None,
    n_samples: int,
    names: Sequence[str] = (),
    network: str = "",
    source: str = "",
) -> Numbers:
    """Where each code lies in the plane, and its class.

    Args:
        codes: Of the test samples, (n, units).
        labels: Their classes, (n,); None where they have none.
        n_samples: Test samples in all; more than n where only some are shown.
        names: What the classes 0, 1, … are called; empty where they are called so.
        network: The network in a line, for the title.
        source: The data in a word or two.

    Returns:
        ``points``, (n, 2); ``labels``, (n,): for each point a position in ``classes``, or -1
        throughout without labels; ``classes``, (classes,): what they are called, in order; and the
        words of the picture.
    """
    points, axes = in_plane(codes, labels)
    where: NDArray[Any] = np.full(len(codes), -1)
    classes: NDArray[Any] = np.array([], np.int64)
    if labels is not None and len(names):
        classes, where = texts(names), labels
    elif labels is not None:
        classes, where = np.unique(labels, return_inverse=True)
    n = len(codes)
    shown = f"all {n:,}" if n == n_samples else f"{n:,} of {n_samples:,}"
    parts = [source, network]
    if len(classes) > MOST_CLASSES:
        parts.append(f"coloured by class ({len(classes)} classes)")
    return {
        "title": np.array(f"Codes of {shown} test images"),
        "subtitle": np.array(" · ".join(part for part in parts if part)),
        "axes": texts(_named(axes)),
        "points": points.astype(np.float32),
        "labels": where.astype(np.int64),
        "classes": classes,
    }


def _named(axes: tuple[str, str]) -> list[str]:
    """Names of the axes for one who sees this picture alone."""
    full = {"h[0]": "first unit of the code, h[0]", "h[1]": "second unit of the code, h[1]"}
    words = [full.get(axis, axis) for axis in axes]
    return [
        word.replace("PC1 (", "first principal component of the code (").replace(
            "PC2 (", "second principal component of the code ("
        )
        for word in words
    ]


def draw(numbers: Numbers) -> Figure:
    """The points, small and half transparent, and a colour bar of the classes."""
    points, labels, classes = numbers["points"], numbers["labels"], numbers["classes"]
    n, known = len(points), len(classes) > 0
    with_bar = known and len(classes) <= MOST_CLASSES
    top, right = HEAD + 0.1, LEFT + SIDE
    title, subtitle = str(numbers["title"]), str(numbers["subtitle"])
    wide = right + (0.2 + BAR + RIGHT if with_bar else 0.35)
    figure = sheet(wide, top + SIDE + 0.6, title, subtitle)
    box = Box(LEFT, top, SIDE, SIDE)
    axis = panel(figure, box)
    colours = class_colours(len(classes))
    size = min(7.0, max(2.0, 260 / np.sqrt(n)))  # points across: 2.6 of 10,000
    alpha = 0.6 if n > 500 else 0.9
    # In a random order, always the same: else the last class would cover all others.
    order = np.random.default_rng(0).permutation(n)
    rgba = colours(labels.clip(0))[order]
    axis.scatter(points[order, 0], points[order, 1], s=size**2, c=rgba, alpha=alpha, lw=0)
    out = zoom(axis, points, tail=2.5, far=2)
    if out:  # all are shown: those far out at the edge
        low, high = np.array([axis.get_xlim(), axis.get_ylim()]).T
        axis.collections[0].set_offsets(points[order].clip(low, high))
        axis.collections[0].set_clip_on(False)
    axis.locator_params(nbins=6)
    beyond = f" · {out} of {n:,} lie further out, drawn at the edge" if out else ""
    x, y = (str(name) for name in numbers["axes"])
    name_axes(figure, box, axis, f"{x}{beyond}", y, letter=0.075)
    if with_bar:
        bar = Box(right + 0.2, top + 0.3, BAR, SIDE - 0.3)
        show(figure, bar, np.arange(len(classes))[::-1, None], cmap=colours, high=len(classes) - 1)
        label(figure, bar.left, top + 0.12, "class", fontsize=SMALL)
        for place, name in enumerate(classes):
            middle = bar.top + bar.height * (1 - (place + 0.5) / len(classes))
            label(figure, bar.left + BAR + 0.07, middle, short(name, MOST_LETTERS), fontsize=SMALL)
    return figure
