"""Scale columns of numbers, also columns with outliers.

A few outliers make the standard deviation of a column so large that all other values become
nearly equal. Scaling by the quartiles avoids this, but then the outliers are thousands of units
from 0 and dominate the squared error. So beyond :data:`KNEE` units a value is replaced by its
logarithm: 100,000 becomes about 15. This is one-to-one, so it can be inverted.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# A column with a smaller range is constant: float32 cannot divide by such a small number.
LEAST_SPREAD = 1e-30
# If the distance of the quartiles is a smaller share of the range, most values are equal, and the
# distance cannot be used as a scale.
LEAST_APART = 1e-6
# With fewer values than this, outliers are not detected.
LEAST_VALUES = 20
# Pairs (part, factor): a column has heavy tails if its standard deviation shrinks by more than the
# factor when this part of the values is removed at each end. For comparison: an exponential
# distribution shrinks by 1.2, 1.5, 1.9 and 3.3, a lognormal one (sigma 1) by 1.5, 2.2, 3.1 and 5.4.
HEAVY = ((0.01, 3.0), (0.05, 4.0), (0.1, 10.0), (0.25, 100.0))
# Distance between the quartiles of a normal distribution, in standard deviations.
QUARTILES_APART = 1.3489795003921634
# Values farther from the median are squashed, in units of the standard deviation that the quartiles
# imply. This is about three quartile distances, which Tukey (1977), "Exploratory data analysis",
# calls far out.
KNEE = 4.0
# Squashed values are clipped at this distance beyond the knee, so that their inverse fits float32.
MOST_LOG = 60.0
# The scale is at least the standard deviation divided by this, so that values fit float32.
MOST_UNITS = 1e20


def has_heavy_tails(values: NDArray[np.float64], std: float) -> bool:
    """Whether a column has outliers, so that its standard deviation is not a useful scale.

    If at least half of the values are equal, as for a pixel that is rarely on, only the other
    values are compared with each other: being different from that value does not make an outlier.

    Args:
        values: Sorted values without missing ones, (n,).
        std: Standard deviation of the column, which may have more values than ``values``.
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
    """The median, and the standard deviation of a normal distribution with the same quartiles."""
    first, middle, third = np.quantile(values, [0.25, 0.5, 0.75])
    return float(middle), float((third - first) / QUARTILES_APART)


def of_most(values: NDArray[np.float64], std: float) -> tuple[float, float]:
    """The shift and the scale to apply before :func:`squash`.

    The scale comes from the quartiles. If these are equal, it is the standard deviation without
    the ends of the distribution.

    Args:
        values: Sorted values without missing ones, (n,).
        std: Standard deviation of the column, which may have more values than ``values``.

    Returns:
        The number to subtract, and the number to divide by.
    """
    middle, apart = of_quartiles(values)
    least = max(LEAST_SPREAD, LEAST_APART * abs(middle), std / MOST_UNITS)
    for scale in (apart, *(float(_without_ends(values, part).std()) for part, _ in HEAVY[::-1])):
        if scale > least:
            return middle, scale
    return middle, std


def squash(z: Tensor) -> Tensor:
    """Replace values beyond :data:`KNEE` by their logarithm; the slope is continuous there."""
    beyond = (z.abs() - KNEE).relu()
    return torch.where(beyond > 0, z.sign() * (KNEE + beyond.log1p()), z)


def unsquash(y: Tensor) -> Tensor:
    """The inverse of :func:`squash`, limited so that float32 does not overflow."""
    beyond = (y.abs() - KNEE).relu().clamp(max=MOST_LOG)
    return torch.where(beyond > 0, y.sign() * (KNEE + beyond.expm1()), y)


def _without_ends(values: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    low, high = np.quantile(values, [part, 1 - part])
    return values[(values >= low) & (values <= high)]
