"""Two numbers an image, twice: the first two principal components, and a code of two units.

Hinton & Salakhutdinov (2006), "Reducing the Dimensionality of Data with Neural Networks", Science
313, figure 3.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from sae.pictures import codes
from sae.pictures.numbers import Numbers
from sae.pictures.picture import Picture
from sae.pictures.scene import Scene

SIDE = 5.4  # inches


class BesidePCA(Picture):
    """The two panels of the paper, for codes of two units."""

    caption = (
        "The same images by two principal components of their pixels, and by a code of two units: "
        "figure 3 of Hinton & Salakhutdinov (2006)."
    )
    rank = 65
    of_phases = False

    def numbers(self, scene: Scene) -> Numbers | None:
        """As :func:`sae.pictures.codes.numbers`, the first plane and the last: (2, n, 2)."""
        if scene.path[-1].n_code != 2:
            return None
        numbers = codes.numbers(scene)
        ends = {key: numbers[key][[0, -1]] for key in ("planes", "axes", "points", "accuracy")}
        return {**numbers, **ends, "title": np.array(f"PCA, and a code of 2 · {scene.title}")}

    def draw(self, numbers: Numbers) -> Figure:
        """The two planes, larger than in the picture of codes."""
        return codes.draw(numbers, SIDE)
