"""Reconstruction losses. One reduction for all: sum over the inputs, mean over the batch.

So a loss reads as *squared error per image* (SSE) or *nats per image*, and is comparable between
batch sizes and with the published figures.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

LOSSES = ("mse", "bce")


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Sum of (x^ - x)² over the features, mean over the batch.

    Args:
        x_hat: Reconstruction, (batch, features).
        x: Target, (batch, features).

    Returns:
        A scalar: SSE per image.
    """
    return (x_hat - x).square().sum(dim=1).mean()


def cross_entropy(logits: Tensor, x: Tensor) -> Tensor:
    """Cross-entropy of Bernoulli pixels, from logits: finite where a sigmoid saturates.

    Args:
        logits: W' h + b' before the sigmoid, (batch, features).
        x: Target in [0, 1], (batch, features).

    Returns:
        A scalar: nats per image.
    """
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
