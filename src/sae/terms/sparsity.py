"""A sparsity penalty: KL between a target activity and the mean of each unit over the batch.

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

# The divergence is exact from rho · LOW to 1 - (1 - rho) · HIGH. Outside it continues as its
# tangent, with a slope of about -1/LOW and 1/HIGH. The limits keep the gradient small enough for
# ReLU units, which do not damp it: after one huge gradient, Adam takes tiny steps for a thousand
# more.
LOW, HIGH = 1e-3, 1e-2
ACTIVATIONS = ("sigmoid", "tanh", "relu")


def kl_bernoulli(rho: float, rho_hat: Tensor) -> Tensor:
    """KL(rho || rho_hat) between two Bernoulli variables for each unit, in nats.

    Near 0 and 1, where it would be infinite, and beyond, the divergence is replaced by its tangent.
    So it is finite for every finite ``rho_hat``, and its gradient still points to ``rho``.
    (Clamping would make the gradient 0 exactly when a unit is stuck.)

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


@dataclass(frozen=True)
class Sparsity(Term):
    """The penalty weight · Σ_j KL(rho || rho_hat_j), where rho_hat_j is the mean of unit j.

    In training the mean is over a batch. A last batch of n samples (others have N) adds n/N of its
    penalty. In validation the mean is over all validation samples.

    Args:
        rho: Target mean activity of every unit, in (0, 1).
        weight: Weight of the penalty relative to the reconstruction loss, which is a sum over the
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
        """Raise :class:`InputError` if the activation has no mean that is an activity."""
        if net.activation not in ACTIVATIONS:
            raise InputError(
                "sparsity",
                f"a code with one of the activations {', '.join(ACTIVATIONS)}",
                f"a code with {net.activation!r}",
                "choose one of these activations, or leave sparsity out",
            )

    @staticmethod
    def activity(h: Tensor, activation: str) -> Tensor:
        """Mean activity of each unit over the batch: 0 is always off, 1 is always on.

        tanh is in (-1, 1), so (1 + h) / 2 is used. ReLU has no upper bound; its mean is used
        directly, and beyond 1 the tangent of the divergence pulls it back.

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
        """``activity``: the mean over all units."""
        return {"activity": statistic.mean()}

    def figures(self) -> Mapping[str, Figure]:
        """See :class:`~sae.terms.term.Term`."""
        return {"activity": Figure("mean activity of the code, {part}", "{:.4f}", better="")}
