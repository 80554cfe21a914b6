"""Reconstruction losses. All are summed over the features and averaged over the batch.

So a loss is the *squared error per image* (SSE) or *nats per image*. It does not depend on the
batch size and can be compared with published figures.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

LOSSES = ("mse", "bce")


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the sum of (x^ - x)² over the features, averaged over the batch.

    Args:
        x_hat: Reconstruction, (batch, features).
        x: Target, (batch, features).

    Returns:
        A scalar: SSE per image.
    """
    return F.mse_loss(x_hat.to(x.dtype), x, reduction="sum") / len(x)


def sigmoid_squared_error(logits: Tensor, x: Tensor) -> Tensor:
    """Return :func:`squared_error` of ``sigmoid(logits)``, with a faster gradient.

    In a small network, operations on single pixels take a quarter of the time. Here the difference
    is computed once, for the loss and for the gradient.

    Args:
        logits: W' h + b' before the sigmoid, (batch, features); half precision is converted.
        x: Target, (batch, features).

    Returns:
        A scalar: SSE per image.
    """
    loss: Tensor = _SigmoidSquaredError.apply(logits.to(x.dtype), x)
    return loss


class _SigmoidSquaredError(torch.autograd.Function):
    """With y = sigmoid(z): d/dz Σ(y - x)²/n = 2 (y - x) y (1 - y) / n."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        y = torch.sigmoid(logits)
        difference = y - x
        ctx.save_for_backward(y, difference)
        # Row by row: a single sum over millions of values is wrong in its third decimal.
        return torch.linalg.vector_norm(difference, dim=1).square().sum() / len(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        y, difference = ctx.saved_tensors
        of_y = difference * (2 * grad / len(y))
        return torch.ops.aten.sigmoid_backward(of_y, y), None


def cross_entropy(logits: Tensor, x: Tensor) -> Tensor:
    """Return the cross-entropy of Bernoulli pixels, summed over pixels, averaged over the batch.

    Computed from logits, so that it stays finite where the sigmoid saturates.

    Args:
        logits: W' h + b' before the sigmoid, (batch, features).
        x: Target in [0, 1], (batch, features).

    Returns:
        A scalar: nats per image.
    """
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
