"""What survives: originals, and what each part of the path makes of them, beside PCA."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from sae.pictures.numbers import Numbers, texts
from sae.pictures.picture import Picture
from sae.pictures.scene import Scene
from sae.pictures.style import (
    HEAD,
    MARGIN,
    NARROW,
    SMALL,
    Box,
    grid,
    label,
    sheet,
    short,
    show,
    side_by_side,
    tile,
)

TILE, MIN_GAP, HEADING = 0.62, 0.1, 0.92  # inches; a heading is wider than a digit


def numbers(scene: Scene) -> Numbers:
    """A column each: the original, under noise what is given and made of it, the path, PCA."""
    probe = scene.probe
    columns = [scene.compared("original\n", probe.images)]
    given = scene.module.reconstruct_corrupted(probe.images)
    if given is not None:
        names = (
            "corrupted\ncode" if len(scene.module.below) else "corrupted\n",
            "restored\nfrom it",
        )
        columns += [scene.compared(n, x.cpu()) for n, x in zip(names, given, strict=True)]
    columns += [*scene.earlier, scene.now(), scene.by_pca]
    return {
        "title": np.array(f"Reconstructions · {scene.title}"),
        "subtitle": np.array(
            f"{scene.subtitle}{probe.some} · SSE: squared error per image, "
            f"mean over {len(probe.images):,}"
        ),
        "columns": texts(column.name for column in columns),
        "sse": np.array([column.sse for column in columns]),
        "images": np.stack([column.images for column in columns]),
        "classes": probe.named(probe.labels[probe.rows]),
    }


def draw(numbers: Numbers) -> Figure:
    """A row per class, a column per network, the squared error above it."""
    images, names, classes = numbers["images"], numbers["columns"], numbers["classes"]
    n_columns, n_rows, height, width = images.shape[:4]
    side, down = tile(height, width, TILE)
    gap = max(MIN_GAP, HEADING - side)
    wide, tall = n_columns * (side + gap) - gap, down * n_rows
    left, top = 0.7 + gap / 2, HEAD + 0.7
    figure = sheet(
        max(left + wide + gap / 2 + 0.1, NARROW),
        top + tall + 0.15,
        str(numbers["title"]),
        str(numbers["subtitle"]),
    )
    blocks = [grid(column.clip(0, 1), columns=1) for column in images]
    between = round(gap / side * width)
    show(figure, Box(left, top, wide, tall), side_by_side(blocks, between))
    for k, name in enumerate(names):
        words = f"{name}\nSSE {numbers['sse'][k]:.2f}" if k else f"{name}\n"
        middle = left + side / 2 + k * (wide - side) / max(1, n_columns - 1)
        label(figure, middle, top - 0.05, words, ha="center", va="bottom")
    for row, name in enumerate(classes):
        label(figure, left - 0.12, top + down * (row + 0.5), short(name), ha="right")
    label(figure, MARGIN, top - 0.12, "class", fontsize=SMALL)
    return figure


class Reconstructions(Picture):
    """See :func:`numbers` and :func:`draw`."""

    caption = (
        "A validation image of each class (of ten at most), what each part of the path "
        "rebuilds of it, and what PCA rebuilds from as many numbers. Under noise also "
        "what is given and restored; the other columns start from the original."
    )
    rank = 10
    slides = True
    needs_decoder = True

    def numbers(self, scene: Scene) -> Numbers | None:
        """What it shows."""
        return numbers(scene)

    def draw(self, numbers: Numbers) -> Figure:
        """The figure."""
        return draw(numbers)
