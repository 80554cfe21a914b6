"""A plane of codes, seen through the decoder: what it draws at each place, and what lies there."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from sae.devices import beside
from sae.pictures.numbers import Numbers, texts
from sae.pictures.picture import Picture
from sae.pictures.scene import Scene
from sae.pictures.style import (
    CLASSES,
    HEAD,
    SMALL,
    Box,
    class_colours,
    grid,
    label,
    name_axes,
    panel,
    sheet,
    short,
)

STEPS = 20
APART = 30  # images that fit beside each other, at least one such part from each other
SIDE, GAP = 5.4, 0.85
ENDS = (0.01, 0.99)  # probabilities of a prior up to which the plane is shown


def numbers(scene: Scene) -> Numbers | None:
    """The decoder's answer on a grid, (rows, columns, height, width), and the images' own codes.

    None for a code that is no plane. The grid spans the 5th to the 95th percentile of the codes.
    Where they have a prior it spans those of the prior, in equal steps of probability: the codes
    themselves are h = Φ⁻¹ of what is shown, Φ being the distribution function of N(0, 1) (Kingma &
    Welling 2014, figure 4).
    """
    if scene.path[-1].n_code != 2:
        return None
    codes, prior = scene.codes(), scene.path.has_prior
    if prior:
        codes = np.asarray(torch.special.ndtr(torch.from_numpy(codes)), np.float32)
        low, high = np.full(2, ENDS[0]), np.full(2, ENDS[1])
    else:
        low, high = np.percentile(codes, [5, 95], axis=0)
    high = np.where(high > low, high, low + 1)
    xs, ys = (np.linspace(low[k], high[k], STEPS) for k in range(2))
    corners = np.stack(np.meshgrid(xs, ys[::-1]), axis=-1).reshape(-1, 2)
    places = torch.from_numpy(corners)
    places = beside(scene.path, (torch.special.ndtri(places) if prior else places).float())
    with torch.no_grad():
        answers = scene.path.decode(places)
    inside = ((codes >= low) & (codes <= high)).all(axis=1)
    cell = np.floor((codes - low) / (high - low) * APART).clip(0, APART - 1).astype(int)
    _, first = np.unique(cell[inside], axis=0, return_index=True)
    apart = np.flatnonzero(inside)[np.sort(first)]
    return {
        "title": np.array(f"The plane of codes · {scene.title}"),
        "subtitle": np.array(f"{scene.subtitle}, {len(apart):,} of them shown"),
        "axes": texts(f"Φ(h[{k}])" if prior else f"h[{k}]" for k in range(2)),
        "low": low,
        "high": high,
        "answers": scene.probe.as_images(answers).reshape(STEPS, STEPS, *scene.probe.image_shape),
        "images": scene.probe.as_images(scene.probe.images[torch.from_numpy(apart)]),
        "codes": codes[apart],
        "labels": scene.probe.named(scene.probe.labels[apart]),
        "classes": np.unique(scene.probe.named(scene.probe.labels)),
    }


def draw(numbers: Numbers) -> Figure:
    """Left the decoder's answers, right the images at their codes, in the colour of their class."""
    low, high, answers = numbers["low"], numbers["high"], numbers["answers"]
    top = HEAD + 0.3
    title, subtitle = str(numbers["title"]), str(numbers["subtitle"])
    figure = sheet(2 * (SIDE + GAP) + 0.75, top + SIDE + 0.55, title, subtitle)
    half = (high - low) / (STEPS - 1) / 2
    drawn = grid(answers.reshape(-1, *answers.shape[2:]).clip(0, 1), STEPS, blank=0)
    # An image at an end of the range reaches beyond it by half its size.
    beyond = (high - low) / APART / 2
    parts = (
        (drawn, half, "what the decoder draws at each place"),
        (_placed(numbers), beyond, "images at their codes"),
    )
    for k, (picture, margin, name) in enumerate(parts):
        box = Box(GAP + k * (SIDE + GAP), top, SIDE, SIDE)
        axis = panel(figure, box)
        start, end = low - margin, high + margin
        extent = (start[0], end[0], start[1], end[1])
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1, extent=extent, aspect="auto")
        axis.set(xlim=(low[0] - half[0], high[0] + half[0]))
        axis.set(ylim=(low[1] - half[1], high[1] + half[1]))
        label(figure, box.left, top - 0.12, name)
        name_axes(figure, box, axis, *numbers["axes"])
    classes = numbers["classes"]
    if classes.tolist() == [""]:  # there are no labels
        return figure
    colours = class_colours(len(classes))
    label(figure, 2 * (SIDE + GAP) + 0.05, top + 0.1, "class", fontsize=SMALL)
    few = np.unique(np.linspace(0, len(classes) - 1, len(CLASSES)).astype(int))
    for row, k in enumerate(few):
        place = (2 * (SIDE + GAP) + 0.1, top + 0.4 + 0.25 * row)
        label(figure, *place, short(classes[k]), color=colours(int(k)), fontweight="bold")
    return figure


def _placed(numbers: Numbers) -> np.ndarray:
    """The images painted on one sheet, (pixels, pixels, 3), the middle of each at its code.

    Those in grey take the colour of their class, those in colour keep their own.
    """
    images, classes = numbers["images"], numbers["classes"]
    low, high = numbers["low"], numbers["high"]
    height, width = images.shape[1:3]
    across = np.array([width, height]) * APART
    paper = np.ones((int(across[1]) + height, int(across[0]) + width, 3), dtype=np.float32)
    colours = class_colours(len(classes))
    part = (numbers["codes"] - low) / (high - low)
    for place, image, name in zip(part, images, numbers["labels"], strict=True):
        colour = np.array(to_rgb(colours(int(np.searchsorted(classes, name)))))
        x, y = (np.array([place[0], 1 - place[1]]) * across).astype(int)
        spot, ink = paper[y : y + height, x : x + width], image.clip(0, 1)
        if ink.ndim == 3:
            spot[:] = ink
        else:
            np.minimum(spot, 1 - ink[..., None] * (1 - colour), out=spot)
    return paper


class Plane(Picture):
    """See :func:`numbers` and :func:`draw`."""

    caption = "The decoder's answer at each place of the plane of codes, and images at their codes."
    rank = 70
    of_phases = False
    needs_decoder = True

    def numbers(self, scene: Scene) -> Numbers | None:
        """What it shows."""
        return numbers(scene)

    def draw(self, numbers: Numbers) -> Figure:
        """The figure."""
        return draw(numbers)
