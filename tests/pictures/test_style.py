from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from sae.pictures.style import CLASSES


def simulated(colour: str, kind: str) -> np.ndarray:
    """A colour as those see it who lack a cone, after Viénot et al. (1999), in linear RGB."""
    matrix = {
        "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
        "none": np.eye(3),
    }[kind]
    linear = np.array(to_rgb(colour)) ** 2.2
    return np.clip(np.array(matrix) @ linear, 0, 1) ** (1 / 2.2)


@pytest.mark.parametrize("kind", ["none", "protan", "deutan"])
def test_classes_stay_apart_for_colour_blind_eyes(kind):
    colours = [simulated(colour, kind) for colour in CLASSES]
    apart = min(np.abs(a - b).sum() for a, b in itertools.combinations(colours, 2))
    assert apart > 0.1, "matplotlib's tab10 has 0.03 and 0.02 here"
