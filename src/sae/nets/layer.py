"""The base classes of every network that maps inputs to a code and back: a layer, or a stack.

Inputs and codes are always rows, (batch, features). A layer that works on images takes ``in_shape``
(height, width, channels) and reshapes the rows itself.
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
    """A code in training: the input of the decoder and of the penalties.

    Attributes:
        h: The code, (batch, units).
        mean: Mean of the code's distribution, (batch, units); None if the code is not random.
        logvar: Logarithm of its variance, (batch, units); None if the code is not random.
        parts: For a stack, the code of each layer, the lowest layer first.
    """

    h: Tensor
    mean: Tensor | None = None
    logvar: Tensor | None = None
    parts: tuple[Code, ...] = ()


class Autoencoder(nn.Module, ABC):
    """The base class of a layer and of a stack.

    Attributes:
        in_shape: Shape of an input; the rows themselves are flat.
        code_shape: Shape of a code; the rows themselves are flat.
        activation: Activation of the code, one of :data:`~sae.nets.activations.ACTIVATIONS`. It
            decides the range of a unit and when a unit counts as dead.
        output: Activation of the reconstruction (the output unit).
        loss: ``"mse"`` or ``"bce"``; bce needs a sigmoid output unit.
        has_prior: Whether training pulls the codes towards N(0, I), so that decoding a draw from
            N(0, I) gives a new sample.
        columns: For a table, which features are numbers and which are categories; else None.
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
        """Number of features of an input."""
        return math.prod(self.in_shape)

    @property
    def n_code(self) -> int:
        """Number of units of the code."""
        return math.prod(self.code_shape)

    @property
    def code_range(self) -> tuple[float, float]:
        """The smallest and the largest value that a unit can take."""
        return RANGES[self.activation]

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Return the code of inputs: (batch, n_in) -> (batch, n_code).

        No noise is added, and the same input always gives the same code. If the code is a
        distribution, this is its mean.
        """

    @abstractmethod
    def decode_logits(self, h: Tensor) -> Tensor:
        """Return the reconstruction before the output unit: (batch, n_code) -> (batch, n_in)."""

    def decode(self, h: Tensor) -> Tensor:
        """Return the reconstruction of a code: (batch, n_code) -> (batch, n_in)."""
        logits = self.decode_logits(h)
        if self.columns is not None:
            return self.columns.output(logits, self.output)
        return ACTIVATIONS[self.output](logits)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``decode(encode(x))``: (batch, n_in) -> (batch, n_in)."""
        return self.decode(self.encode(x))

    def code_for_training(self, x: Tensor, place: Place) -> Code:
        """Return the code that the decoder gets in training; a sample if it is a distribution.

        Args:
            x: Inputs, (batch, n_in), corrupted or not.
            place: The place of this step in the run; all random numbers are drawn from it.
        """
        return Code(self.encode(x))

    @property
    def is_deterministic(self) -> bool:
        """Whether the code in training equals that of :meth:`encode`."""
        return type(self).code_for_training is Autoencoder.code_for_training

    def reconstruction_loss(self, h: Tensor, x: Tensor) -> Tensor:
        """Return the loss of the reconstruction of ``h`` against the clean ``x``.

        Args:
            h: Code, (batch, n_code).
            x: Clean inputs, (batch, n_in).

        Returns:
            A scalar, per image: the sum over the features, the mean over the batch.
        """
        logits = self.decode_logits(h)
        if self.columns is not None:
            return self.columns.loss(logits, x, self.output, self.loss)
        if self.loss == "bce":
            return cross_entropy(logits, x)
        if self.output == "sigmoid":
            return sigmoid_squared_error(logits, x)
        return squared_error(ACTIVATIONS[self.output](logits), x)

    def squared_error(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the sum of (x^ - x)² over the features, averaged over the batch, a scalar.

        Missing features of a table do not count.
        """
        if self.columns is not None:
            return self.columns.errors(x_hat, x).sum(dim=1).mean()
        return squared_error(x_hat, x)

    def errors(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return (x^ - x)², (batch, features); 0 for missing features of a table."""
        if self.columns is not None:
            return self.columns.errors(x_hat, x)
        return (x_hat - x).square()

    def logits_of(self, mean: Tensor) -> Tensor:
        """Return the logits, (n_in,), from which the output unit makes the values ``mean``."""
        if self.columns is not None:
            return self.columns.start(mean, self.output)
        return inverse_activation(self.output, mean)

    def multiply_adds(self) -> int:
        """Return the multiplications per sample of a forward pass: an estimate of a step's cost."""
        return sum(parameter.numel() for parameter in self.parameters())

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the trainable parameters that the code in training depends on."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        if not parameters:
            return []
        x = torch.zeros(2, self.n_in, device=parameters[0].device)
        with torch.enable_grad():
            # Not encode(): a random code also depends on the parameters of its variance.
            h = self.code_for_training(x, Place(0, "", share=Share.equal(len(x)))).h.sum()
            found = torch.autograd.grad(h, parameters, allow_unused=True)
        return [p for p, grad in zip(parameters, found, strict=True) if grad is not None]


class Layer(Autoencoder):
    """One autoencoder, a stage of a stack: the base class of every kind of layer.

    A kind is one file. Its class takes ``in_shape`` first, and ``output`` and ``loss`` by name. The
    stack gives these three: they are the shape and the activation of the layer below. All other
    arguments are options of the kind. A subclass defines :meth:`encode`, :meth:`decode_logits` and
    :meth:`reset_parameters`.

    Args:
        in_shape: Shape of an input, or its number of features.
        code_shape: Shape of a code, or its number of units.
        activation: Activation of the code.
        output: Activation of the reconstruction.
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
        """Before training: set the decoder's biases so that a zero code gives the mean input.

        Does nothing unless the kind defines it.

        Args:
            mean: Mean of the inputs, (n_in,), in the range of the output unit.
        """

    def fit_start(self, x: Tensor, mean: Tensor) -> None:
        """Before a stage trains on codes: fit the scale of the initial weights to them.

        Args:
            x: Some of the inputs, (n, n_in).
            mean: Mean of all inputs, (n_in,), in the range of the output unit.
        """
        self.start_at_mean(mean)

    def begin_epoch(self, epoch: int, some: Callable[[], Tensor]) -> None:
        """Before each epoch of this layer's own training: change what changes by the epoch.

        An example is the revival of dead units.

        Args:
            epoch: Number of the epoch, from 0.
            some: Returns some of the training inputs, (n, n_in), the same ones at each call.
        """

    def own_terms(self) -> Sequence[Term]:
        """Return the penalties that this kind adds to every loss, such as a divergence."""
        return ()

    def encode_tiles(self, x: Tensor) -> Tensor:
        """Encode whole tiles of rows, with the same bits however many tiles come together.

        Libraries use other algorithms for few units, which round differently. A kind can override
        this to avoid that.
        """
        return self.encode(x)

    def first_weights(self) -> dict[str, Tensor] | None:
        """Return the weights to draw as images, by caption; None if there are none.

        Each is (units, n_in), or, for images of another shape than the input, (units, height,
        width) or (units, height, width, 3). The units are those of :meth:`units_to_show`.
        """
        return None

    def units_to_show(self, most: int) -> Sequence[int]:
        """Return which units to draw if there is room for ``most`` of them: the first ones."""
        return range(min(most, self.n_code))

    def extra_repr(self) -> str:
        """Return shapes, activations and loss, for ``print(layer)``."""
        sizes = f"{'x'.join(map(str, self.in_shape))}→{'x'.join(map(str, self.code_shape))}"
        return f"{sizes}, {self.activation}/{self.output}, {self.loss}"


def as_shape(shape: int | Sequence[int], key: str = "units") -> tuple[int, ...]:
    """Return a shape as a tuple; a number of features n becomes (n,).

    Args:
        shape: A shape, or a number of features; each 1 or more.
        key: Name of the option, for messages.

    Raises:
        InputError: ``shape`` is neither.
    """
    several = isinstance(shape, (list, tuple, torch.Size))
    sizes = tuple(shape) if several else (shape,)  # type: ignore[arg-type]  # that is tested here
    for size in sizes:
        check_integer(key, size, 1, "give a number such as 128")
    return sizes  # type: ignore[return-value]
