"""What lies near an image in code space, beside what is near it pixel by pixel."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sae.pictures.numbers import Numbers
from sae.pictures.picture import Picture
from sae.pictures.scene import Scene
from sae.pictures.style import (
    HEAD,
    MARGIN,
    SECOND,
    SMALL,
    Box,
    frame,
    grid,
    label,
    sheet,
    short,
    show,
    tile,
)

NEAREST = 6
TILE, LEFT, HEADING = 0.62, 0.75, 2.9  # inches


def numbers(scene: Scene) -> Numbers | None:
    """For each probe its nearest images by code and by pixels, (2, rows, nearest, height, width).

    Nearness is Euclidean. None where there are too few images or fewer than two classes, and of a
    table: its rows have no shape to be seen.
    """
    probe = scene.probe
    if probe.table is not None or len(probe.images) <= NEAREST or len(np.unique(probe.labels)) < 2:
        return None
    pixels = probe.images.numpy()
    found = np.stack([_nearest(space, probe.rows) for space in (scene.codes(), pixels)])
    same = probe.labels[found] == probe.labels[probe.rows][None, :, None]
    return {
        "title": np.array(f"Nearest neighbours · {scene.title}"),
        "subtitle": np.array(f"{scene.subtitle}{probe.some} · nearest first"),
        "probes": probe.as_images(pixels[probe.rows]),
        "nearest": probe.as_images(pixels[found]),
        "same": same,
        "classes": probe.named(probe.labels[probe.rows]),
        "labels": probe.named(probe.labels[found]),
    }


def _nearest(space: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=NEAREST + 1, algorithm="brute").fit(space)
    found = model.kneighbors(space[rows], return_distance=False)
    # An image is its own nearest, unless another has the very same code.
    return np.stack([line[line != row][:NEAREST] for line, row in zip(found, rows, strict=True)])


def draw(numbers: Numbers) -> Figure:
    """A row a probe: itself, its neighbours by code, its neighbours by pixels."""
    nearest, same = numbers["nearest"], numbers["same"]
    _, n_rows, n, height, width = nearest.shape[:5]
    side, down = tile(height, width, TILE)
    tall, wide = down * n_rows, side * n
    pitch, top = max(wide, HEADING) + 0.25, HEAD + 0.3
    figure = sheet(
        LEFT + side + 2 * pitch + 0.15,
        top + tall + 0.4,
        str(numbers["title"]),
        str(numbers["subtitle"]),
    )
    show(figure, Box(LEFT, top, side, tall), grid(numbers["probes"], 1))
    label(figure, LEFT + side / 2, top - 0.12, "probe", ha="center")
    for row, name in enumerate(numbers["classes"]):
        label(figure, LEFT - 0.1, top + down * (row + 0.5), short(name), ha="right")
    label(figure, MARGIN, top - 0.12, "class", fontsize=SMALL)
    for k, space in enumerate(("code", "pixels")):
        left = LEFT + side + 0.25 + k * pitch
        box = Box(left, top, wide, tall)
        show(figure, box, grid(nearest[k].reshape(-1, *nearest.shape[3:]), n))
        share = 100 * same[k].mean()
        label(figure, left, top - 0.12, f"nearest by {space}: {share:.0f} % of the probe's class")
        for index in np.flatnonzero(~same[k]):
            frame(figure, box, (n_rows, n), width / (width + 1), int(index))
    words = "framed: of another class than the probe"
    label(figure, MARGIN, top + tall + 0.2, words, color=SECOND)
    return figure


class Neighbours(Picture):
    """See :func:`numbers` and :func:`draw`."""

    caption = "An image of each class, and the images nearest to it by code and by pixels."
    rank = 90
    of_phases = False

    def numbers(self, scene: Scene) -> Numbers | None:
        """What it shows."""
        return numbers(scene)

    def draw(self, numbers: Numbers) -> Figure:
        """The figure."""
        return draw(numbers)
