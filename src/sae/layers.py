"""The autoencoder layer h = f(W x + b), x^ = g(W' h + b'), and the stack of several.

A stack holds the very layers that were trained, not copies: what a stage learnt is what the stack
starts from, bit for bit, and tied weights stay tied.

Hinton & Salakhutdinov (2006), Science 313; Bengio et al. (2007), "Greedy Layer-Wise Training of
Deep Networks".
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sae.losses import cross_entropy, sigmoid_squared_error, squared_error


def _identity(x: Tensor) -> Tensor:
    return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "identity": _identity,
}

# Where the curve of a unit that falls and then rises is lowest: it rises from there on.
_LOWEST = {"gelu": -0.7517915, "silu": -1.2784645}


def inverse_activation(name: str, values: Tensor) -> Tensor:
    """The z with ACTIVATIONS[name](z) = values, where that is not at an end of the unit's range.

    Near a flat end, where z would be huge, the value is moved inwards by 1 % of the range; below
    the least value of gelu and silu, z is where they have it.

    Args:
        name: Of the activation.
        values: What it is to give, any shape.

    Returns:
        A tensor of the shape of ``values``.
    """
    if name == "sigmoid":
        return values.clamp(0.01, 0.99).logit()
    if name == "tanh":
        return values.clamp(-0.98, 0.98).atanh()
    if name == "leaky_relu":
        return torch.where(values < 0, values / 0.01, values)
    if name not in _LOWEST:  # relu gives means of 0 or more; identity gives any
        return values.clone()
    # No formula: halve the interval until double precision ends.
    wanted = values.double()
    low = torch.full_like(wanted, _LOWEST[name])
    high = wanted.clamp(min=0) + 2.0
    for _ in range(60):
        middle = (low + high) / 2
        below = ACTIVATIONS[name](middle) < wanted
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low.to(values.dtype)


# Of W (x - mean) at the start of a stage: activations are close to straight lines there.
START_SPREAD = 0.25
_INF = float("inf")
# Least and greatest value that a pixel, and that a unit, can take.
PIXELS = (0.0, 1.0)
RANGES: dict[str, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, _INF),
    "leaky_relu": (-_INF, _INF),
    "gelu": (-_INF, _INF),
    "silu": (-_INF, _INF),
    "identity": (-_INF, _INF),
}


class Autoencoder(nn.Module, ABC):
    """What a layer and a stack have in common.

    Attributes:
        activation: Activation of the code.
        output: Activation of the reconstruction (the output unit).
        loss: ``"mse"`` or ``"bce"``; bce needs a sigmoid output unit.
    """

    activation: str
    output: str
    loss: str

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Features of the input."""

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """The code of clean inputs: (batch, features) -> (batch, units). Never noisy."""

    @abstractmethod
    def decode_logits(self, h: Tensor) -> Tensor:
        """The reconstruction before its output unit: (batch, units) -> (batch, features)."""

    def decode(self, h: Tensor) -> Tensor:
        """The reconstruction of a code: (batch, units) -> (batch, features)."""
        return ACTIVATIONS[self.output](self.decode_logits(h))

    def forward(self, x: Tensor) -> Tensor:
        """``decode(encode(x))``: (batch, features) -> (batch, features)."""
        return self.decode(self.encode(x))

    def reconstruction_loss(self, h: Tensor, x: Tensor) -> Tensor:
        """Loss of the reconstruction of ``h`` against the clean ``x``: per image, a scalar."""
        logits = self.decode_logits(h)
        if self.loss == "bce":
            return cross_entropy(logits, x)
        if self.output == "sigmoid":
            return sigmoid_squared_error(logits, x)
        return squared_error(ACTIVATIONS[self.output](logits), x)


