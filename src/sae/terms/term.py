"""The base of all penalties on a code."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from sae.figure import Figure
from sae.nets.layer import Autoencoder, Code


# A dataclass without fields, so that subclasses may be dataclasses whose fields are their options.
@dataclass(frozen=True, eq=False)
class Term(metaclass=ABCMeta):
    """A penalty on a code. Each kind is one file; the arguments of its class are its options.

    Attributes:
        name: Key of its value among the losses of an epoch, and in a test if :meth:`figures` has
            this key.
        called: Its name in the label of a sum of losses: ``SSE per image + penalty``.
        of_the_batch: Whether the penalty is a function of a mean over the whole batch, such as the
            mean activity of a unit, instead of a mean of one penalty per sample. Then its statistic
            is averaged over all processes first, and a last batch of n samples (others have N)
            adds n/N of its penalty, because a mean over few samples is noisy.
    """

    name: ClassVar[str]
    called: ClassVar[str] = "penalty"
    of_the_batch: ClassVar[bool] = False

    def check_fits(self, net: Autoencoder) -> None:  # noqa: B027  # most fit all
        """Raise :class:`~sae.errors.InputError` if it is not defined on codes of ``net``."""

    @abstractmethod
    def statistic(self, net: Autoencoder, x: Tensor, code: Code) -> Tensor:
        """Compute the statistic of the code that is penalised: a mean over the batch.

        Args:
            net: The layer or stack that computed the code.
            x: Its inputs, (batch, n_in), corrupted or not.
            code: Its code.

        Returns:
            One or more numbers, (k,). In validation they are averaged over all samples.
        """

    @abstractmethod
    def value(self, statistic: Tensor, epoch: int | None) -> Tensor:
        """Compute the weighted penalty from the statistic.

        Args:
            statistic: The result of :meth:`statistic`, (k,).
            epoch: The epoch of a training step, from 0; None in validation, which uses the final
                weight if the weight grows.

        Returns:
            A scalar, which is added to the loss.
        """

    def shown(self, statistic: Tensor) -> dict[str, Tensor]:
        """The scalars of the statistic that are logged, by name."""
        return {}

    def figures(self) -> Mapping[str, Figure]:
        """Labels and formats of the numbers of :meth:`shown`, and of the penalty if wanted."""
        return {}
