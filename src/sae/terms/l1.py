"""A penalty that keeps the code sparse: the sum of its absolute values.

It is the negative logarithm of a Laplace prior on each unit: Goodfellow, Bengio & Courville (2016),
"Deep Learning", section 14.2.1. For sparse coding see Lee, Battle, Raina & Ng (2006), "Efficient
sparse coding algorithms", NIPS 19, section 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from sae.errors import check_number
from sae.figure import Figure
from sae.nets.layer import Autoencoder, Code
from sae.terms.term import Term

# A unit is active if its absolute value is larger. Not 0, because a sigmoid is never exactly 0.
ACTIVE = 0.01


class L1(Term):
    """The penalty weight · Σ_j |h_j|, averaged over the samples.

    The network could avoid it with a small code and large decoder weights. Lee et al. therefore
    bound the norm of the weights; here use ``tied: true`` or a weight decay.

    Args:
        weight: Weight of the penalty relative to the reconstruction loss, which is a sum over the
            inputs and a mean over the batch; 0 or more.

    Raises:
        InputError: The weight lies outside its range.
    """

    name: ClassVar[str] = "l1"

    def __init__(self, weight: float = 0.1) -> None:
        check_number("weight", weight, 0.0, float("inf"), "give a weight such as 0.1")
        self.weight = weight

    def statistic(self, net: Autoencoder, x: Tensor, code: Code) -> Tensor:
        """The sum of absolute values and the number of active units, per sample: (2,)."""
        size = code.h.float().abs()
        return torch.stack([size.sum(dim=1).mean(), (size > ACTIVE).float().sum(dim=1).mean()])

    def value(self, statistic: Tensor, epoch: int | None = None) -> Tensor:
        """The weighted sum, a scalar."""
        return self.weight * statistic[0]

    def shown(self, statistic: Tensor) -> dict[str, Tensor]:
        """``active``: the number of active units per sample."""
        return {"active": statistic[1]}

    def figures(self) -> Mapping[str, Figure]:
        """See :class:`~sae.terms.term.Term`."""
        return {"active": Figure("active units of the code, {part}", "{:.1f}", better="")}
