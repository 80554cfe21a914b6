"""What survives: originals, and what each part of the path makes of them, beside PCA."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sae.data.table_preparation import TablePreparation
from sae.devices import beside
from sae.pictures.numbers import Numbers, texts
from sae.pictures.picture import Picture
from sae.pictures.scene import Scene
from sae.pictures.style import (
    FAINT,
    HEAD,
    INK,
    MARGIN,
    NARROW,
    SECOND,
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
# Of a table: what is shown of it, and inches of a cell and of a name.
MOST_COLUMNS, MOST_SAMPLES = 12, 6
CELL, LINE, NAME = 0.72, 0.22, 1.45
MOST_LETTERS, MOST_NAME = 10, 20


def numbers(scene: Scene) -> Numbers:
    """A column each: the original, under noise what is given and made of it, the path, PCA.

    Of a table, whose rows are no images, values in the user's units: see :func:`of_table`.
    """
    probe = scene.probe
    if probe.table is not None:
        return of_table(scene, probe.table)
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
            f"{scene.subtitle}{probe.some} · SSE: squared error per image, on average"
        ),
        "columns": texts(column.name for column in columns),
        "sse": np.array([column.sse for column in columns]),
        "images": np.stack([column.images for column in columns]),
        "classes": probe.named(probe.labels[probe.rows]),
    }


@torch.no_grad()
def of_table(scene: Scene, table: TablePreparation) -> Numbers:
    """Some samples of a table and what the network rebuilds of them, as the user writes them.

    Returns:
        ``values``, (samples, 2, columns): each column as it is and as it is rebuilt; ``off``,
        (samples, columns): where these are other categories, or numbers further apart than the
        standard deviation of the column among all validation samples; and the squared errors.
    """
    probe, used = scene.probe, table.used[:MOST_COLUMNS]
    rows = probe.rows[:MOST_SAMPLES]
    x = probe.images[rows]
    x_hat = scene.path(beside(scene.path, x)).float().cpu()
    raws = [table.inverse(each) for each in (x, x_hat)]
    absent = table.marked_columns(x)
    values = [[[_text(v) for v in row] for row in table.from_raw(raw)] for raw in raws]
    for row, column in absent.nonzero().tolist():
        values[0][row][column] = "–"
    spread = _spread(table, probe.images)
    off = ((raws[0] - raws[1]).abs() > spread) & ~absent
    names = [table.table[k].name for k in used]
    some = f" · {len(used)} of {len(table.used)} columns" if len(used) < len(table.used) else ""
    networks = [*scene.earlier, scene.now(), scene.by_pca]
    return {
        "title": np.array(f"Reconstructions · {scene.title}"),
        "subtitle": np.array(f"{scene.subtitle}{some}"),
        "names": texts(names),
        "values": np.array(values, np.str_)[:, :, used].transpose(1, 0, 2),
        "off": off[:, used].numpy(),
        "errors": scene.path.errors(x_hat, x).sum(dim=1).numpy(),
        "networks": texts(each.name.replace("\n", " ").strip() for each in networks),
        "sse": np.array([each.sse for each in networks]),
        "n": np.array(len(probe.images)),
        "classes": probe.named(probe.labels[rows]),
    }


def _spread(table: TablePreparation, images: Tensor) -> Tensor:
    """Standard deviation of each raw column where it is known; 0 of a category."""
    raw, absent = table.inverse(images).double(), table.marked_columns(images)
    raw[absent] = math.nan
    spread = np.nanstd(raw.numpy(), axis=0) if len(raw) else np.zeros(raw.shape[1])
    spread[[k for k, each in enumerate(table.table) if each.values]] = 0
    return torch.from_numpy(np.nan_to_num(spread))


def _text(value: Any) -> str:
    """A value as it reads: numbers to four digits."""
    if not isinstance(value, (float, np.floating)):
        return "–" if value is None else str(value)
    size = abs(float(value))
    if size and not 1e-4 <= size < 1e7:
        return f"{value:.3g}".replace("-", "−")
    digits = 3 - math.floor(math.log10(size)) if size else 0
    comma = "," * (size >= 10_000)  # a year has none
    words = f"{value:{comma}.{max(0, digits)}f}"
    words = words.rstrip("0").rstrip(".") if "." in words else words
    return words.replace("-", "−")


def draw(numbers: Numbers) -> Figure:
    """A row per class, a column per network, the squared error above it."""
    if "values" in numbers:
        return _draw_table(numbers)
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
    if any(map(str, classes)):
        label(figure, MARGIN, top - 0.12, "class", fontsize=SMALL)
    return figure


def _draw_table(numbers: Numbers) -> Figure:
    """A row for each column of the table, two cells for each sample, its error below."""
    values, off, names = numbers["values"], numbers["off"], numbers["names"]
    n, _, lines = values.shape
    top = HEAD + 0.75
    bottom = top + lines * LINE
    pair = 2 * CELL + 0.15
    width, height = max(NARROW, NAME + n * pair + 0.2), bottom + 0.95
    figure = sheet(width, height, str(numbers["title"]), str(numbers["subtitle"]))
    for k, name in enumerate(names):
        middle = top + (k + 0.5) * LINE
        label(figure, MARGIN, middle, _cut(name, MOST_NAME), fontsize=SMALL, color=FAINT)
    for sample in range(n):
        left = NAME + sample * pair
        name = str(numbers["classes"][sample])
        name = f"class {_cut(name, MOST_NAME)}" if name else f"sample {sample + 1}"
        label(figure, left + CELL, top - 0.4, name, ha="center")
        for side, head in enumerate(("original", "rebuilt")):
            right = left + (side + 1) * CELL
            label(figure, right, top - 0.15, head, ha="right", fontsize=SMALL, color=FAINT)
            for k, words in enumerate(values[sample, side]):
                style = {"color": SECOND if side and off[sample, k] else INK, "fontsize": SMALL}
                place = top + (k + 0.5) * LINE
                label(figure, right, place, _cut(words, MOST_LETTERS), ha="right", **style)
        error = f"{numbers['errors'][sample]:.2f}"
        label(figure, left + 2 * CELL, bottom + 0.2, error, ha="right", fontsize=SMALL)
    label(figure, MARGIN, bottom + 0.2, "SSE, inputs", fontsize=SMALL, color=FAINT)
    pairs = zip(numbers["networks"], numbers["sse"], strict=True)
    means = " · ".join(f"{name} {sse:.2f}" for name, sse in pairs)
    words = f"SSE per image, mean over {int(numbers['n']):,}: {means}"
    label(figure, MARGIN, bottom + 0.48, words, fontsize=SMALL)
    key = "another category, or off by more than the column's standard deviation"
    label(figure, MARGIN, bottom + 0.72, key, fontsize=SMALL, color=SECOND)
    return figure


def _cut(words: str, letters: int) -> str:
    """Words, cut to what a cell holds."""
    return words if len(words) <= letters else f"{words[: letters - 1]}…"


class Reconstructions(Picture):
    """See :func:`numbers` and :func:`draw`."""

    caption = (
        "A validation image of each class (of ten at most; without labels the first ten), what "
        "each part of the path rebuilds of it, and what PCA rebuilds from as many numbers. Under "
        "noise also what is given and restored; the other columns start from the original. Of a "
        "table: some of its rows, each value as it is and as it is rebuilt."
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
