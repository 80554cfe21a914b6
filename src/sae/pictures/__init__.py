"""Pictures: what survives the code, what the layers have learnt, how the classes lie.

Each is two functions: ``numbers`` looks at networks and gives arrays, ``draw`` makes a figure of
these arrays alone. So a picture can be drawn again, or otherwise, from the ``.npz`` beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from sae.pictures import (
    activity,
    codes,
    confusion,
    denoising,
    features,
    interpolation,
    neighbours,
    plane,
    reconstructions,
)
from sae.pictures.numbers import Numbers
from sae.pictures.scene import Probe, Scene

__all__ = ["OF_PHASES", "OF_THE_STACK", "Numbers", "Picture", "Probe", "Scene"]


@dataclass(frozen=True)
class Picture:
    """One kind of picture.

    Attributes:
        name: Its file, and its tag below the phase.
        numbers: What it shows, of a scene; None where that has no meaning.
        draw: The figure of these numbers.
        slides: Whether it is drawn while the phase trains, too.
    """

    name: str
    numbers: Callable[[Scene], Numbers | None]
    draw: Callable[[Numbers], Figure]
    slides: bool = False


# Of every phase, while it trains and at its end.
OF_PHASES = (
    Picture("reconstructions", reconstructions.numbers, reconstructions.draw, slides=True),
    Picture("features", features.numbers, features.draw),
    Picture("activity", activity.numbers, activity.draw),
    Picture("codes", codes.numbers, codes.draw, slides=True),
    Picture("denoising", denoising.numbers, denoising.draw),
)
# Of the finished stack alone.
OF_THE_STACK = (
    Picture("first_layer", features.of_first_layer, features.draw),
    Picture("plane", plane.numbers, plane.draw),
    Picture("interpolation", interpolation.numbers, interpolation.draw),
    Picture("confusion", confusion.numbers, confusion.draw),
    Picture("neighbours", neighbours.numbers, neighbours.draw),
)
