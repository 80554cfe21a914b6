"""The variational layer: its code is a Gaussian, of which training sees samples."""

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

# The log variance lies within ± this: a standard deviation from 0.007 to 150, which no code that
# is pulled to N(0, 1) leaves. A steep step cannot make exp overflow, nor its gradient so large that
# Adam hardly moves for a thousand steps; and unlike a hard limit a tanh lets some gradient back.
MOST_LOGVAR = 10.0
# At the start the noise has a standard deviation of exp(-2/2) = 0.37 where the means of a fitted
# stage have one of 1: what is decoded still depends on the input.
START_LOGVAR = -2.0


class Variational(Dense):
    """q(z|x) = N(mean, diag(var)), mean = W x + b, log var = 10 tanh((V x + c) / 10); x^ = g(W' z).

    The decoder is given z = mean + sqrt(var) · e with e ~ N(0, I) in training, and the mean where
    nothing is to be random. The layer adds kl_weight · KL(q(z|x) || N(0, I)) to any loss that it is
    trained on: new samples are drawn by decoding z ~ N(0, I).

    What the loss means: under ``bce`` with kl_weight 1 the sum is the negative ELBO with Bernoulli
    pixels, in nats. Under ``mse``, also where it is a stage on codes of another layer, it is that
    with Gaussian inputs of variance kl_weight / 2, times kl_weight and but for a constant: SSE /
    (2 · variance) + KL. So what varies by less than that variance is not worth its nats and is left
    out of the code, as in probabilistic PCA (Tipping & Bishop 1999): on codes with little spread
    choose a smaller kl_weight.

    Kingma & Welling (2014), "Auto-Encoding Variational Bayes", sections 2.4 and 3; Rezende, Mohamed
    & Wierstra (2014), "Stochastic Backpropagation".

    Args:
        in_shape: Shape of an input, or its number of features.
        units: Units of the code.
        kl_weight: Weight of the divergence, 0 or more.
        warm_up: Epochs of each training over which that weight grows from 0; see
            :class:`~sae.terms.gaussian_kl.GaussianKL`.
        output: g.
        loss: ``"mse"`` or ``"bce"``.
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
        """Draw new weights as a dense layer does; the variance starts the same for all inputs."""
        super().reset_parameters(generator)
        nn.init.zeros_(self.logvar_weight)
        nn.init.constant_(self.logvar_bias, START_LOGVAR)

    def distribution(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the code: (batch, n_in) -> twice (batch, units)."""
        logvar = F.linear(x, self.logvar_weight, self.logvar_bias).float()
        return self.encode(x), MOST_LOGVAR * torch.tanh(logvar / MOST_LOGVAR)

    def code_for_training(self, x: Tensor, place: Place) -> Code:
        """A sample of the code, with the mean and the log variance it is drawn with."""
        mean, logvar = self.distribution(x)
        noise = place.normal("code", mean)
        return Code(mean + (logvar / 2).exp() * noise, mean, logvar)

    def own_terms(self) -> tuple[GaussianKL]:
        """The divergence from the prior."""
        return (self._term,)

    def extra_repr(self) -> str:
        """Sizes, units, loss and divergence, for ``print(layer)``."""
        term = self._term
        return f"{super().extra_repr()}, kl_weight {term.weight:g}, warm_up {term.warm_up}"
