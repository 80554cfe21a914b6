"""The dense layer: h = f(W x + b), x^ = g(W' h + b')."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sae.errors import InputError, check_bool, check_choice, check_integer
from sae.nets.activations import ACTIVATIONS, start_gain
from sae.nets.layer import Layer

# Libraries multiply matrices in blocks of this width.
LEAST_UNITS = 16
MOST_UNITS, MOST_WEIGHTS = 1_000_000, 10**9


class Dense(Layer):
    """One autoencoder: h = f(W x + b), x^ = g(W' h + b').

    Args:
        in_shape: Shape of an input, or its number of features.
        units: Units of the code.
        activation: f, one of :data:`~sae.nets.activations.ACTIVATIONS`.
        output: g, one of :data:`~sae.nets.activations.ACTIVATIONS`.
        loss: ``"mse"`` or ``"bce"``.
        tied: Whether W' = Wᵀ, one parameter for both.

    Raises:
        InputError: An option is of the wrong type or out of range, or there are too many weights.
    """

    # Standard deviation of W (x - mean) at the start of a stage: activations are almost linear.
    start_spread: ClassVar[float] = 0.25

    def __init__(
        self,
        in_shape: int | Sequence[int],
        units: int,
        activation: str = "sigmoid",
        output: str = "sigmoid",
        loss: str = "mse",
        tied: bool = False,
    ) -> None:
        check_integer("units", units, 1, "give the number of units", high=MOST_UNITS)
        check_bool("tied", tied)
        check_choice("activation", activation, list(ACTIVATIONS))
        super().__init__(in_shape, units, activation, output, loss)
        if self.n_in * units > MOST_WEIGHTS:  # checked before memory runs out
            expected = f"a layer of at most {MOST_WEIGHTS:,} weights"
            raise InputError("units", expected, f"{self.n_in * units:,}", "give fewer units")
        self.tied = tied
        self._make_parameters()
        self.reset_parameters()

    def _make_parameters(self) -> None:
        """Create the parameters that :meth:`reset_parameters` fills."""
        units = self.n_code
        self.weight = nn.Parameter(torch.empty(units, self.n_in))  # W
        self.bias = nn.Parameter(torch.empty(units))  # b
        # W', or None if tied: without a second tensor nothing can make the two differ.
        self.decoder_weight = None if self.tied else nn.Parameter(torch.empty(self.n_in, units))
        self.decoder_bias = nn.Parameter(torch.empty(self.n_in))  # b'

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new weights; biases are zero.

        Weights are uniform with variance gain² · 2 / (n_in + n_code) (Glorot & Bengio 2010); the
        gain is :func:`~sae.nets.activations.start_gain`.
        """
        for weight, unit in ((self.weight, self.activation), (self.decoder_weight, self.output)):
            if weight is not None:
                nn.init.xavier_uniform_(weight, gain=start_gain(unit), generator=generator)
        nn.init.zeros_(self.bias)
        nn.init.zeros_(self.decoder_bias)

    @torch.no_grad()
    def start_at_mean(self, mean: Tensor) -> None:
        """Set b' so that a zero code gives the mean of the inputs: g(b') = mean.

        Then only the differences from the mean are left to learn. For example, a pixel that is
        nearly always black needs no large weights to become black. For a sigmoid, b' is the logit
        of the mean, as in Hinton (2010), "A Practical Guide to Training Restricted Boltzmann
        Machines", section 8.

        Args:
            mean: Mean of the inputs, (n_in,), in the range of the output unit.
        """
        self.decoder_bias.copy_(self.logits_of(mean))

    @torch.no_grad()
    def fit_start(self, x: Tensor, mean: Tensor) -> None:
        """Fit the scale and the biases of the initial weights to the inputs.

        Weights are drawn for inputs of about the size of pixels, but codes can be larger: codes of
        SiLU lie around 3, so that the units above would start where their activation is flat or
        linear. This method scales W so that W (x - mean) has a standard deviation of
        ``start_spread`` over all units, near the middle of any activation. It sets b to subtract
        the mean, and b' so that the mean reconstruction is the mean of the inputs.

        Similar to Mishkin & Matas (2016), "All you need is a good init", and Krähenbühl et al.
        (2016), "Data-dependent initializations of convolutional neural networks".

        Args:
            x: Some of the inputs, (n, n_in).
            mean: Mean of all inputs, (n_in,), in the range of the output unit.
        """
        spread = F.linear(x - mean, self.weight).std(correction=0)
        if spread > 0:  # otherwise the inputs do not vary
            self.weight.mul_(self.start_spread / spread)
        self.bias.copy_(-F.linear(mean, self.weight))
        self.start_at_mean(mean)
        code = self.encode(x).mean(dim=0)
        self.decoder_bias.sub_(F.linear(code, self._decoder_weight()))

    def encode(self, x: Tensor) -> Tensor:
        """Return f(W x + b): (batch, n_in) -> (batch, n_code)."""
        return self.activate(self.pre_activations(x))

    def pre_activations(self, x: Tensor) -> Tensor:
        """Return W x + b: (batch, n_in) -> (batch, n_code)."""
        return F.linear(x, self.weight, self.bias)

    def activate(self, z: Tensor) -> Tensor:
        """Return f(z): (batch, n_code) -> (batch, n_code).

        :meth:`encode_tiles` may append columns of zeros; they must not change the other columns.
        """
        return ACTIVATIONS[self.activation](z)

    @property
    def units_act_alone(self) -> bool:
        """Whether each unit of the code depends on its own pre-activation only: h_j = f(z_j)."""
        own = type(self)
        return (own.encode, own.activate) == (Dense.encode, Dense.activate)

    def decode_logits(self, h: Tensor) -> Tensor:
        """Return W' h + b': (batch, n_code) -> (batch, n_in)."""
        return F.linear(h, self._decoder_weight(), self.decoder_bias)

    def _decoder_weight(self) -> Tensor:
        """Return W', (n_in, n_code)."""
        return self.weight.t() if self.decoder_weight is None else self.decoder_weight

    def encode_tiles(self, x: Tensor) -> Tensor:
        """Encode as in :class:`~sae.nets.layer.Layer`, with at least ``LEAST_UNITS`` units.

        If there are fewer, units with zero weights are added and removed again.
        """
        few = LEAST_UNITS - self.n_code
        if few <= 0 or type(self).encode is not Dense.encode:
            return self.encode(x)
        logits = F.linear(x, F.pad(self.weight, (0, 0, 0, few)), F.pad(self.bias, (0, few)))
        return self.activate(logits)[:, : self.n_code].contiguous()

    def first_weights(self) -> dict[str, Tensor]:
        """Return W, and W' unless tied, each (units, n_in)."""
        encoder = self.weight.detach()
        if self.decoder_weight is None:
            return {"weights, of encoder and decoder (tied)": encoder}
        decoder = self.decoder_weight.detach().t()
        return {"encoder weights": encoder, "decoder weights": decoder}

    def extra_repr(self) -> str:
        """Return sizes, activations and loss, for ``print(layer)``."""
        return super().extra_repr() + (", tied" if self.tied else "")
