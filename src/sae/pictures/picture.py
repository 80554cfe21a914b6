"""The base of every kind of picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from matplotlib.figure import Figure
from numpy.typing import NDArray

from sae.pictures.numbers import Numbers
from sae.pictures.scene import Scene

ROOM = "sae.pictures"


class Picture(ABC):
    """One kind of picture, a file a kind. It is found by being there.

    Attributes:
        caption: What it shows, in a sentence or two.
        rank: Its place among the others: lower comes first.
        of_phases: Whether it is drawn of every phase, or of the finished stack alone.
        slides: Whether it is drawn while a phase trains, too.
        needs_decoder: Whether it shows reconstructions: it is left out where an objective trains
            none.
    """

    caption: ClassVar[str] = ""
    rank: ClassVar[int] = 1000
    of_phases: ClassVar[bool] = True
    slides: ClassVar[bool] = False
    needs_decoder: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Its file, and its tag below the phase: the name of its module, or of a user's class."""
        module = type(self).__module__
        ours = module.startswith(f"{ROOM}.")
        return module.rpartition(".")[2] if ours else type(self).__name__.lower()

    @abstractmethod
    def numbers(self, scene: Scene) -> Numbers | None:
        """What it shows of a scene, as arrays; None where that has no meaning."""

    @abstractmethod
    def draw(self, numbers: Numbers) -> Figure:
        """The figure of these numbers alone."""

    def table(self, numbers: Numbers, scene: Scene) -> tuple[list[str], NDArray[Any]] | None:
        """The same for a CSV of the same name: heads and rows; None where it has none."""
        return None
