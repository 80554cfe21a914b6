"""Activation functions, their slopes, inverses and ranges."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def _identity(x: Tensor) -> Tensor:
    return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "identity": _identity,
}


def start_gain(name: str) -> float:
    """Return the factor on the initial standard deviation of Glorot & Bengio (2010).

    It is 1 for tanh and identity, sqrt(2) for the ReLU family, and 2 for the sigmoid, whose slope
    at zero is 1/4. (With 4, as in the paper, sigmoid units start saturated on inputs as bright as
    pixels.)

    Args:
        name: Name of the activation.
    """
    return {"sigmoid": 2.0, "tanh": 1.0, "identity": 1.0}.get(name, math.sqrt(2))


def _sigmoid_slope(z: Tensor) -> Tensor:
    h = torch.sigmoid(z)
    return h * (1 - h)


def _gelu_slope(z: Tensor) -> Tensor:
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return torch.special.ndtr(z) + z * density


def _silu_slope(z: Tensor) -> Tensor:
    h = torch.sigmoid(z)
    return h * (1 + z * (1 - h))


# f'(z) of each activation, by formula, because validation runs without autograd.
SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": _sigmoid_slope,
    "tanh": lambda z: 1 - torch.tanh(z).square(),
    "relu": lambda z: (z > 0).to(z.dtype),
    "leaky_relu": lambda z: torch.where(z > 0, 1.0, 0.01).to(z.dtype),
    "gelu": _gelu_slope,
    "silu": _silu_slope,
    "identity": torch.ones_like,
}

# The z at which gelu and silu are lowest; from there on they rise.
_LOWEST = {"gelu": -0.7517915, "silu": -1.2784645}


def inverse_activation(name: str, values: Tensor) -> Tensor:
    """Return the z for which ACTIVATIONS[name](z) = values.

    Close to a flat end of the activation z would be huge, so values stay at least 1 % of the range
    away from it. For values below the minimum of gelu and silu, z is where the minimum lies.

    Args:
        name: Name of the activation.
        values: Values of the activation, any shape.

    Returns:
        A tensor of the shape of ``values``.
    """
    if name == "sigmoid":
        return values.clamp(0.01, 0.99).logit()
    if name == "tanh":
        return values.clamp(-0.98, 0.98).atanh()
    if name == "leaky_relu":
        return torch.where(values < 0, values / 0.01, values)
    if name not in _LOWEST:  # relu gives means of 0 or more; identity gives any
        return values.clone()
    # There is no formula: halve the interval until double precision is reached.
    wanted = values.double()
    low = torch.full_like(wanted, _LOWEST[name])
    high = wanted.clamp(min=0) + 2.0
    for _ in range(60):
        middle = (low + high) / 2
        below = ACTIVATIONS[name](middle) < wanted
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low.to(values.dtype)


_INF = float("inf")

# Smallest and largest value of a pixel, and of a unit with each activation.
PIXELS = (0.0, 1.0)

RANGES: dict[str, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, _INF),
    "leaky_relu": (-_INF, _INF),
    "gelu": (-_INF, _INF),
    "silu": (-_INF, _INF),
    "identity": (-_INF, _INF),
}
