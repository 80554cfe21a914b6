"""What a layer has learnt: the weights of the first, and what a deeper unit adds to an image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from sae.nets.stack import Stack
from sae.pictures.numbers import Numbers, texts
from sae.pictures.picture import Picture
from sae.pictures.scene import Scene
from sae.pictures.style import (
    DPI,
    FAINT,
    HEAD,
    MARGIN,
    NARROW,
    SECOND,
    SMALL,
    Box,
    frame,
    grid,
    label,
    sheet,
    show,
    tile,
)

MOST_UNITS = 100
LEAST_SPREAD = 0.05  # standard deviation of a pixel whose weights are shown
WIDTH, MOST_TILE, MOST_COLUMNS = 9.2, 1.2, 20  # inches, inches; of all panels together
ANSWER = "decoder's answer to one unit"
# Of a table: features that are named, and inches of a panel, of a unit and of a letter of a name.
MOST_NAMES, MOST_LETTERS = 30, 20
PANEL, LEAST_LINE, MOST_LINE, LETTER = 4.6, 0.09, 0.24, 0.068
FEW = 1000  # validation images; a unit that says nothing on fewer may do so on others


@torch.no_grad()
def numbers(scene: Scene, layer: int | None = None) -> Numbers:
    """Images of each unit, (panels, units, height, width), and which of these units are dead.

    Where there are more than a picture holds, the layer says which stand for all: the first ones,
    or of a convolution one for each channel.

    The first layer shows its weights, where its kind has some: those of the encoder, blank where a
    pixel hardly varies (such a weight hardly learns and keeps its initial noise), and those of the
    decoder.

    A deeper unit shows the decoder's answer to it: what changes in the image when the unit goes
    from its 1st to its 99th percentile while the others keep their mean. The other way, to look for
    the input that excites the unit most under a norm bound (Erhan et al. 2009, "Visualizing
    higher-layer features of a deep network"), shows less here: on MNIST the correlation of
    neighbouring pixels is 0.37 (stacked.yaml), 0.44 (sparse.yaml), 0.77 (visualize.yaml) there,
    and 0.72, 0.77, 0.90 here. The encoders are free where pixels are always black, so what
    excites them most is mostly noise.

    Args:
        scene: The phase.
        layer: Which layer, from 0; that of the phase where left out.
    """
    path = scene.path
    layer = len(path) - 1 if layer is None else layer
    path = path.below(layer + 1)
    units = scene.units(path)
    every = list(path[-1].units_to_show(MOST_UNITS))
    weights = path[0].first_weights() if layer == 0 else None
    if weights is not None:
        panels = _weights(weights, scene.probe.images, len(every))
    else:
        panels = {ANSWER: _answers(path, scene.codes_of(path), every)}
    images = torch.stack([*panels.values()]).cpu().numpy()
    n_dead, n = int(units.dead.sum()), len(units.dead)
    which = (
        f"all {n}" if len(every) == n else f"{'the first ' * (every[0] == 0)}{len(every)} of {n}"
    )
    return {
        "title": np.array(f"What layer {layer + 1} has learnt · {scene.title}"),
        "subtitle": np.array(
            f"{scene.dated(scene.probe.source_of_all)} · {which} units "
            f"· dead: {n_dead} of {n}{few(scene.probe.n_validation)}"
        ),
        "panels": texts(panels),
        "images": scene.probe.in_shape(images) if images.ndim == 3 else images,
        "dead": units.dead[every].numpy(),
        **({} if (table := scene.probe.table) is None else {"names": texts(table.feature_names)}),
    }


def few(n: int) -> str:
    """On how many validation images units were judged to be dead, where these are few."""
    return f" on {n} image{'s' * (n != 1)}" if n < FEW else ""


def _weights(weights: dict[str, Tensor], images: Tensor, shown: int) -> dict[str, Tensor]:
    varies = images.std(dim=0, correction=0) > LEAST_SPREAD
    # Of a decoder every weight has learnt: each is in use. So has a kernel: it is used everywhere.
    return {
        name: each[:shown].cpu() * (1 if name.startswith("decoder") or each.ndim > 2 else varies)
        for name, each in weights.items()
    }


def _answers(path: Stack, codes: Tensor, units: list[int]) -> Tensor:
    """What each of these units changes in the image, (units, pixels)."""
    ends = torch.tensor([0.01, 0.99], device=codes.device)
    low, high = torch.quantile(codes[:, units], ends, dim=0)
    every = torch.arange(len(units), device=codes.device)
    with_unit = codes.mean(dim=0).repeat(len(units), 1)
    without = with_unit.clone()
    with_unit[every, units], without[every, units] = high, low
    return path.decode(with_unit) - path.decode(without)


def draw(numbers: Numbers) -> Figure:
    """A panel for each kind of image, red above zero and blue below, dead units framed.

    Of a table a line for each unit, with the names of its features below where they are few.
    """
    if "names" in numbers and numbers["images"].shape[2] == 1:
        return _draw_lines(numbers)
    images, dead = numbers["images"], numbers["dead"]
    n_panels, n, height, width, *colours = images.shape
    columns = min(n, MOST_COLUMNS // n_panels)
    rows = math.ceil(n / columns)
    side, down = tile(height, width, min(MOST_TILE, WIDTH / n_panels / columns))
    wide, tall = side * columns, down * rows
    top = HEAD + 0.3
    figure = sheet(
        max(n_panels * (wide + 0.25) + 0.05, NARROW),
        top + tall + 0.4,
        str(numbers["title"]),
        str(numbers["subtitle"]),
    )
    scaled = _scaled(images)
    # Lines between images of many pixels are as wide as one of the picture at least, in white.
    line = max(1, math.ceil(1.5 * width / (side * DPI)))
    for k in range(n_panels):
        left = MARGIN + k * (wide + 0.25)
        box = Box(left, top, wide, tall)
        tiles = grid(scaled[k], columns, blank=1 if colours else 0, padding=line)
        show(figure, box, (tiles + 1) / 2 if colours else tiles, cmap="RdBu_r", low=-1)
        for unit in dead[:n].nonzero()[0]:
            frame(figure, box, (rows, columns), width / (width + line), int(unit))
        label(figure, left, top - 0.12, str(numbers["panels"][k]))
    key = "grey: 0 · brighter: above" if colours else "red: above 0 · blue: below 0"
    key += " · each on its own scale"
    key += " · framed: dead" * bool(dead[:n].any())
    label(figure, MARGIN, top + tall + 0.2, key, color=FAINT)
    return figure


def _scaled(images: NDArray[Any]) -> NDArray[Any]:
    """Each image, (panels, units, …), on its own scale: from -1 to 1."""
    greatest = np.abs(images).max(axis=tuple(range(2, images.ndim)), keepdims=True)
    return np.asarray(images / np.where(greatest > 0, greatest, 1))


def _draw_lines(numbers: Numbers) -> Figure:
    """A panel for each kind: a line a unit, a column a feature, gaps between the units."""
    images, dead, names = numbers["images"], numbers["dead"], numbers["names"]
    n_panels, n, _, n_features = images.shape
    named = n_features <= MOST_NAMES
    longest = min(MOST_LETTERS, max(map(len, names))) if named else 0
    line, top = min(MOST_LINE, max(LEAST_LINE, 5 / n)), HEAD + 0.3
    tall, beside = line * n, 0.35
    under = top + tall + 0.1 + LETTER * longest
    figure = sheet(
        max(NARROW, 2 * MARGIN + n_panels * (PANEL + beside)),
        under + 0.4,
        str(numbers["title"]),
        str(numbers["subtitle"]),
    )
    for k, scaled in enumerate(_scaled(images)[:, :, 0]):
        left = MARGIN + beside + k * (PANEL + beside)
        for unit in range(n):
            box = Box(left, top + unit * line, PANEL, line * 0.8)
            show(figure, box, scaled[unit][None], cmap="RdBu_r", low=-1)
            if line > 0.12:
                style = {"color": SECOND if dead[unit] else FAINT, "fontsize": SMALL}
                middle = top + (unit + 0.4) * line
                label(figure, left - 0.06, middle, str(unit), ha="right", **style)
            elif dead[unit]:
                frame(figure, box, (1, 1), 1.0, 0)
        label(figure, left, top - 0.12, str(numbers["panels"][k]))
        for feature, name in enumerate(names if named else ()):
            middle = left + (feature + 0.5) * PANEL / n_features
            words = name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"
            place = top + tall + 0.05
            label(figure, middle, place, words, rotation=90, ha="center", va="top", fontsize=SMALL)
    key = "red: above 0 · blue: below 0 · each on its own scale" + " · orange: dead" * bool(
        dead[:n].any()
    )
    label(figure, MARGIN, under + 0.2, key, color=FAINT)
    return figure


class Features(Picture):
    """See :func:`numbers` and :func:`draw`."""

    caption = (
        "First layer: its weights as images. Deeper layers: what changes in the image "
        "when one unit goes from its 1st to its 99th percentile, the others at their "
        "mean. Of a table: a line for each unit, a column for each feature."
    )
    rank = 30

    def numbers(self, scene: Scene) -> Numbers | None:
        """What it shows."""
        return numbers(scene)

    def draw(self, numbers: Numbers) -> Figure:
        """The figure."""
        return draw(numbers)
