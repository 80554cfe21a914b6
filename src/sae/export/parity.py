"""Check that an exported file gives the same outputs as the run."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sae.errors import InputError
from sae.export.part import Part

# Largest difference allowed, as a share of the largest value of that output on all samples. Summing
# a thousand products in another order changes about a hundredth of this.
TOLERANCE = 1e-4
# If rounding decides, for example which unit is the k-th largest, two correct programs may differ.
# Samples for which it does are found by changing the weights by this share, this many times.
NUDGE, NUDGES = 3e-6, 8


@dataclass(frozen=True)
class Parity:
    """The difference between a file and the run.

    Attributes:
        difference: The largest difference of any number of any output.
        relative: The same as a share of the largest value of that output.
        undecided: Number of samples left out, because rounding decides their outputs.
    """

    difference: float
    relative: float
    undecided: int

    def line(self, samples: str) -> str:
        """One line for the screen.

        Args:
            samples: Description of the samples.
        """
        out = f"; {self.undecided} left out: rounding decides them" if self.undecided else ""
        return (
            f"parity: largest difference {self.difference:.2g}, {self.relative:.1e} of the "
            f"largest value (at most {TOLERANCE:.0e}), on {samples}{out}"
        )


@torch.no_grad()
def compare(part: Part, inputs: Tensor, found: Sequence[Tensor], key: str = "format") -> Parity:
    """Compare the outputs of a file with those of the run itself.

    Args:
        part: The part of the run.
        inputs: The inputs of both, (n, size).
        found: The outputs of the file, in the order of ``part.gives``.
        key: The option that chose the format, for messages.

    Raises:
        InputError: They differ by more than :data:`TOLERANCE` times the largest value.
    """
    wanted = part(inputs)
    shapes = [tuple(y.shape) for y in wanted], [tuple(y.shape) for y in found]
    if shapes[0] != shapes[1]:
        raise _differs(key, f"outputs of the shapes {shapes[0]}", f"{shapes[1]}")
    undecided = torch.zeros(len(inputs), dtype=torch.bool)
    for near_part in _nudged(part):
        for y, near in zip(wanted, near_part(inputs), strict=True):
            if y.is_floating_point():
                undecided |= _off(y, near) > TOLERANCE * _largest(y)
    decided = ~undecided
    if not decided.any():
        expected = "outputs that can be compared"
        raise _differs(key, expected, "outputs that depend on rounding for all samples")
    difference = relative = 0.0
    for y, other in zip(wanted, found, strict=True):
        if not y.is_floating_point():
            continue
        off, largest = float(_off(y, other)[decided].max()), _largest(y)
        if not off <= TOLERANCE * largest:  # also true for NaN
            expected = f"outputs within {TOLERANCE:g} of the largest value, {largest:.3g}"
            raise _differs(key, expected, f"a difference of {off:.3g}")
        difference, relative = max(difference, off), max(relative, off / max(largest, 1e-30))
    _check_predicted(part, found, key)
    return Parity(difference, relative, int(undecided.sum()))


def _nudged(part: Part) -> Iterator[Part]:
    """Yield copies of the part with slightly changed weights."""
    near, draw = copy.deepcopy(part), torch.Generator().manual_seed(0)
    for _ in range(NUDGES):
        for mine, other in zip(part.parameters(), near.parameters(), strict=True):
            signs = torch.randint(0, 2, mine.shape, generator=draw) * 2 - 1
            other.copy_(mine * (1 + NUDGE * signs))
        yield near


def _off(y: Tensor, other: Tensor) -> Tensor:
    """The largest difference of each sample, (n,)."""
    return (y.double() - other.double()).abs().flatten(1).amax(dim=1)


def _largest(y: Tensor) -> float:
    return float(y.abs().max())


def _check_predicted(part: Part, found: Sequence[Tensor], key: str) -> None:
    """Raise InputError unless each predicted class has the highest probability."""
    outputs = {field.name: y for field, y in zip(part.gives, found, strict=True)}
    if "predicted" in outputs:
        probability = outputs["probability"]
        own = probability.gather(1, outputs["predicted"][:, None].long())[:, 0]
        if not torch.equal(own, probability.amax(dim=1)):
            raise _differs(key, "the most probable class", "another")


def _differs(key: str, expected: str, found: str) -> InputError:
    return InputError(key, expected, f"{found} in the exported file, now deleted", REMEDY)


REMEDY = "choose another format, and report this"
