"""The way from one image to another through the code, beside plain cross-fading."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

from sae.devices import beside
from sae.pictures.numbers import Numbers
from sae.pictures.picture import Picture
from sae.pictures.scene import Scene
from sae.pictures.style import HEAD, NARROW, SMALL, Box, grid, label, sheet, short, show, tile

STEPS, MOST_PAIRS = 9, 5
TILE, LEFT = 0.62, 1.25  # inches


def numbers(scene: Scene) -> Numbers | None:
    """Pairs of classes and the way between them, (pairs, 2, steps, height, width).

    First the decoder's answers along the straight line between the two codes, then the straight
    line between the two images. None where there are fewer than two classes, and of tables: a row
    of numbers is no picture.
    """
    probe = scene.probe
    rows = probe.rows[: 2 * MOST_PAIRS]
    if len(rows) < 2 or probe.table is not None:
        return None
    starts, ends = rows[: len(rows) // 2], rows[len(rows) // 2 :][: len(rows) // 2]
    path = scene.path
    part = beside(path, torch.linspace(0, 1, STEPS)[None, :, None])
    a, b = (beside(path, probe.images[torch.from_numpy(which)]) for which in (starts, ends))
    with torch.no_grad():
        codes = torch.lerp(path.encode(a)[:, None], path.encode(b)[:, None], part)
        drawn = path.decode(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
    a, b = a[:, None], b[:, None]
    ways = torch.stack([drawn, torch.lerp(a, b, part)], dim=1)
    return {
        "title": np.array(f"From one image to another · {scene.title}"),
        "subtitle": np.array(f"{scene.subtitle} · {STEPS} steps on the straight line between them"),
        "ways": probe.as_images(ways),
        "ends": probe.as_images(torch.cat([a, b], dim=1)),
        "classes": probe.named(np.stack([probe.labels[starts], probe.labels[ends]], axis=1)),
    }


def draw(numbers: Numbers) -> Figure:
    """Two lines for each pair, the originals at both ends of the upper one."""
    ways, ends = numbers["ways"].clip(0, 1), numbers["ends"]
    pairs, _, steps, height, width, *colours = ways.shape
    white = np.ones((pairs, 2, height, width, *colours), dtype=ways.dtype)
    starts, goals = (np.stack([ends[:, k], white[:, 0]], axis=1) for k in range(2))
    rows = np.concatenate([starts[:, :, None], ways, goals[:, :, None]], axis=2)
    line, between = 2 * (height + 1) + 1, max(1, height // 4)
    across = (steps + 2) * (width + 1) + 1
    picture = np.ones((pairs * (line + between) - between, across, *colours))
    for k in range(pairs):
        above = k * (line + between)
        picture[above : above + line] = grid(
            rows[k].reshape(-1, height, width, *colours), steps + 2
        )
    side, down = tile(height, width, TILE)
    inch = down / (height + 1)  # of a pixel, downwards
    wide, tall = picture.shape[1] * side / (width + 1), picture.shape[0] * inch
    top = HEAD + 0.3
    title, subtitle = str(numbers["title"]), str(numbers["subtitle"])
    figure = sheet(max(LEFT + wide + 0.15, NARROW), top + tall + 0.15, title, subtitle)
    show(figure, Box(LEFT, top, wide, tall), picture)
    for middle, words in (
        (LEFT + side / 2, "original"),
        (LEFT + wide / 2, "the way between them"),
        (LEFT + wide - side / 2, "original"),
    ):
        label(figure, middle, top - 0.1, words, ha="center")
    for k, pair in enumerate(numbers["classes"]):
        middle = top + (k * (line + between) + 1 + height / 2) * inch
        names = " to ".join(short(name) for name in pair) + "\n" if any(map(str, pair)) else ""
        label(figure, LEFT - 0.1, middle, f"{names}by code", ha="right", fontsize=SMALL)
        label(figure, LEFT - 0.1, middle + down, "by pixels", ha="right", fontsize=SMALL)
    return figure


class Interpolation(Picture):
    """See :func:`numbers` and :func:`draw`."""

    caption = (
        "From one image to another: along the line between their codes, and by plain cross-fading."
    )
    rank = 80
    of_phases = False
    needs_decoder = True

    def numbers(self, scene: Scene) -> Numbers | None:
        """What it shows."""
        return numbers(scene)

    def draw(self, numbers: Numbers) -> Figure:
        """The figure."""
        return draw(numbers)
