"""More samples out of those that there are: the base of every kind of augmentation."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from sae.place import Place


class Augmentation(ABC):
    """Samples that are a little different at each step of a training, and only there.

    A kind is one file; the arguments of its class are its options. What it draws, it draws from
    the place: a function of (seed, phase, epoch, step).
    """

    def check_fits(self, pixels: int, image_shape: tuple[int, ...] | None) -> None:  # noqa: B027
        """Raise :class:`~sae.errors.InputError` if it is not defined on such samples.

        Args:
            pixels: Values of a sample.
            image_shape: As below.
        """

    @abstractmethod
    def __call__(self, x: Tensor, place: Place, image_shape: tuple[int, ...] | None) -> Tensor:
        """The samples of a training batch, changed.

        Args:
            x: Samples, (batch, pixels), in the range of the data.
            place: Where in the run.
            image_shape: Height and width, and 3 where the images have colours; None where nobody
                knows.

        Returns:
            A new tensor of the shape of ``x``: what the network is given, and is to rebuild.
        """
