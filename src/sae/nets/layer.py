"""What maps inputs to a code and back: a layer, or a stack of them.

Inputs and codes are rows, (batch, features), whatever shape they have inside: a layer of images
takes ``in_shape`` (height, width, channels) and reshapes by itself.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sae.errors import check_integer
from sae.nets.activations import ACTIVATIONS, RANGES, inverse_activation
from sae.nets.columns import Columns
from sae.nets.reconstruction_loss import cross_entropy, sigmoid_squared_error, squared_error
from sae.place import Place, Share

if TYPE_CHECKING:
    from sae.terms.term import Term


@dataclass(frozen=True)
class Code:
    """What a decoder is given in training, and what penalties look at.

    Attributes:
        h: The code, (batch, units).
        mean: Of its distribution, (batch, units); None where it has none.
        logvar: Logarithm of its variance, (batch, units); None likewise.
        parts: Of a stack, the code of each layer, the lowest first.
    """

    h: Tensor
    mean: Tensor | None = None
    logvar: Tensor | None = None
    parts: tuple[Code, ...] = ()


class Autoencoder(nn.Module, ABC):
    """What a layer and a stack have in common.

    Attributes:
        in_shape: Shape of an input; its rows are flat.
        code_shape: Shape of a code; its rows are flat.
        activation: Activation of the code, of :data:`~sae.nets.activations.ACTIVATIONS`; it says
            between which values a unit lies and when it is dead.
        output: Activation of the reconstruction (the output unit).
        loss: ``"mse"`` or ``"bce"``; bce needs a sigmoid output unit.
        has_prior: Whether it is trained so that its codes are distributed as N(0, I): codes drawn
            from that give new samples.
        columns: What the features of its inputs are, where they differ: those of a table.
    """

    in_shape: tuple[int, ...]
    code_shape: tuple[int, ...]
    activation: str
    output: str
    loss: str
    has_prior: bool = False
    columns: Columns | None = None

    @property
    def n_in(self) -> int:
        """Features of the input."""
        return math.prod(self.in_shape)

    @property
    def n_code(self) -> int:
        """Units of the code."""
        return math.prod(self.code_shape)

    @property
    def code_range(self) -> tuple[float, float]:
        """Least and greatest value of a unit."""
        return RANGES[self.activation]

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """The code of inputs: (batch, n_in) -> (batch, n_code).

        Clean and deterministic: never noisy; of a distribution the mean.
        """

    @abstractmethod
    def decode_logits(self, h: Tensor) -> Tensor:
        """The reconstruction before its output unit: (batch, n_code) -> (batch, n_in)."""

    def decode(self, h: Tensor) -> Tensor:
        """The reconstruction of a code: (batch, n_code) -> (batch, n_in)."""
        logits = self.decode_logits(h)
        if self.columns is not None:
            return self.columns.output(logits, self.output)
        return ACTIVATIONS[self.output](logits)

    def forward(self, x: Tensor) -> Tensor:
        """``decode(encode(x))``: (batch, n_in) -> (batch, n_in)."""
        return self.decode(self.encode(x))

    def code_for_training(self, x: Tensor, place: Place) -> Code:
        """What the decoder is given in training; of a distribution a sample.

        Args:
            x: Inputs, (batch, n_in), corrupted or not.
            place: Where in the run: whatever is random is drawn from it.
        """
        return Code(self.encode(x))

    @property
    def is_deterministic(self) -> bool:
        """Whether the code in training is that of :meth:`encode`."""
        return type(self).code_for_training is Autoencoder.code_for_training

    def reconstruction_loss(self, h: Tensor, x: Tensor) -> Tensor:
        """Loss of the reconstruction of ``h`` against the clean ``x``: per image, a scalar."""
        logits = self.decode_logits(h)
        if self.columns is not None:
            return self.columns.loss(logits, x, self.output, self.loss)
        if self.loss == "bce":
            return cross_entropy(logits, x)
        if self.output == "sigmoid":
            return sigmoid_squared_error(logits, x)
        return squared_error(ACTIVATIONS[self.output](logits), x)

    def squared_error(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Sum of (x^ - x)² over the features, mean over the batch; without what is missing."""
        if self.columns is not None:
            return self.columns.errors(x_hat, x).sum(dim=1).mean()
        return squared_error(x_hat, x)

    def errors(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """(x^ - x)², (batch, features): 0 for what is missing."""
        if self.columns is not None:
            return self.columns.errors(x_hat, x)
        return (x_hat - x).square()

    def logits_of(self, mean: Tensor) -> Tensor:
        """What before the output unit gives these values: (n_in,)."""
        if self.columns is not None:
            return self.columns.start(mean, self.output)
        return inverse_activation(self.output, mean)

    def multiply_adds(self) -> int:
        """Products of a weight and an input, per sample, forward: how long a step takes."""
        return sum(parameter.numel() for parameter in self.parameters())

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Those that the code in training depends on; the others are the decoder's alone."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        if not parameters:
            return []
        x = torch.zeros(2, self.n_in, device=parameters[0].device)
        with torch.enable_grad():
            # Of a distribution the variance, too.
            h = self.code_for_training(x, Place(0, "", share=Share.equal(len(x)))).h.sum()
            found = torch.autograd.grad(h, parameters, allow_unused=True)
        return [p for p, grad in zip(parameters, found, strict=True) if grad is not None]


class Layer(Autoencoder):
    """One autoencoder, a stage of a stack: the base of every kind of layer.

    A kind is one file: its class takes ``in_shape`` first, and ``output`` and ``loss`` by name (all
    three come from the stack: shape and activation of the layer below); the rest are its options.
    A subclass sets the attributes of :class:`Autoencoder` and defines :meth:`encode`,
    :meth:`decode_logits` and :meth:`reset_parameters`.

    Args:
        in_shape: Shape of an input, or its number of features.
        code_shape: Shape of a code, or its number of units.
        activation: Of the code.
        output: Of the reconstruction.
        loss: ``"mse"`` or ``"bce"``.

    Attributes:
        tied: Whether the decoder uses the encoder's weights.
    """

    tied: bool = False

    def __init__(
        self,
        in_shape: int | Sequence[int],
        code_shape: int | Sequence[int],
        activation: str = "identity",
        output: str = "sigmoid",
        loss: str = "mse",
    ) -> None:
        super().__init__()
        self.in_shape, self.code_shape = as_shape(in_shape, "in_shape"), as_shape(code_shape)
        self.activation, self.output, self.loss = activation, output, loss

    @abstractmethod
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new weights from ``generator``."""

    def start_at_mean(self, mean: Tensor) -> None:
        """Before training: let no code at all give the mean of the inputs, where the kind can.

        Args:
            mean: Of the inputs, (n_in,), in the range of the output unit.
        """

    def fit_start(self, x: Tensor, mean: Tensor) -> None:
        """Before a stage trains on codes: fit the scale of the initial weights to them.

        Args:
            x: Some of the inputs, (n, n_in).
            mean: Of all inputs, (n_in,), in the range of the output unit.
        """
        self.start_at_mean(mean)

    def begin_epoch(self, epoch: int, some: Callable[[], Tensor]) -> None:
        """Before each epoch of its own training: what changes by the epoch, such as revival.

        Args:
            epoch: From 0.
            some: Gives some of the training inputs, (n, n_in), always the same ones.
        """

    def own_terms(self) -> Sequence[Term]:
        """What its kind adds to any loss that it is trained on, such as a divergence."""
        return ()

    def encode_tiles(self, x: Tensor) -> Tensor:
        """:meth:`encode` of whole tiles of rows, the same whichever tiles are encoded together.

        Libraries multiply few units in other ways, with other last bits; a kind can mend that.
        """
        return self.encode(x)

    def first_weights(self) -> dict[str, Tensor] | None:
        """Weights to be shown as images, by caption; None where it has none.

        Each is (units, n_in), or (units, height, width) and perhaps 3 for images of a shape of
        their own; units are those of :meth:`units_to_show`.
        """
        return None

    def units_to_show(self, most: int) -> Sequence[int]:
        """Which units stand for all where there is room for so many: the first ones."""
        return range(min(most, self.n_code))

    def extra_repr(self) -> str:
        """Shapes, units and loss, for ``print(layer)``."""
        sizes = f"{'x'.join(map(str, self.in_shape))}→{'x'.join(map(str, self.code_shape))}"
        return f"{sizes}, {self.activation}/{self.output}, {self.loss}"


def as_shape(shape: int | Sequence[int], key: str = "units") -> tuple[int, ...]:
    """A shape, or a number of features, as a shape.

    Args:
        shape: The one or the other.
        key: The option that it comes from, for messages.

    Raises:
        InputError: It is neither.
    """
    several = isinstance(shape, (list, tuple, torch.Size))
    sizes = tuple(shape) if several else (shape,)  # type: ignore[arg-type]  # that is tested here
    for size in sizes:
        check_integer(key, size, 1, "give a number such as 128")
    return sizes  # type: ignore[return-value]
