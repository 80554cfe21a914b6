"""Outputs and losses of a table: numbers side by side with categories, some of them missing.

Numbers come first among the features and end in the output unit of the layer. Each category is a
group of features of its own, one for each of its values: they end in a softmax, and cost their
cross-entropy. What is missing of a sample costs nothing: the reconstruction stands in for it.

That a feature is missing is told by its value in the sample itself, -0.0, which counts as 0
wherever it is an input. No other value becomes that: see :func:`marked`. So whoever hands samples
on, copies them to a device or draws batches from them need not know of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sae.nets.activations import ACTIVATIONS, inverse_activation

MISSING = -0.0
# Of a category that no sample shows the logarithm would be infinite.
LEAST_SHARE = 1e-4


def marked(x: Tensor, missing: Tensor) -> Tensor:
    """Features with those that are missing marked.

    Args:
        x: (batch, features).
        missing: Where they are, of the same shape.
    """
    return torch.where(missing, torch.full_like(x, MISSING), x + 0.0)  # -0.0 + 0.0 is 0.0


def is_missing(x: Tensor) -> Tensor:
    """Which features of samples are marked as missing, of the same shape."""
    return (x == 0) & torch.signbit(x)


@dataclass(frozen=True)
class Columns:
    """What the features of a table are.

    Attributes:
        numbers: How many of them are numbers; they come first.
        groups: How many values each category has, in order.
    """

    numbers: int
    groups: Sequence[int] = ()

    def output(self, logits: Tensor, unit: str) -> Tensor:
        """The reconstruction: (batch, features), of a category the probability of each value.

        Args:
            logits: (batch, features).
            unit: Output unit of the numbers.
        """
        numbers, *categories = self._parts(logits)
        shares = [F.softmax(part, dim=1) for part in categories]
        return torch.cat([ACTIVATIONS[unit](numbers), *shares], dim=1)

    def loss(self, logits: Tensor, x: Tensor, unit: str, loss: str) -> Tensor:
        """Of the numbers the squared error or cross-entropy, of each category the cross-entropy.

        Args:
            logits: (batch, features).
            x: Target, of the same shape; what is missing is marked.
            unit: Output unit of the numbers.
            loss: Of the numbers: ``"mse"`` or ``"bce"``.

        Returns:
            A scalar: summed over what is there, mean over the batch.
        """
        (numbers, *categories), (target, *targets) = self._parts(logits), self._parts(x)
        if loss == "bce":
            cost = F.binary_cross_entropy_with_logits(numbers, target, reduction="none")
        else:
            cost = (ACTIVATIONS[unit](numbers) - target).square()
        total = cost.masked_fill(is_missing(target), 0).sum()
        for part, shares in zip(categories, targets, strict=True):
            total = total - (shares * F.log_softmax(part, dim=1)).sum()  # of one missing all are 0
        return total / len(x)

    def errors(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """(x^ - x)², 0 for features that are not there: (batch, features).

        Args:
            x_hat: Reconstruction, (batch, features).
            x: Target, of the same shape; what is missing is marked.
        """
        return (x_hat.to(x.dtype) - x).square().masked_fill(is_missing(x), 0)

    def start(self, mean: Tensor, unit: str) -> Tensor:
        """Logits that give the mean of the samples: (features,).

        Args:
            mean: (features,).
            unit: Output unit of the numbers.
        """
        numbers, *categories = self._parts(mean[None])
        logits = [part.clamp(min=LEAST_SHARE).log() for part in categories]
        return torch.cat([inverse_activation(unit, numbers), *logits], dim=1)[0]

    def _parts(self, x: Tensor) -> Sequence[Tensor]:
        """The numbers, then each category."""
        return x.split([self.numbers, *self.groups], dim=1)
