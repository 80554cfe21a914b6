"""What keeps the code of a variational layer close to its prior: KL(N(mean, var) || N(0, I))."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from sae.errors import InputError, check_integer, check_number
from sae.figure import Figure
from sae.nets.layer import Autoencoder, Code
from sae.terms.term import Term


def gaussian_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(0, 1)) of each unit, in nats, 0 or more.

    In closed form: (mean² + var - 1 - log var) / 2, from Kingma & Welling (2014), "Auto-Encoding
    Variational Bayes", equation 10 and appendix B.

    Args:
        mean: Of the code, any shape.
        logvar: Logarithm of its variance, of the same shape.

    Returns:
        A tensor of that shape, in single precision where they are in half.
    """
    mean, logvar = mean.float(), logvar.float()
    # expm1: near logvar = 0 the variance less 1 would lose its digits.
    return (mean.square() + logvar.expm1() - logvar) / 2


@dataclass(frozen=True)
class GaussianKL(Term):
    """The penalty weight · Σ_j KL(N(mean_j, var_j) || N(0, 1)), a mean over the samples.

    A variational layer adds it by itself. With a weight of 1 and a likelihood in nats as
    reconstruction loss the sum is the negative ELBO; another weight makes a beta-VAE (Higgins et
    al. 2017).

    Args:
        weight: Weight beside the reconstruction loss, 0 or more.
        warm_up: Epochs of a training over which the weight grows in a straight line from 0; 0
            starts with all of it. Units that say little yet are not pressed into the prior before
            they have learnt something (Bowman et al. 2016; Sønderby et al. 2016, "Ladder
            Variational Autoencoders"). Each phase begins anew; validation has the whole weight.

    Raises:
        InputError: A value lies outside its range.
    """

    weight: float = 1.0
    warm_up: int = 0
    name: ClassVar[str] = "kl"
    called: ClassVar[str] = "KL"

    def __post_init__(self) -> None:
        remedy = "give the weight of the divergence, such as 1"
        check_number("weight", self.weight, 0.0, float("inf"), remedy)
        check_integer("warm_up", self.warm_up, 0, "give a number of epochs, or 0")

    def check_fits(self, net: Autoencoder) -> None:
        """Raise :class:`InputError` unless the code is a distribution with a normal prior."""
        if not net.has_prior:
            expected, found = "a variational layer at the top", "a code that is no distribution"
            raise InputError("gaussian_kl", expected, found, "leave it out, or name such a layer")

    def statistic(self, net: Autoencoder, x: Tensor, code: Code) -> Tensor:
        """Nats per sample, (1,): the sum over the units, the mean over the batch."""
        assert code.mean is not None
        assert code.logvar is not None
        return gaussian_kl(code.mean, code.logvar).sum(dim=1).mean(dim=0, keepdim=True)

    def value(self, statistic: Tensor, epoch: int | None) -> Tensor:
        """The weighted divergence, a scalar."""
        grown = 1.0 if epoch is None or not self.warm_up else min(1.0, epoch / self.warm_up)
        return self.weight * grown * statistic.sum()

    def figures(self) -> Mapping[str, Figure]:
        """How the value is called in a test."""
        weighted = "" if self.weight == 1 else f", times {self.weight:g}"
        return {"kl": Figure(f"{{part}} KL of the code, nats{weighted}", better="")}
