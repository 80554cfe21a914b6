"""What each unit of a code does over some inputs: how active it is, whether it says anything."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sae.nets.activations import RANGES
from sae.terms import sparsity

# An end of a sigmoid or a tanh is flat within this part of its range: there the slope is below 4 %
# of its greatest value. The same part of a range counts as no variation at all.
FLAT = 0.01


@dataclass(frozen=True)
class Units:
    """The units of a code over some inputs.

    Attributes:
        dead: Which say nothing on any input, (units,).
            sigmoid, tanh: the unit varies by less than 1 % of its range and is not always on.
            relu, leaky_relu, gelu, silu: it is never above 0, or does not vary.
            identity: it does not vary. (Where a unit has no greatest value, not to vary is to vary
            by less than 1 % of what the unit that varies most does.)
        always_on: Which are on for every input, (units,); none of them is dead.
            sigmoid, tanh: within 1 % of the upper end, so they say nothing either.
            relu, leaky_relu, gelu, silu: above 0; such a unit is linear, which is no fault.
            identity: None.
        mean: Mean value of each, (units,), double.
        activity: Mean activity of each, as :class:`~sae.terms.sparsity.Sparsity` has it, for
            sigmoid, tanh and relu; else None.
    """

    dead: Tensor
    always_on: Tensor | None
    mean: Tensor
    activity: Tensor | None


class UnitSums:
    """What is kept of batches of codes: sums and extremes, of a size that does not grow with them.

    Args:
        activation: Of the code.
    """

    def __init__(self, activation: str) -> None:
        self.activation, self.range = activation, RANGES[activation]
        self.n = 0
        self.low: Tensor | None = None

    def add(self, h: Tensor) -> None:
        """Take in a batch of codes, (batch, units)."""
        low, high = h.amin(dim=0).cpu(), h.amax(dim=0).cpu()
        if self.low is None:
            self.low, self.high = low, high
            self.sum = torch.zeros_like(low, dtype=torch.double)
        self.low, self.high = self.low.minimum(low), self.high.maximum(high)
        self.sum += h.sum(dim=0).cpu()
        self.n += len(h)

    def units(self) -> Units:
        """What they come to; one batch at least must have been added."""
        dead, always_on = self._dead_and_always_on()
        mean = self.sum / self.n
        known = self.activation in sparsity.ACTIVATIONS
        activity = sparsity.Sparsity.activity(mean[None], self.activation) if known else None
        return Units(dead, always_on, mean, activity)

    def _dead_and_always_on(self) -> tuple[Tensor, Tensor | None]:
        assert self.low is not None
        spread = self.high - self.low
        if has_ends(self.range):
            least, greatest = self.range
            always_on = place(self.low, self.range) > 1 - FLAT
            return (spread < FLAT * (greatest - least)) & ~always_on, always_on
        constant = spread <= FLAT * spread.max()
        if self.activation == "identity":
            return constant, None
        dead = constant | (self.high <= 0)
        return dead, (self.low > 0) & ~dead


def has_ends(value_range: tuple[float, float]) -> bool:
    """Whether a unit has a least and a greatest value, near which it is flat."""
    return all(abs(end) < float("inf") for end in value_range)


def place(values: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Where values lie in a range: 0 at its lower end, 1 at its upper."""
    if value_range == (0.0, 1.0):
        return values
    low, high = value_range
    return (values - low) / (high - low)
