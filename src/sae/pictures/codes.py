"""The code as a map, coloured by class, beside what PCA makes of the pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sae.look.knn import N_NEIGHBOURS
from sae.look.pca import fit_pca
from sae.pictures.numbers import Numbers, texts
from sae.pictures.picture import Picture
from sae.pictures.scene import Probe, Scene
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
from sae.text import cell

Array = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]
MOST_LEGEND = 20
LEAST_VOTED = 50  # of fewer images a vote among the nearest says nothing
MOST_EXACT = 500
# All points span so many times what most of them do (of a normal distribution twice).
FAR = 4
SIDE, GAP = 3.7, 0.85


@dataclass(frozen=True)
class Plane:
    """A map of the images.

    Attributes:
        name: Of what, for people.
        points: Where the images lie, (n, 2).
        axes: Names of the two axes.
        accuracy: Percent of the images whose class is that of most of their nearest 5 others in
            the plane; nan where there are fewer than 50, or fewer than two classes.
    """

    name: str
    points: Array
    axes: tuple[str, str]
    accuracy: float


def numbers(scene: Scene) -> Numbers:
    """Places of the same images in each plane, (planes, n, 2), the names of the axes, labels."""
    probe, before = scene.probe, scene.code_before
    labels = probe.labels if probe.labelled else None
    planes = [scene.once("plane of the pixels", lambda: of_pixels(probe))]
    if before is not None:
        name = "code before fine-tuning"
        planes.append(scene.once(name, lambda: of_codes(name, before, labels)))
    name = "code" if before is None else "code after fine-tuning"
    now = of_codes(name, scene.codes(), labels)
    planes.append(_turned(now, planes[-1]))
    units = scene.path[-1].n_code
    through = f" · codes of {units} units by PCA" if units > 2 else ""
    return {
        "title": np.array(f"Codes · {scene.title}"),
        "subtitle": np.array(f"{scene.subtitle}, the same in each plane{through}"),
        "planes": texts(plane.name for plane in planes),
        "axes": np.array([plane.axes for plane in planes], dtype=np.str_),
        "points": np.stack([plane.points for plane in planes]).astype(np.float32),
        "accuracy": np.array([plane.accuracy for plane in planes]),
        "labels": probe.named(probe.labels),
    }


def of_pixels(probe: Probe) -> Plane:
    """The images by their two first principal components, those of the training images."""
    pca = probe.pca
    points, axes = _principal(pca.transform(probe.images.numpy(), 2), pca.variance_share)
    return Plane("PCA of the pixels", points, axes, _vote(points, probe.labels))


def of_codes(name: str, codes: Array, labels: Labels | None) -> Plane:
    """The images by their codes, (n, units), as :func:`in_plane` has them."""
    points, axes = in_plane(codes, labels)
    # A label is no place to be voted on.
    return Plane(name, points, axes, _vote(codes if codes.shape[1] == 1 else points, labels))


def in_plane(codes: Array, labels: Labels | None) -> tuple[Array, tuple[str, str]]:
    """Where codes (n, units) lie in a plane, (n, 2), and the names of its axes.

    Codes of two units lie as they are, those of one unit over their label (without labels over
    their number), wider ones by their first two principal components.
    """
    axes = ("h[0]", "h[1]")
    if codes.shape[1] == 1:
        over, what = (np.arange(len(codes)), "number") if labels is None else (labels, "label")
        return np.column_stack([codes[:, 0], over]), ("h[0]", what)
    if codes.shape[1] == 2 or len(codes) < 2:
        return codes[:, :2], axes
    if codes.shape[1] <= MOST_EXACT:
        pca = fit_pca(codes, 2)
        return _principal(pca.transform(codes, 2), pca.variance_share)
    return _principal(*_nearly(codes))


def _nearly(codes: Array) -> tuple[Array, Array]:
    """Places along two nearly principal components, and their shares of the variance.

    The exact way takes a time that grows with the cube of the units, for each picture.
    """
    from sklearn.decomposition import PCA

    # In double precision and about its mean: a code may vary little, and far from 0.
    centred = codes.astype(np.float64) - codes.mean(axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore"):  # a collapsed code has no variance to share
        pca = PCA(2, svd_solver="randomized", random_state=0).fit(centred)
    return pca.transform(centred), np.nan_to_num(pca.explained_variance_ratio_)


def _principal(points: Array, shares: Array) -> tuple[Array, tuple[str, str]]:
    """Points along two axes, and their names with the shares of the variance in [0, 1]."""
    points = np.pad(points, ((0, 0), (0, max(0, 2 - points.shape[1]))))
    first, second, *_ = [*(100 * shares), 0.0, 0.0]
    return points, (f"PC1 ({first:.0f} % of variance)", f"PC2 ({second:.0f} %)")


def zoom(axis: Axes, points: Array, tail: float = 5, far: float = FAR) -> int:
    """Show what most of the points span, where a few lie far out; how many are left out.

    Args:
        axis: Where the points are drawn.
        points: (n, 2).
        tail: Percent of the points, at either end of each axis, that may be far out.
        far: All are shown where they span at most so many times what the others do.
    """
    low, high = np.percentile(points, [tail, 100 - tail], axis=0)
    span = high - low
    if (np.ptp(points, axis=0) <= far * span).all():
        return 0
    low, high = low - 0.25 * span, high + 0.25 * span
    if span[0] > 0:
        axis.set_xlim(low[0], high[0])
    if span[1] > 0:
        axis.set_ylim(low[1], high[1])
    inside = ((points >= low) & (points <= high)) | (span <= 0)
    return int((~inside.all(axis=1)).sum())


def _turned(plane: Plane, before: Plane) -> Plane:
    """Give components, whose sign means nothing, that of the plane to the left."""
    dots = (plane.points * before.points).sum(axis=0)
    free = np.array([axis.startswith("PC") for axis in plane.axes])
    return replace(plane, points=plane.points * np.where(free & (dots < 0), -1, 1))


def _vote(points: Array, labels: Labels | None) -> float:
    """The accuracy where there are labels, and images enough for it to say something."""
    return float("nan") if labels is None or len(points) < LEAST_VOTED else accuracy(points, labels)


def accuracy(points: Array, labels: Labels) -> float:
    """See :class:`Plane`."""
    from sklearn.neighbors import KNeighborsClassifier

    if len(points) <= N_NEIGHBOURS or len(np.unique(labels)) < 2:
        return float("nan")
    model = KNeighborsClassifier(N_NEIGHBOURS).fit(points, labels)
    nearest = labels[model.kneighbors(return_distance=False)]  # of itself no point is a neighbour
    classes = np.unique(labels)
    votes = (nearest[:, :, None] == classes).sum(axis=1)
    return 100 * float((classes[votes.argmax(axis=1)] == labels).mean())


def draw(numbers: Numbers, side: float = SIDE) -> Figure:
    """The planes side by side, ``side`` inches each way; of labels a colour bar."""
    labels, planes = numbers["labels"], numbers["points"]
    classes = np.unique(labels)
    colours = class_colours(len(classes))
    n, top = len(planes), HEAD + 0.3
    known = labels.dtype.kind != "U" or bool((labels != "").any())
    right = n * (side + GAP) + 0.12
    figure = sheet(
        right + (0.9 if known else 0.1),
        top + side + 0.55,
        str(numbers["title"]),
        str(numbers["subtitle"]),
    )
    size = min(4.5, max(1.8, 90 / np.sqrt(len(labels))))
    for k, (points, axes) in enumerate(zip(planes, numbers["axes"], strict=True)):
        box = Box(GAP + k * (side + GAP), top, side, side)
        axis = panel(figure, box)
        for place, name in enumerate(classes):
            x, y = points[labels == name].T
            axis.plot(x, y, "o", ms=size, mew=0, color=colours(place), label=str(name))
        out = zoom(axis, points)
        axis.locator_params(nbins=4)
        percent = numbers["accuracy"][k]
        voted = "" if np.isnan(percent) else f": 5-NN in this plane {percent:.0f} %"
        label(figure, box.left, top - 0.12, f"{numbers['planes'][k]}{voted}")
        beyond = f" · {out} of {len(points):,} lie outside" if out else ""
        name_axes(figure, box, axis, f"{axes[0]}{beyond}", str(axes[1]))
    if not known:
        return figure
    label(figure, right, top - 0.12, "class", fontsize=SMALL)
    bar = np.arange(len(classes))[::-1, None]
    show(figure, Box(right, top, 0.14, side), bar, cmap=colours, high=len(classes) - 1)
    few = np.unique(np.linspace(0, len(classes) - 1, MOST_LEGEND).astype(int))
    for place in few:
        middle = top + side * (1 - (place + 0.5) / len(classes))
        label(figure, right + 0.2, middle, short(classes[place]), fontsize=SMALL)
    return figure


def table(numbers: Numbers, codes: Array, inputs: str = "pixels") -> tuple[list[str], NDArray[Any]]:
    """The same for a CSV: names of the columns, and a row an image, its whole code at the end.

    Without labels there is no column of them.

    Args:
        numbers: See :func:`numbers`.
        codes: The codes, (n, units).
        inputs: What the first plane shows, for the names of its columns.
    """
    planes = numbers["points"]
    keys = [inputs, "before", "code"] if len(planes) == 3 else [inputs, "code"]
    heads = [f"{key}_{axis}" for key in keys for axis in "xy"]
    heads += [f"h{k}" for k in range(codes.shape[1])]
    labels = numbers["labels"]
    if labels.dtype.kind == "U" and not (labels != "").any():
        return heads, np.column_stack([*planes, codes])
    heads = ["label", *heads]
    if labels.dtype.kind == "U":
        labels = np.array([cell(name) for name in labels.tolist()], dtype=object)
    return heads, np.column_stack([labels, *planes, codes])


class Codes(Picture):
    """See :func:`numbers` and :func:`draw`."""

    caption = (
        "The same images by PCA of their pixels and by their code: as it is in two "
        "dimensions, through PCA where it has more. 5-NN: how often a vote of the nearest "
        "five in that plane is right; not said of fewer than 50, or without labels."
    )
    rank = 60
    slides = True

    def numbers(self, scene: Scene) -> Numbers | None:
        """What it shows."""
        return numbers(scene)

    def draw(self, numbers: Numbers) -> Figure:
        """The figure."""
        return draw(numbers)

    def table(self, numbers: Numbers, scene: Scene) -> tuple[list[str], NDArray[Any]] | None:
        """Of the finished stack: places, labels and whole codes."""
        inputs = "pixels" if scene.module.words is str else "inputs"
        return table(numbers, scene.codes(), inputs) if scene.is_stack else None
