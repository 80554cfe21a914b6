"""What is added to a loss: the base of every kind of penalty on a code."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from sae.figure import Figure
from sae.nets.layer import Autoencoder, Code


# A dataclass without fields, so that a kind may be one too whose options a config gives by name.
@dataclass(frozen=True, eq=False)
class Term(metaclass=ABCMeta):
    """A penalty on a code. A kind is one file; the arguments of its class are its options.

    Attributes:
        name: What its value is called among the losses of an epoch; in a test, too, where
            :meth:`figures` has it.
        called: What it is called where a sum of losses is named: ``SSE per image + penalty``.
        of_the_batch: Whether it is a function of the mean over a whole batch, such as the mean
            activity of a unit, and not a mean of what each sample costs. Its statistic is then
            gathered over all processes before it is valued, and a last batch of n samples where
            others have N counts n/N of it, for a mean of few says little.
    """

    name: ClassVar[str]
    called: ClassVar[str] = "penalty"
    of_the_batch: ClassVar[bool] = False

    def check_fits(self, net: Autoencoder) -> None:  # noqa: B027  # most fit any
        """Raise :class:`~sae.errors.InputError` if it is not defined on codes of ``net``."""

    @abstractmethod
    def statistic(self, net: Autoencoder, x: Tensor, code: Code) -> Tensor:
        """What is penalised: a mean over the batch.

        Args:
            net: What has encoded: a layer, or the stack.
            x: Its inputs, (batch, n_in), corrupted or not.
            code: Its code.

        Returns:
            One number or several, (k,). In validation it is averaged over all samples.
        """

    @abstractmethod
    def value(self, statistic: Tensor, epoch: int | None) -> Tensor:
        """What it adds to the loss, its weight included.

        Args:
            statistic: Of :meth:`statistic`, (k,).
            epoch: The epoch of a training step, from 0; None in validation, where a weight that
                grows is at its end.

        Returns:
            A scalar.
        """

    def shown(self, statistic: Tensor) -> dict[str, Tensor]:
        """What of the statistic is a figure of its own, by name: scalars."""
        return {}

    def figures(self) -> Mapping[str, Figure]:
        """How those of :meth:`shown` are called, and the value itself where a test is to tell."""
        return {}
