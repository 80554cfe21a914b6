"""The variational layer: its code is a Gaussian distribution, sampled in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sae.errors import check_integer, check_number
from sae.nets.dense import Dense
from sae.nets.layer import Code
from sae.place import Place
from sae.terms.gaussian_kl import GaussianKL

# The log variance lies between -10 and 10: a standard deviation between 0.007 and 150, enough for
# codes that are pulled to N(0, 1). Without a limit one large step could make exp overflow, or make
# its gradient so large that Adam hardly moves for a thousand steps. A tanh, unlike a hard limit,
# always has a gradient.
MOST_LOGVAR = 10.0
# At the start the noise has a standard deviation of exp(-2/2) = 0.37, the means have 1. So the
# sampled code still depends on the input.
START_LOGVAR = -2.0


class Variational(Dense):
    """q(z|x) = N(mean, diag(var)), mean = W x + b, log var = 10 tanh((V x + c) / 10); x^ = g(W' z).

    In training the decoder gets z = mean + sqrt(var) · e with e ~ N(0, I); otherwise it gets the
    mean. The layer adds kl_weight · KL(q(z|x) || N(0, I)) to every loss. After training, decoding
    z ~ N(0, I) gives new samples.

    With ``bce`` and kl_weight 1 the loss is the negative ELBO of Bernoulli pixels, in nats. With
    ``mse``, also in a stage that rebuilds codes, it is the negative ELBO of Gaussian inputs with
    variance kl_weight / 2, SSE / (2 · variance) + KL, times kl_weight and up to a constant. So the
    code leaves out directions in which the inputs vary by less than that variance, as in
    probabilistic PCA (Tipping & Bishop 1999). For codes with little spread choose a smaller
    kl_weight.

    Kingma & Welling (2014), "Auto-Encoding Variational Bayes", sections 2.4 and 3; Rezende, Mohamed
    & Wierstra (2014), "Stochastic Backpropagation".

    Args:
        in_shape: Shape of an input, or its number of features.
        units: Units of the code.
        kl_weight: Weight of the divergence, 0 or more.
        warm_up: Number of first epochs of each training in which that weight grows from 0; see
            :class:`~sae.terms.gaussian_kl.GaussianKL`.
        output: g, one of :data:`~sae.nets.activations.ACTIVATIONS`.
        loss: ``"mse"`` or ``"bce"``.

    Raises:
        InputError: An option is out of range.
    """

    start_spread: ClassVar[float] = 1.0  # that of the prior
    has_prior = True

    def __init__(
        self,
        in_shape: int | Sequence[int],
        units: int,
        kl_weight: float = 1.0,
        warm_up: int = 0,
        output: str = "sigmoid",
        loss: str = "mse",
    ) -> None:
        remedy = "give the weight of the divergence, such as 1"
        check_number("kl_weight", kl_weight, 0.0, float("inf"), remedy)
        check_integer("warm_up", warm_up, 0, "give a number of epochs, or 0")
        super().__init__(in_shape, units, "identity", output, loss)
        self._term = GaussianKL(kl_weight, warm_up)

    def _make_parameters(self) -> None:
        super()._make_parameters()
        self.logvar_weight = nn.Parameter(torch.empty_like(self.weight))  # V
        self.logvar_bias = nn.Parameter(torch.empty_like(self.bias))  # c

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new weights as a dense layer does; all inputs start with the same variance."""
        super().reset_parameters(generator)
        nn.init.zeros_(self.logvar_weight)
        nn.init.constant_(self.logvar_bias, START_LOGVAR)

    def distribution(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the code: (batch, n_in) -> two of (batch, units)."""
        logvar = F.linear(x, self.logvar_weight, self.logvar_bias).float()
        return self.encode(x), MOST_LOGVAR * torch.tanh(logvar / MOST_LOGVAR)

    def code_for_training(self, x: Tensor, place: Place) -> Code:
        """Return a sample of the code, with its mean and log variance, each (batch, units).

        Args:
            x: Inputs, (batch, n_in), corrupted or not.
            place: The place of this step in the run; the noise is drawn from it.
        """
        mean, logvar = self.distribution(x)
        noise = place.normal("code", mean)
        return Code(mean + (logvar / 2).exp() * noise, mean, logvar)

    def own_terms(self) -> tuple[GaussianKL]:
        """Return the divergence from the prior N(0, I)."""
        return (self._term,)

    def extra_repr(self) -> str:
        """Return sizes, activations, loss and divergence, for ``print(layer)``."""
        term = self._term
        return f"{super().extra_repr()}, kl_weight {term.weight:g}, warm_up {term.warm_up}"
