"""A penalty that keeps a variational code close to its prior: KL(N(mean, var) || N(0, I))."""

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
        mean: Mean of the code, any shape.
        logvar: Logarithm of its variance, of the same shape.

    Returns:
        A tensor of that shape, in float32.
    """
    mean, logvar = mean.float(), logvar.float()
    # expm1, because exp(logvar) - 1 would lose digits near logvar = 0.
    return (mean.square() + logvar.expm1() - logvar) / 2


@dataclass(frozen=True)
class GaussianKL(Term):
    """The penalty weight · Σ_j KL(N(mean_j, var_j) || N(0, 1)), averaged over the samples.

    A variational layer adds it automatically. With a weight of 1, and a likelihood in nats as
    reconstruction loss, the sum is the negative ELBO. Another weight makes a beta-VAE (Higgins et
    al. 2017).

    Args:
        weight: Weight relative to the reconstruction loss, 0 or more.
        warm_up: Number of epochs during which the weight grows linearly from 0; 0 starts with the
            full weight. This lets units learn before the prior can switch them off (Bowman et al.
            2016; Sønderby et al. 2016, "Ladder Variational Autoencoders"). It restarts in each
            phase; validation always uses the full weight.

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
            expected, found = "a variational layer at the top", "a code that is not a distribution"
            raise InputError("gaussian_kl", expected, found, "leave it out, or use such a layer")

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
        """See :class:`~sae.terms.term.Term`."""
        weighted = "" if self.weight == 1 else f", times {self.weight:g}"
        return {"kl": Figure(f"{{part}} KL of the code, nats{weighted}", better="")}
