"""How all pictures look: sizes in inches from the upper left corner, one ink, safe colours.

Layouts are given, not computed: matplotlib's own layout engines draw each figure twice.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import torch
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import BboxImage
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox, TransformedBbox
from numpy.typing import NDArray
from torchvision.utils import make_grid

DPI = 100
INK, FAINT = "#1a1a1a", "#6b6b6b"
# What stands out: two colours that those who see red and green alike still tell apart.
FIRST, SECOND = "#0072b2", "#d55e00"
TITLE, TEXT, SMALL = 11, 9, 8
MARGIN, THIN, NARROW = 0.15, 0.3, 7.2  # inches: beside, least of an image, least of a picture
HEAD = 0.58  # inches that the title takes

# Ten colours that stay apart for colour-blind readers and in grey: Petroff (2021), "Accessible
# Color Sequences for Data Visualization", arXiv:2107.02270.
CLASSES = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"]
CLASSES += ["#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"]


def sheet(width: float, height: float, title: str, subtitle: str = "") -> Figure:
    """An empty figure of so many inches, its title in the upper left corner.

    The title fills the first :data:`HEAD` inches; panels go below.
    """
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    style: dict[str, Any] = {"va": "top"}
    words, size = _fitted(title, TITLE, width, letter=0.76)
    label(figure, MARGIN, 0.10, words, fontsize=size, fontweight="bold", **style)
    words, size = _fitted(subtitle, TEXT, width)
    label(figure, MARGIN, 0.34, words, fontsize=size, color=FAINT, **style)
    return figure


def _fitted(words: str, size: float, width: float, letter: float = 0.6) -> tuple[str, float]:
    """Words and their size for a line of a figure so wide: smaller, and at last cut short."""
    letters = (width - 2 * MARGIN) * 72 / letter  # that a line takes, of one point each
    size = max(SMALL, min(size, letters / max(1, len(words))))
    most = int(letters / size)
    return (words if len(words) <= most else f"{words[: most - 1]}…"), size


@dataclass(frozen=True)
class Box:
    """A place in inches, counted from the upper left corner of a figure."""

    left: float
    top: float
    width: float
    height: float

    def within(self, figure: Figure) -> Bbox:
        """The same as matplotlib has it: in fractions of the figure, from its lower left corner."""
        width, height = figure.get_size_inches()
        bottom = 1 - (self.top + self.height) / height
        return Bbox.from_bounds(self.left / width, bottom, self.width / width, self.height / height)


def panel(figure: Figure, box: Box) -> Axes:
    """Axes for a chart."""
    axis = figure.add_axes(box.within(figure).bounds)
    axis.tick_params(labelsize=SMALL, colors=INK, length=3)
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_formatter(lambda value, _: f"{value:.3g}".replace("-", "−"))
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    return axis


def grid(images: NDArray[Any], columns: int, blank: float = 1.0, padding: int = 1) -> NDArray[Any]:
    """Images in rows of so many, with lines of ``blank`` between them.

    Args:
        images: (n, height, width), or (n, height, width, 3) in colour.
        columns: How many in a row.
        blank: Value of the lines.
        padding: How wide they are.
    """
    if len(images) == 1:  # torchvision leaves the lines out
        beside = [(padding, padding), (padding, padding), (0, 0)][: images.ndim - 1]
        return np.pad(images[0], beside, constant_values=blank)
    coloured = images.ndim == 4
    channels = torch.from_numpy(images if coloured else images[..., None]).permute(0, 3, 1, 2)
    tiles = make_grid(channels, columns, padding=padding, pad_value=blank)
    return tiles.permute(1, 2, 0).numpy() if coloured else tiles[0].numpy()


def square(images: NDArray[Any], blank: float = 1.0) -> NDArray[Any]:
    """Images as in :func:`grid`, as many in a row as rows, or one more; blank ones at the end."""
    columns = math.isqrt(len(images) - 1) + 1
    missing = np.full((-len(images) % columns, *images.shape[1:]), blank, images.dtype)
    return grid(np.concatenate([images, missing]), columns, blank)


def side_by_side(blocks: Sequence[NDArray[Any]], gap: int, blank: float = 1.0) -> NDArray[Any]:
    """Arrays of one height side by side, ``gap`` columns of ``blank`` between them."""
    height, _, *colours = blocks[0].shape
    between = np.full((height, gap, *colours), blank, dtype=blocks[0].dtype)
    parts = [part for block in blocks for part in (between, block)]
    return np.concatenate(parts[1:], axis=1)


def show(
    figure: Figure,
    box: Box,
    array: NDArray[Any],
    cmap: str | Colormap = "gray",
    low: float = 0,
    high: float = 1,
) -> None:
    """An array as an image, without axes: those take longer to draw than the image itself.

    An array (height, width, 3) shows its own colours, from 0 to 1; others those of ``cmap``.
    """
    place = TransformedBbox(box.within(figure), figure.transFigure)
    norm = Normalize(low, high)
    image = BboxImage(place, cmap=cmap, norm=norm, interpolation="nearest", origin="upper")
    image.set_data(array if array.ndim == 2 else array.clip(0, 1))
    figure.add_artist(image)


def frame(figure: Figure, box: Box, tiles: tuple[int, int], size: float, index: int) -> None:
    """Frame an image of a grid.

    Args:
        figure: Where it is.
        box: Of the whole grid.
        tiles: Rows and columns of the grid.
        size: Of an image in relation to its part of the grid, which has a line beside it.
        index: Which image.
    """
    height, width = box.height / tiles[0], box.width / tiles[1]
    row, column = divmod(index, tiles[1])
    inset = (1 - size) / 2 + 0.02
    inner = Box(
        box.left + (column + inset) * width,
        box.top + (row + inset) * height,
        width * (1 - 2 * inset),
        height * (1 - 2 * inset),
    )
    bounds = inner.within(figure)
    style: dict[str, Any] = {"fill": False, "ec": SECOND, "lw": 1.8}
    corner = (bounds.x0, bounds.y0)
    box_of = Rectangle(corner, bounds.width, bounds.height, transform=figure.transFigure, **style)
    figure.add_artist(box_of)


def label(figure: Figure, left: float, top: float, words: str, **style: Any) -> None:
    """Words at a place in inches from the upper left corner."""
    width, height = figure.get_size_inches()
    style = {"fontsize": TEXT, "color": INK, "va": "center", **style}
    figure.text(left / width, 1 - top / height, words, **style)


def name_axes(figure: Figure, box: Box, axis: Axes, x: str, y: str, letter: float = 0.066) -> None:
    """Names of a panel's axes, once its limits are known (matplotlib would draw it twice).

    ``letter`` is how many inches a letter of the numbers at the vertical axis takes.
    """
    middle, below = box.left + box.width / 2, box.top + box.height + 0.38
    label(figure, middle, below, x, ha="center", fontsize=SMALL)
    low, high = axis.get_ylim()
    ticks = [tick for tick in axis.get_yticks() if low <= tick <= high]
    longest = max((len(axis.yaxis.get_major_formatter()(tick, 0)) for tick in ticks), default=0)
    beside, middle = box.left - 0.19 - letter * longest, box.top + box.height / 2
    label(figure, beside, middle, y, ha="center", rotation=90, fontsize=SMALL)


def short(name: Any, letters: int = 6) -> str:
    """A class as it is called, cut to so many letters, which fit beside a picture."""
    words = str(name)
    return words if len(words) <= letters else f"{words[: letters - 1]}…"


def tile(height: int, width: int, side: float) -> tuple[float, float]:
    """Inches across and down for an image: the longer one ``side``, none too thin for a label."""
    across, down = (side * length / max(height, width) for length in (width, height))
    return max(across, THIN), max(down, THIN)


def class_colours(n_classes: int) -> Colormap:
    """A colour for each class; beyond ten, where no palette is safe, a scale."""
    if n_classes <= len(CLASSES):
        return ListedColormap(CLASSES[: max(1, n_classes)])
    return colormaps["cividis"].resampled(n_classes)


@dataclass(frozen=True)
class PNG:
    """A picture as it lies in a file.

    Attributes:
        content: The file's bytes.
        height: In pixels.
        width: In pixels.
    """

    content: bytes
    height: int
    width: int


def render(figure: Figure, words: Callable[[str], str] = str) -> PNG:
    """Draw a figure. It belongs to no pyplot: nothing is left open.

    Args:
        figure: What to draw.
        words: What its words on images become, for samples that are none.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a class may be called $5 to $9
        if words is not str:
            text.set_text(words(text.get_text()))
    canvas = FigureCanvasAgg(figure)
    with rc_context({"text.hinting": "none"}):  # text takes most of the time, hinted even more
        canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    file = io.BytesIO()
    # Level 3 takes half the time of the default, for files that are 4 % larger.
    PIL.Image.fromarray(pixels).save(file, "png", compress_level=3)
    return PNG(file.getvalue(), *pixels.shape[:2])