class AutoencoderLayer(Autoencoder):
    """One autoencoder: h = f(W x + b), x^ = g(W' h + b').

    Args:
        n_in: Features of the input.
        n_code: Units of the code.
        activation: f.
        output: g.
        loss: ``"mse"`` or ``"bce"``.
        tied: W' = Wᵀ, one parameter for both.
    """

    def __init__(
        self,
        n_in: int,
        n_code: int,
        activation: str = "sigmoid",
        output: str = "sigmoid",
        loss: str = "mse",
        tied: bool = False,
    ) -> None:
        super().__init__()
        self.activation, self.output, self.loss = activation, output, loss
        self.weight = nn.Parameter(torch.empty(n_code, n_in))  # W
        self.bias = nn.Parameter(torch.empty(n_code))  # b
        # W', or None where tied: then there is no second tensor that could drift away.
        self.decoder_weight = None if tied else nn.Parameter(torch.empty(n_in, n_code))
        self.decoder_bias = nn.Parameter(torch.empty(n_in))  # b'
        self.reset_parameters()

    @property
    def n_features(self) -> int:
        """Features of the input."""
        return self.n_in

    @property
    def n_in(self) -> int:
        """Features of the input."""
        return self.weight.shape[1]

    @property
    def n_code(self) -> int:
        """Units of the code."""
        return self.weight.shape[0]

    @property
    def tied(self) -> bool:
        """Whether the decoder uses the encoder's weights, transposed."""
        return self.decoder_weight is None

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new weights; biases are zero.

        Weights are uniform with variance gain² · 2 / (n_in + n_code) (Glorot & Bengio 2010).
        The gain is sqrt(2) for the ReLU family and 2 for the sigmoid, whose slope at zero is 1/4
        (the paper's own 4 starts saturated on inputs as bright as pixels).
        """
        gains = {"sigmoid": 2.0, "tanh": 1.0, "identity": 1.0}
        for weight, unit in ((self.weight, self.activation), (self.decoder_weight, self.output)):
            if weight is not None:
                gain = gains.get(unit, math.sqrt(2))
                nn.init.xavier_uniform_(weight, gain=gain, generator=generator)
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
        self.decoder_bias.copy_(inverse_activation(self.output, mean))

    @torch.no_grad()
    def fit_start(self, x: Tensor, mean: Tensor) -> None:
        """Fit the scale and the biases of the initial weights to what is to be learnt.

        Weights are drawn for inputs of about the size of pixels. Codes are of any size: those of
        SiLU lie around 3, and the units above them would start far out, where they are flat or
        linear. Here W (x - mean) gets a standard deviation of ``START_SPREAD`` over all units, near
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
            self.weight.mul_(START_SPREAD / spread)
        self.bias.copy_(-F.linear(mean, self.weight))
        self.start_at_mean(mean)
        code = self.encode(x).mean(dim=0)
        self.decoder_bias.sub_(F.linear(code, self._decoder_weight()))

    def encode(self, x: Tensor) -> Tensor:
        """f(W x + b): (batch, n_in) -> (batch, n_code)."""
        return ACTIVATIONS[self.activation](F.linear(x, self.weight, self.bias))

    def decode_logits(self, h: Tensor) -> Tensor:
        """W' h + b': (batch, n_code) -> (batch, n_in)."""
        return F.linear(h, self._decoder_weight(), self.decoder_bias)

    def _decoder_weight(self) -> Tensor:
        """W', (n_in, n_code)."""
        return self.weight.t() if self.decoder_weight is None else self.decoder_weight

    def extra_repr(self) -> str:
        """Sizes, units and loss, for ``print(layer)``."""
        tied = ", tied" if self.tied else ""
        return f"{self.n_in}→{self.n_code}, {self.activation}/{self.output}, {self.loss}{tied}"


class Stack(Autoencoder):
    """Several layers as one: encoders in order, decoders in reverse.

    Args:
        layers: The layers themselves; they are shared, not copied. None at all is the identity.

    Raises:
        ValueError: Neighbours do not fit: sizes do not chain, or the decoder of a layer ends in
            another unit than the encoder below it.
    """

    def __init__(self, layers: Iterable[AutoencoderLayer] = ()) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        below: AutoencoderLayer | None = None
        for layer in self:
            if below is not None and (below.n_code, below.activation) != (layer.n_in, layer.output):
                raise ValueError(f"layers do not fit: {below} below {layer}")
            below = layer
        self.activation = below.activation if below is not None else "identity"
        self.output = next(iter(self)).output if below is not None else "identity"
        self.loss = next(iter(self)).loss if below is not None else "mse"

    def __iter__(self):  # type: ignore[no-untyped-def]  # nn.ModuleList forgets its element type
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> AutoencoderLayer:
        layer = self.layers[index]
        assert isinstance(layer, AutoencoderLayer)
        return layer

    @property
    def n_features(self) -> int:
        """Features of the input."""
        return self[0].n_in

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest value of the code; that of pixels where there is no layer."""
        return RANGES[self.activation] if len(self) else PIXELS

    def below(self, index: int) -> Stack:
        """The layers under layer ``index``, as a stack of their own (shared, not copied)."""
        return Stack(self[k] for k in range(index))

    def encode(self, x: Tensor) -> Tensor:
        """Through all encoders: (batch, features) -> (batch, code)."""
        for layer in self:
            x = layer.encode(x)
        return x

    def decode_logits(self, h: Tensor) -> Tensor:
        """Back through all decoders, without the last output unit."""
        if not len(self):
            return h
        for k in range(len(self) - 1, 0, -1):
            h = self[k].decode(h)
        return self[0].decode_logits(h)
