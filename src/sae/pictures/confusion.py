"""Which classes a classifier takes for which, and the mistakes that it is surest of."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sae.devices import beside
from sae.objectives.classify import MOST_CONFUSED, Classify
from sae.pictures.numbers import Numbers
from sae.pictures.picture import Picture
from sae.pictures.scene import Scene
from sae.pictures.style import FAINT, HEAD, INK, MARGIN, SMALL, Box, label, sheet, short, show, tile

# Classes whose cells have room for a number; of more the matrix is shown without any.
MOST_NUMBERS = 20
CELL, MOST_SIDE, LEFT = 0.38, 5.2, 0.95  # inches
COLUMNS, MOST_MISTAKES, TILE = 4, 12, 0.72


@torch.no_grad()
def numbers(scene: Scene) -> Numbers | None:
    """Counts of all validation samples, (classes, classes), and the surest mistakes among them.

    None where the network is no classifier, or nobody knows the classes.
    """
    objective = scene.module.objective
    if not isinstance(objective, Classify) or objective.n_classes > MOST_CONFUSED:
        return None
    counts = np.zeros((objective.n_classes, objective.n_classes), dtype=np.int64)
    found: list[tuple[float, int, int, Tensor]] = []
    for x, y in scene.probe.labelled_validation():
        x = beside(scene.stack, x)
        probability, predicted = objective.logits(scene.stack.encode(x)).softmax(dim=1).max(dim=1)
        taken = predicted.cpu()
        np.add.at(counts, (y.numpy(), taken.numpy()), 1)
        for k in (taken != y).nonzero().flatten().tolist():
            found.append((probability[k].item(), int(y[k]), int(taken[k]), x[k].cpu()))
        found = sorted(found, key=lambda mistake: -mistake[0])[:MOST_MISTAKES]
    if not counts.sum():
        return None
    error = 100 * (1 - np.trace(counts) / counts.sum())
    images = torch.stack([x for *_, x in found]) if found else scene.probe.images[:0]
    named = scene.probe.named
    pairs = np.array([mistake[1:3] for mistake in found], dtype=np.int64).reshape(-1, 2)
    return {
        "title": np.array(f"Confusion · {scene.title}"),
        "subtitle": np.array(f"{scene.probe.source_of_all} · error {error:.2f} %"),
        "counts": counts,
        "classes": named(np.arange(objective.n_classes)),
        "mistakes": scene.probe.as_images(images),
        "labels": named(pairs[:, 0]),
        "predicted": named(pairs[:, 1]),
        "probability": np.array([mistake[0] for mistake in found]),
    }


def draw(numbers: Numbers) -> Figure:
    """The matrix, a row a class, coloured by its part of the row; beside it the mistakes."""
    counts, classes, images = numbers["counts"], numbers["classes"], numbers["mistakes"]
    n = len(counts)
    side = min(CELL * n, MOST_SIDE) if n > 4 else 0.6 * n
    across, down = tile(images.shape[1], images.shape[2], TILE)
    rows = -(-len(images) // COLUMNS)
    top, right = HEAD + 0.5, LEFT + max(side, 1.6) + 0.55
    height = max(side, rows * (down + 0.22))
    wide = right + max(COLUMNS * (across + 0.1), 2.6)
    title, subtitle = str(numbers["title"]), str(numbers["subtitle"])
    figure = sheet(wide, top + height + 0.25, title, subtitle)
    _matrix(figure, Box(LEFT, top, side, side), counts, [short(name) for name in classes])
    words = "surest mistakes: class → taken for" if len(images) else "no mistake"
    label(figure, right, top - 0.2, words, fontsize=SMALL, color=FAINT)
    for k, image in enumerate(images):
        row, column = divmod(k, COLUMNS)
        box = Box(right + column * (across + 0.1), top + row * (down + 0.22), across, down)
        show(figure, box, image)
        pair = f"{short(numbers['labels'][k])} → {short(numbers['predicted'][k])}"
        under = box.top + down + 0.1
        label(figure, box.left + across / 2, under, pair, ha="center", fontsize=SMALL)
    return figure


def _matrix(figure: Figure, box: Box, counts: np.ndarray, names: list[str]) -> None:
    """Mistakes stand out: the diagonal, where nearly all samples lie, has no colour."""
    n, cell = len(counts), box.width / len(counts)
    share = counts / counts.sum(axis=1, keepdims=True).clip(1)
    wrong = np.where(np.eye(n, dtype=bool), 0, share)
    highest = max(wrong.max(), 1e-9)
    show(figure, box, wrong, cmap="Blues", high=1.3 * highest)
    middle = box.left + box.width / 2, box.top + box.height / 2
    label(figure, middle[0], box.top - 0.36, "taken for", ha="center", fontsize=SMALL)
    label(figure, MARGIN, middle[1], "class", rotation=90, ha="left", fontsize=SMALL)
    every = max(1, -(-n // 25))
    for k in range(0, n, every):
        at = (k + 0.5) * cell
        label(figure, box.left + at, box.top - 0.14, names[k], ha="center", fontsize=SMALL)
        label(figure, box.left - 0.08, box.top + at, names[k], ha="right", fontsize=SMALL)
    if n > MOST_NUMBERS:
        return
    for row, column in np.argwhere(counts > 0):
        colour = "white" if wrong[row, column] > 0.8 * highest else INK
        weight = "bold" if row == column else "normal"
        style: dict[str, Any] = {"ha": "center", "fontsize": SMALL, "fontweight": weight}
        across, down = box.left + (column + 0.5) * cell, box.top + (row + 0.5) * cell
        label(figure, across, down, f"{counts[row, column]}", color=colour, **style)


class Confusion(Picture):
    """See :func:`numbers` and :func:`draw`."""

    caption = (
        "Of a classifier: how many validation samples of each class are taken for which, coloured "
        "where it is wrong, and the mistakes that it is surest of."
    )
    rank = 5
    of_phases = False

    def numbers(self, scene: Scene) -> Numbers | None:
        """What it shows."""
        return numbers(scene)

    def draw(self, numbers: Numbers) -> Figure:
        """The figure."""
        return draw(numbers)
