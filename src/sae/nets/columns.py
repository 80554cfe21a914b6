"""Outputs and losses of a table, which has numbers and categories, and may have missing values.

The numbers are the first features and end in the output unit of the layer. Each category is a group
of features, one for each value of the category: the group ends in a softmax, and its loss is the
cross-entropy. A missing value costs nothing.

A missing feature has the value -0.0 in the sample itself. As an input it counts as 0. No other
feature can have that value: see :func:`marked`. So code that copies samples or draws batches does
not have to treat missing values in any special way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sae.nets.activations import ACTIVATIONS, inverse_activation

MISSING = -0.0
# The logarithm would be infinite for a category value that no sample has.
LEAST_SHARE = 1e-4


def marked(x: Tensor, missing: Tensor) -> Tensor:
    """Return features with the missing ones set to -0.0, and all other -0.0 set to 0.0.

    Args:
        x: Features, (batch, features).
        missing: Whether each is missing, bool, of the same shape.
    """
    return torch.where(missing, torch.full_like(x, MISSING), x + 0.0)  # -0.0 + 0.0 is 0.0


def is_missing(x: Tensor) -> Tensor:
    """Return which features are marked as missing, bool, of the shape of ``x``."""
    return (x == 0) & torch.signbit(x)


@dataclass(frozen=True)
class Columns:
    """Which features of a table are numbers, and which belong to which category.

    Attributes:
        numbers: How many features are numbers; they come first.
        groups: How many values each category has, in the order of the features.
    """

    numbers: int
    groups: Sequence[int] = ()

    def output(self, logits: Tensor, unit: str) -> Tensor:
        """Return the reconstruction, (batch, features): for a category, a probability per value.

        Args:
            logits: Output of the decoder, (batch, features).
            unit: Output unit of the numbers.
        """
        numbers, *categories = self._parts(logits)
        shares = [F.softmax(part, dim=1) for part in categories]
        return torch.cat([ACTIVATIONS[unit](numbers), *shares], dim=1)

    def loss(self, logits: Tensor, x: Tensor, unit: str, loss: str) -> Tensor:
        """Return the loss: ``loss`` for the numbers, the cross-entropy for each category.

        Args:
            logits: Output of the decoder, (batch, features).
            x: Target, of the same shape; missing features are marked.
            unit: Output unit of the numbers.
            loss: Loss of the numbers: ``"mse"`` or ``"bce"``.

        Returns:
            A scalar: the sum over the features that are not missing, the mean over the batch.
        """
        (numbers, *categories), (target, *targets) = self._parts(logits), self._parts(x)
        if loss == "bce":
            cost = F.binary_cross_entropy_with_logits(numbers, target, reduction="none")
        else:
            cost = (ACTIVATIONS[unit](numbers) - target).square()
        total = cost.masked_fill(is_missing(target), 0).sum()
        for part, shares in zip(categories, targets, strict=True):
            total = total - (shares * F.log_softmax(part, dim=1)).sum()  # all 0 if it is missing
        return total / len(x)

    def errors(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return (x^ - x)², (batch, features); 0 for missing features.

        Args:
            x_hat: Reconstruction, (batch, features).
            x: Target, of the same shape; missing features are marked.
        """
        return (x_hat.to(x.dtype) - x).square().masked_fill(is_missing(x), 0)

    def start(self, mean: Tensor, unit: str) -> Tensor:
        """Return the logits, (features,), from which :meth:`output` makes the mean of the samples.

        Args:
            mean: Mean of the samples, (features,).
            unit: Output unit of the numbers.
        """
        numbers, *categories = self._parts(mean[None])
        logits = [part.clamp(min=LEAST_SHARE).log() for part in categories]
        return torch.cat([inverse_activation(unit, numbers), *logits], dim=1)[0]

    def _parts(self, x: Tensor) -> Sequence[Tensor]:
        """Split features into the numbers, then each category."""
        return x.split([self.numbers, *self.groups], dim=1)
