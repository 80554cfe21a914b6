"""What a figure holds: its images and its words."""

from __future__ import annotations

import itertools

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import BboxImage


def images(figure) -> list[BboxImage]:
    """From left to right."""
    found = [artist for artist in figure.artists if isinstance(artist, BboxImage)]
    return sorted(found, key=lambda image: image.bbox.bounds[0])


def array(image) -> np.ndarray:
    return np.asarray(image.get_array())


def words_at(figure) -> dict[str, tuple[float, float]]:
    return {text.get_text(): text.get_position() for text in figure.texts}


def texts(figure):
    """All words of a figure with their places, in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.canvas.draw()
    found = list(figure.texts)
    for axis in figure.axes:
        found += [*axis.texts, axis.xaxis.label, axis.yaxis.label, axis.title]
        for side in (axis.xaxis, axis.yaxis):
            low, high = sorted(side.get_view_interval())
            found += [
                tick.label1 for tick in side.get_major_ticks() if low <= tick.get_loc() <= high
            ]
        legend = axis.get_legend()
        found += legend.get_texts() if legend else []
    for legend in figure.legends:
        found += [*legend.get_texts(), legend.get_title()]
    return [
        (text.get_text(), text.get_window_extent(renderer))
        for text in found
        if text.get_text().strip() and text.get_visible()
    ]


def check_words(name: str, figure) -> None:
    width, height = figure.get_size_inches() * figure.dpi
    places = texts(figure)
    for words, box in places:
        inside = box.x0 > -1 and box.x1 < width + 1 and box.y0 > -1 and box.y1 < height + 1
        assert inside, f"{name}: {words!r} leaves the picture"
    for (a, first), (b, second) in itertools.combinations(places, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        up = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert not (across > 1 and up > 1), f"{name}: {a!r} overlaps {b!r}"
    assert max(width, height) < 4000, f"{name} is {width} by {height} pixels"
