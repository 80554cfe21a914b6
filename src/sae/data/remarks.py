"""Warnings about the scale of samples, printed before training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from sae.data.loader import Survey
from sae.data.npy import DIVISORS

# If the maximum is a smaller share of the integer type's range, another divisor is probably right.
LEAST_SHARE = 0.5
# Root mean square of a column: far below this in [0, 1], and for standardised values.
MOST_MAGNITUDE = 10.0
# Ratio of the largest to the smallest standard deviation of columns.
MOST_RATIO = 100.0
# How much one step may change the input of a unit; activations are flat some units from 0.
MOST_REACH, GOOD_REACH = 5.0, 2.0

# Returns code that converts x, given an expression and the statements to run before it.
Rescale = Callable[[str, str], str]


def remarks(
    seen: Survey, rescale: Rescale, dtype: str = "uint8", names: Sequence[str] = ()
) -> Iterator[str]:
    """Yield warnings about badly scaled samples, each with a remedy.

    Args:
        seen: Statistics of all training samples.
        rescale: Returns the code or the advice with which a user scales these data.
        dtype: The stored type of the values.
        names: Names of the columns; empty if they have only numbers.
    """
    divisor = DIVISORS.get(dtype)
    peak = round(seen.high * divisor) if seen.peak is None and divisor else seen.peak
    if divisor and peak is not None and peak < LEAST_SHARE * divisor:
        by = max(1, int(peak))
        only = " (a mask of 0 and 1?)" if by == 1 else ""
        yield (
            f"warning: data: {dtype} is divided by {divisor:,}, but the greatest value is {peak:g}"
            f"{only}, so all inputs are in [0, {peak / divisor:.2g}]; divide by {by} "
            f"yourself: {rescale('x' if by == 1 else f'x / {by}', '')}"
        )
    elif seen.std is not None and (odd := _unscaled(seen.mean, seen.std, names)):
        before = "m, s = x.mean(0, dtype=float), x.std(0, dtype=float); "
        yield (
            f"warning: data: {odd}, so the largest ones dominate the squared error; standardise "
            f"first: {rescale('(x - m) / numpy.where(s > 0, s, 1)', before)}"
        )


def too_fast(seen: Survey, rates: Mapping[str, float]) -> Iterator[str]:
    """Yield warnings about learning rates at which one step of Adam saturates the first layer.

    A step of Adam changes each weight by about the learning rate. If most inputs are positive,
    these changes add up: the input of a unit changes by the rate times the sum of the inputs. With
    many inputs this is large, and the unit stays saturated or dead.

    Args:
        seen: Statistics of all training samples.
        rates: Learning rate of each option that trains the first layer with Adam.
    """
    total = seen.mean.abs().sum().item()
    for option, rate in rates.items():
        if rate * total > MOST_REACH:
            yield (
                f"warning: {option}: the {len(seen.mean):,} inputs add up to {total:,.0f}, so one "
                f"step at rate {rate:g} changes the input of a unit by up to {rate * total:.0f}: "
                f"units may stop learning; try --{option} {GOOD_REACH / total:.1g}"
            )


def _unscaled(mean: torch.Tensor, std: torch.Tensor, names: Sequence[str]) -> str:
    """Describe columns whose scales differ too much, or are too large; empty if there are none."""
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
            f"values are far outside [0, 1] (column {name} has mean {mean[column]:.3g} and "
            f"standard deviation {std[column]:.3g})"
        )
    return ""


def _name(column: int, names: Sequence[str]) -> str:
    return names[column] if names else str(column)
