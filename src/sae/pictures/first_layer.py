"""What the first layer of the finished stack has learnt."""

from __future__ import annotations

from matplotlib.figure import Figure

from sae.pictures import features
from sae.pictures.features import draw
from sae.pictures.numbers import Numbers
from sae.pictures.picture import Picture
from sae.pictures.scene import Scene


def numbers(scene: Scene) -> Numbers | None:
    """As in :mod:`~sae.pictures.features`; None where that is the layer of the phase."""
    return features.numbers(scene, layer=0) if len(scene.path) > 1 else None


class FirstLayer(Picture):
    """See :func:`numbers` and :func:`draw`."""

    caption = "The weights of the first layer as images, after fine-tuning."
    rank = 40
    of_phases = False

    def numbers(self, scene: Scene) -> Numbers | None:
        """What it shows."""
        return numbers(scene)

    def draw(self, numbers: Numbers) -> Figure:
        """The figure."""
        return draw(numbers)
