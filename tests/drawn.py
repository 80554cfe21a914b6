"""What a figure holds: its images and its words."""

from __future__ import annotations

import numpy as np
from matplotlib.image import BboxImage


def images(figure) -> list[BboxImage]:
    """From left to right."""
    found = [artist for artist in figure.artists if isinstance(artist, BboxImage)]
    return sorted(found, key=lambda image: image.bbox.bounds[0])


def array(image) -> np.ndarray:
    return np.asarray(image.get_array())


def words_at(figure) -> dict[str, tuple[float, float]]:
    return {text.get_text(): text.get_position() for text in figure.texts}
