"""How a column of numbers is brought to one scale, and what is done about values far out.

A few values far out make the standard deviation of a column so large that all others become one.
By the quartiles the others keep their scale, but the few lie thousands of units out, and the
squared error sees nothing else. So beyond :data:`KNEE` units values go on as their logarithm: what
was a hundred thousand is fifteen. Each value still has one input, and each input one value.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Values nearer to each other are one: single precision could not divide by their distance.
LEAST_SPREAD = 1e-30
# Quartiles nearer to each other, as a share of the spread, are no scale: most values are the same.
LEAST_APART = 1e-6
# Of fewer values no tail is told from the rest.
LEAST_VALUES = 20
# Heavy tails: without such a part of the values at either end the standard deviation is smaller by
# more than that factor. That of the exponential distribution is by 1.2, 1.5 and 1.9, of a
# lognormal one (sigma 1) by 1.5, 2.2 and 3.1; without a quarter at either end by 3.3 and 5.4.
HEAVY = ((0.01, 3.0), (0.05, 4.0), (0.1, 10.0), (0.25, 100.0))
# Between the quartiles of a normal distribution lie so many standard deviations.
QUARTILES_APART = 1.3489795003921634
# About three distances between the quartiles from the median: what Tukey (1977), "Exploratory data
# analysis", calls far out. In units of the standard deviation that the quartiles stand for.
KNEE = 4.0
# Inputs that lie farther beyond it have no value in single precision.
MOST_LOG = 60.0
# What is farther out than that many units has none either.
MOST_UNITS = 1e20


def has_heavy_tails(values: NDArray[np.float64], std: float) -> bool:
    """Whether a few values lie so far out that the standard deviation is no scale.

    Where half of the values and more are the same, as of a pixel that is seldom on, only the others
    are looked at: that they differ from it makes none of them far out.

    Args:
        values: Sorted, (n,), none missing.
        std: Of all values, where ``values`` are some of them.
    """
    if len(values) < LEAST_VALUES:
        return False
    first, middle, third = np.quantile(values, [0.25, 0.5, 0.75])
    if third <= first:
        values = values[values != middle]
        if len(values) < LEAST_VALUES:
            return False
        std = float(values.std())
    for part, factor in HEAVY:
        inner = _without_ends(values, part)
        if std > factor * inner.std() > 0:
            return True
    return False


def of_quartiles(values: NDArray[np.float64]) -> tuple[float, float]:
    """The median, and the standard deviation that the distance between the quartiles stands for."""
    first, middle, third = np.quantile(values, [0.25, 0.5, 0.75])
    return float(middle), float((third - first) / QUARTILES_APART)


def of_most(values: NDArray[np.float64], std: float) -> tuple[float, float]:
    """What is taken off and divided by ahead of :func:`squash`.

    Where the quartiles are the same, it is the standard deviation of those that are not far out.

    Args:
        values: As in :func:`has_heavy_tails`.
        std: Likewise.
    """
    middle, apart = of_quartiles(values)
    least = max(LEAST_SPREAD, LEAST_APART * abs(middle), std / MOST_UNITS)
    for scale in (apart, *(float(_without_ends(values, part).std()) for part, _ in HEAVY[::-1])):
        if scale > least:
            return middle, scale
    return middle, std


def squash(z: Tensor) -> Tensor:
    """Values as they are up to :data:`KNEE`, and their logarithm beyond; its slope is 1 there."""
    beyond = (z.abs() - KNEE).relu()
    return torch.where(beyond > 0, z.sign() * (KNEE + beyond.log1p()), z)


def unsquash(y: Tensor) -> Tensor:
    """The inverse of :func:`squash`; beyond the range of single precision it stays at its end."""
    beyond = (y.abs() - KNEE).relu().clamp(max=MOST_LOG)
    return torch.where(beyond > 0, y.sign() * (KNEE + beyond.expm1()), y)


def _without_ends(values: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    low, high = np.quantile(values, [part, 1 - part])
    return values[(values >= low) & (values <= high)]
