"""What is odd about samples, said before they are trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from sae.data.loader import Survey
from sae.data.npy import DIVISORS

# Whole numbers that fill less of their type's range were hardly meant to be divided by all of it.
LEAST_SHARE = 0.5
# Of values in [0, 1], or standardised ones, no column has a root mean square near this.
MOST_MAGNITUDE = 10.0
MOST_RATIO = 100.0
# How far a step may move what goes into a unit, whose activation is flat some units from 0.
MOST_REACH, GOOD_REACH = 5.0, 2.0

# Code that makes other samples of x, from an expression and what is to be done ahead of it.
Rescale = Callable[[str, str], str]


def remarks(
    seen: Survey, rescale: Rescale, dtype: str = "uint8", names: Sequence[str] = ()
) -> Iterator[str]:
    """Warnings, each with what to do.

    Args:
        seen: What is known of all training samples.
        rescale: How a user of these data scales them.
        dtype: How they are stored.
        names: Of the columns; none where they have numbers.
    """
    divisor = DIVISORS.get(dtype)
    peak = round(seen.high * divisor) if seen.peak is None and divisor else seen.peak
    if divisor and peak is not None and peak < LEAST_SHARE * divisor:
        by = max(1, int(peak))
        only = " (a mask of 0 and 1?)" if by == 1 else ""
        yield (
            f"warning: data: {dtype} is divided by {divisor:,}, but the greatest value is {peak:g}"
            f"{only}, so that all inputs lie in [0, {peak / divisor:.2g}]; divide by {by} "
            f"yourself: {rescale('x' if by == 1 else f'x / {by}', '')}"
        )
    elif seen.std is not None and (odd := _unscaled(seen.mean, seen.std, names)):
        before = "m, s = x.mean(0, dtype=float), x.std(0, dtype=float); "
        yield (
            f"warning: data: {odd}, and the squared error sees little but the largest; standardise "
            f"first: {rescale('(x - m) / numpy.where(s > 0, s, 1)', before)}"
        )


def too_fast(seen: Survey, rates: Mapping[str, float]) -> Iterator[str]:
    """Warn of rates at which a single step of Adam drives the units of the first layer far.

    Such a step changes each weight by about the rate. Where most inputs are above 0 their changes
    add up: what goes into a unit moves by the rate times the sum of the inputs, which is large
    where there are many of them, and the units stay saturated or dead.

    Args:
        seen: What is known of all training samples.
        rates: Learning rate of each option that trains the first layer with Adam.
    """
    total = seen.mean.abs().sum().item()
    for option, rate in rates.items():
        if rate * total > MOST_REACH:
            yield (
                f"warning: {option}: with {len(seen.mean):,} inputs that add up to {total:,.0f} a "
                f"step at rate {rate:g} moves what goes into a unit by up to {rate * total:.0f}, "
                f"where it no longer learns; try --{option} {GOOD_REACH / total:.1g}"
            )


def _unscaled(mean: torch.Tensor, std: torch.Tensor, names: Sequence[str]) -> str:
    """How columns differ by more than training bears; nothing where they do not."""
    varied = std[std > 0]
    if len(varied) < 1:
        return ""
    magnitude = (mean.double().square() + std.double().square()).sqrt()
    low, high = varied.min().item(), varied.max().item()
    first, last = (_name(int((std == value).nonzero()[0]), names) for value in (low, high))
    if len(varied) > 1 and high > 2 and high / low > MOST_RATIO:
        return (
            f"columns differ by orders of magnitude (standard deviation {low:.2g} in column "
            f"{first}, {high:.2g} in column {last})"
        )
    if magnitude.max() > MOST_MAGNITUDE:
        column = int(magnitude.argmax())
        name = _name(column, names)
        return (
            f"values lie far beyond [0, 1] (column {name} has mean {mean[column]:.3g} and "
            f"standard deviation {std[column]:.3g})"
        )
    return ""


def _name(column: int, names: Sequence[str]) -> str:
    return names[column] if names else str(column)
