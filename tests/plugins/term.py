"""A penalty on units that say the same."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from sae.errors import check_number
from sae.figure import Figure
from sae.nets.layer import Autoencoder, Code
from sae.terms.term import Term


class Decorrelated(Term):
    """weight · Σ_{j≠k} Cov(h_j, h_k)², a function of means over the whole batch."""

    name: ClassVar[str] = "decorrelated"
    of_the_batch: ClassVar[bool] = True

    def __init__(self, weight: float = 1.0) -> None:
        check_number("weight", weight, 0.0, float("inf"), "give a weight such as 1")
        self.weight = weight

    def statistic(self, net: Autoencoder, x: Tensor, code: Code) -> Tensor:
        h = code.h.float()
        return torch.cat([h.mean(dim=0), (h.t() @ h / len(h)).flatten()])

    def value(self, statistic: Tensor, epoch: int | None = None) -> Tensor:
        return self.weight * self._off_diagonal(statistic).square().sum()

    def shown(self, statistic: Tensor) -> dict[str, Tensor]:
        return {"covariance": self._off_diagonal(statistic).abs().mean()}

    def figures(self) -> dict[str, Figure]:
        return {"covariance": Figure("mean covariance of two units, {part}", "{:.4f}")}

    @staticmethod
    def _off_diagonal(statistic: Tensor) -> Tensor:
        units = int((len(statistic) + 0.25) ** 0.5)  # units + units²
        mean, second = statistic[:units], statistic[units:].view(units, units)
        covariance = second - torch.outer(mean, mean)
        return covariance - covariance.diag().diag()
