"""A penalty that keeps the code sparse: KL of a target activity against each unit's batch mean.

Ng (2011), "Sparse autoencoder", CS294A lecture notes, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sae.errors import InputError, check_number
from sae.figure import Figure
from sae.nets.layer import Autoencoder, Code
from sae.terms.term import Term

# The divergence is exact from rho · LOW to 1 - (1 - rho) · HIGH; outside it goes on along its
# tangent, whose slope is about -1/LOW and 1/HIGH. A sigmoid damps even a steep one, a ReLU unit
# does not: one huge gradient would leave Adam with tiny steps for a thousand more.
LOW, HIGH = 1e-3, 1e-2
ACTIVATIONS = ("sigmoid", "tanh", "relu")


def kl_bernoulli(rho: float, rho_hat: Tensor) -> Tensor:
    """KL(rho || rho_hat) between two Bernoulli variables, in nats, unit by unit.

    Near 0 and 1, where it would be infinite, and outside, the divergence is continued by its
    tangent: finite for every finite ``rho_hat``, with a gradient that still points to ``rho``.
    (Clamping would stop the gradient, just where a unit is stuck.)

    Args:
        rho: Target activity, in (0, 1).
        rho_hat: Mean activities, any shape.

    Returns:
        A tensor of the shape of ``rho_hat``.
    """
    inside = rho_hat.clamp(rho * LOW, 1 - (1 - rho) * HIGH)
    kl = rho * (math.log(rho) - inside.log()) + (1 - rho) * (
        math.log1p(-rho) - torch.log1p(-inside)
    )
    slope = (1 - rho) / (1 - inside.detach()) - rho / inside.detach()
    return kl + slope * (rho_hat - inside)


# Registered, not derived: of a dataclass with another base a config would have to name the path.
@Term.register
@dataclass(frozen=True)
class Sparsity:
    """The penalty weight · Σ_j KL(rho || rho_hat_j), rho_hat_j the mean of unit j.

    In training it is the mean over a batch, and a last batch of n samples where others have N adds
    n/N of its penalty; in validation it is the mean over all validation samples.

    Args:
        rho: Target mean activity of every unit, in (0, 1).
        weight: Weight of the penalty beside the reconstruction loss, which is a sum over the
            inputs and a mean over the batch; 0 or more. (The lecture notes call it beta.)

    Raises:
        InputError: A value lies outside its range.
    """

    rho: float = 0.05
    weight: float = 0.1
    name: ClassVar[str] = "sparsity"
    of_the_batch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number(
            "rho",
            self.rho,
            0.0,
            1.0,
            "give the target mean activity of a unit, such as 0.05",
            low_open=True,
            high_open=True,
        )
        check_number("weight", self.weight, 0.0, float("inf"), "give a weight such as 0.1")

    def check_fits(self, net: Autoencoder) -> None:
        """Raise :class:`InputError` unless the units' mean can be read as an activity."""
        if net.activation not in ACTIVATIONS:
            raise InputError(
                "sparsity",
                f"a code with one of the activations {', '.join(ACTIVATIONS)}",
                f"a code with {net.activation!r}",
                "choose one of these activations, or leave sparsity out",
            )

    @staticmethod
    def activity(h: Tensor, activation: str) -> Tensor:
        """Mean activity of each unit over the batch: 0 is never on, 1 is always on.

        tanh lies in (-1, 1) and is read as (1 + h) / 2. ReLU has no upper bound; its mean is
        taken as it is, and beyond 1 the tangent of the divergence pulls it back.

        Args:
            h: Code, (batch, units).
            activation: Activation that made ``h``.

        Returns:
            rho_hat, (units,).
        """
        mean = h.mean(dim=0)
        return (1 + mean) / 2 if activation == "tanh" else mean

    def statistic(self, net: Autoencoder, x: Tensor, code: Code) -> Tensor:
        """rho_hat of each unit, (units,)."""
        return self.activity(code.h.float(), net.activation)

    def value(self, statistic: Tensor, epoch: int | None = None) -> Tensor:
        """The weighted penalty of mean activities (units,), a scalar."""
        return self.weight * kl_bernoulli(self.rho, statistic).sum()

    def shown(self, statistic: Tensor) -> dict[str, Tensor]:
        """``activity``, the mean over all units."""
        return {"activity": statistic.mean()}

    def figures(self) -> Mapping[str, Figure]:
        """How it is called."""
        return {"activity": Figure("mean activity of the code, {part}", "{:.4f}", better="")}
