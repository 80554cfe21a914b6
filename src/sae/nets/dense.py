"""The autoencoder layer h = f(W x + b), x^ = g(W' h + b')."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sae.errors import InputError, check_bool, check_choice, check_integer
from sae.nets.activations import ACTIVATIONS, start_gain
from sae.nets.layer import Layer

# Multiples of what libraries multiply at once.
LEAST_UNITS = 16
MOST_UNITS, MOST_WEIGHTS = 1_000_000, 10**9


class Dense(Layer):
    """One autoencoder: h = f(W x + b), x^ = g(W' h + b').

    Args:
        in_shape: Shape of an input, or its number of features.
        units: Units of the code.
        activation: f.
        output: g.
        loss: ``"mse"`` or ``"bce"``.
        tied: W' = Wᵀ, one parameter for both.
    """

    # Of W (x - mean) at the start of a stage: activations are close to straight lines there.
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
        """Make what :meth:`reset_parameters` fills."""
        units = self.n_code
        self.weight = nn.Parameter(torch.empty(units, self.n_in))  # W
        self.bias = nn.Parameter(torch.empty(units))  # b
        # W', or None where tied: then there is no second tensor that could drift away.
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
        """Set b' so that no code at all gives the mean of the inputs: g(b') = mean.

        What is left to learn is what differs from it: a pixel that is nearly always black does not
        have to be driven there, and stuck there, by large weights; and a unit below that is on most
        of the time is rebuilt so from the first step. For a sigmoid b' is the logit, as Hinton
        (2010), "A Practical Guide to Training Restricted Boltzmann Machines", section 8, has it.

        Args:
            mean: Of the inputs, (n_in,), in the range of the output unit.
        """
        self.decoder_bias.copy_(self.logits_of(mean))

    @torch.no_grad()
    def fit_start(self, x: Tensor, mean: Tensor) -> None:
        """Fit the scale and the biases of the initial weights to what is to be learnt.

        Weights are drawn for inputs of about the size of pixels. Codes are of any size: those of
        SiLU lie around 3, and the units above them would start far out, where they are flat or
        linear. Here W (x - mean) gets a standard deviation of ``start_spread`` over all units, near
        the middle of any activation; b takes off the mean; and b' adds what is missing to the mean
        of the inputs.

        In the manner of Mishkin & Matas (2016), "All you need is a good init", and Krähenbühl et
        al. (2016), "Data-dependent initializations of convolutional neural networks".

        Args:
            x: Some of the inputs, (n, n_in).
            mean: Of all inputs, (n_in,), in the range of the output unit.
        """
        spread = F.linear(x - mean, self.weight).std(correction=0)
        if spread > 0:  # else the inputs do not vary
            self.weight.mul_(self.start_spread / spread)
        self.bias.copy_(-F.linear(mean, self.weight))
        self.start_at_mean(mean)
        code = self.encode(x).mean(dim=0)
        self.decoder_bias.sub_(F.linear(code, self._decoder_weight()))

    def encode(self, x: Tensor) -> Tensor:
        """f(W x + b): (batch, n_in) -> (batch, n_code)."""
        return self.activate(self.pre_activations(x))

    def pre_activations(self, x: Tensor) -> Tensor:
        """W x + b: (batch, n_in) -> (batch, n_code)."""
        return F.linear(x, self.weight, self.bias)

    def activate(self, z: Tensor) -> Tensor:
        """f: (batch, n_code) -> (batch, n_code); units that get 0 and give 0 may follow."""
        return ACTIVATIONS[self.activation](z)

    @property
    def units_act_alone(self) -> bool:
        """Whether each unit of the code depends on its own pre-activation only: h_j = f(z_j)."""
        own = type(self)
        return (own.encode, own.activate) == (Dense.encode, Dense.activate)

    def decode_logits(self, h: Tensor) -> Tensor:
        """W' h + b': (batch, n_code) -> (batch, n_in)."""
        return F.linear(h, self._decoder_weight(), self.decoder_bias)

    def _decoder_weight(self) -> Tensor:
        """W', (n_in, n_code)."""
        return self.weight.t() if self.decoder_weight is None else self.decoder_weight

    def encode_tiles(self, x: Tensor) -> Tensor:
        """See :class:`~sae.nets.layer.Layer`: there are always enough units."""
        few = LEAST_UNITS - self.n_code
        if few <= 0 or type(self).encode is not Dense.encode:
            return self.encode(x)
        logits = F.linear(x, F.pad(self.weight, (0, 0, 0, few)), F.pad(self.bias, (0, few)))
        return self.activate(logits)[:, : self.n_code].contiguous()

    def first_weights(self) -> dict[str, Tensor]:
        """W, and W' where it is another."""
        encoder = self.weight.detach()
        if self.decoder_weight is None:
            return {"weights, of encoder and decoder (tied)": encoder}
        decoder = self.decoder_weight.detach().t()
        return {"encoder weights": encoder, "decoder weights": decoder}

    def extra_repr(self) -> str:
        """Sizes, units and loss, for ``print(layer)``."""
        return super().extra_repr() + (", tied" if self.tied else "")
