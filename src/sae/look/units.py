"""Statistics of each unit of a code over some inputs: activity, dead units, units always on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sae.nets.activations import RANGES
from sae.terms import sparsity

# A value this close to an end of a sigmoid or tanh, as a part of its range, is at a flat end: the
# slope is below 4 % of the largest slope. A variation below this part of the range counts as none.
FLAT = 0.01


@dataclass(frozen=True)
class Units:
    """The units of a code over some inputs.

    Attributes:
        dead: Which units never react to the input, bool, (units,).
            sigmoid, tanh: the unit varies by less than 1 % of its range and is not always on.
            relu, leaky_relu, gelu, silu: it is never above 0, or does not vary.
            identity: it does not vary. (For units without a largest value, not to vary means to
            vary by less than 1 % of the variation of the unit that varies most.)
        always_on: Which units are on for every input, bool, (units,); none of them is dead.
            sigmoid, tanh: within 1 % of the upper end, so they carry no information.
            relu, leaky_relu, gelu, silu: above 0; such a unit is linear, which is not a problem.
            identity: None.
        mean: Mean value of each unit, (units,), double.
        activity: Mean activity of each unit, as defined in :class:`~sae.terms.sparsity.Sparsity`,
            for sigmoid, tanh and relu; else None.
    """

    dead: Tensor
    always_on: Tensor | None
    mean: Tensor
    activity: Tensor | None


class UnitSums:
    """Sums and extremes over batches of codes; their size does not grow with the batches.

    Args:
        activation: Activation of the code.
    """

    def __init__(self, activation: str) -> None:
        self.activation, self.range = activation, RANGES[activation]
        self.n = 0
        self.low: Tensor | None = None

    def add(self, h: Tensor) -> None:
        """Add a batch of codes, (batch, units)."""
        low, high = h.amin(dim=0).cpu(), h.amax(dim=0).cpu()
        if self.low is None:
            self.low, self.high = low, high
            self.sum = torch.zeros_like(low, dtype=torch.double)
        self.low, self.high = self.low.minimum(low), self.high.maximum(high)
        self.sum += h.sum(dim=0).cpu()
        self.n += len(h)

    def units(self) -> Units:
        """Return the statistics; at least one batch must have been added."""
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
    """Return whether a unit has a smallest and a largest value, near which it is flat."""
    return all(abs(end) < float("inf") for end in value_range)


def place(values: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Scale values so that the lower end of the range is 0 and the upper end is 1."""
    if value_range == (0.0, 1.0):
        return values
    low, high = value_range
    return (values - low) / (high - low)
