"""The base of all augmentations."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from sae.place import Place


class Augmentation(ABC):
    """A small random change of the samples at each training step; not used in validation or test.

    Each kind is one file; the arguments of its class are its options. All random numbers must come
    from ``place``, which depends only on (seed, phase, epoch, step).
    """

    def check_fits(self, pixels: int, image_shape: tuple[int, ...] | None) -> None:  # noqa: B027
        """Raise :class:`~sae.errors.InputError` if it is not defined on such samples.

        Args:
            pixels: Number of values of a sample.
            image_shape: Height and width, and 3 for colours; None if it is unknown.
        """

    @abstractmethod
    def __call__(self, x: Tensor, place: Place, image_shape: tuple[int, ...] | None) -> Tensor:
        """Change the samples of a training batch.

        Args:
            x: Samples, (batch, pixels), in the range of the data.
            place: The step of the run, as a source of random numbers.
            image_shape: Height and width, and 3 for colours; None if it is unknown.

        Returns:
            A new tensor of the shape of ``x``, both the input and the target of the network.
        """
