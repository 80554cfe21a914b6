"""Several layers as one network: encoders in order, decoders in reverse.

A stack holds the trained layers themselves, not copies. So it starts from exactly the weights that
the stages learnt, and tied weights stay tied.

Hinton & Salakhutdinov (2006), Science 313; Bengio et al. (2007), "Greedy Layer-Wise Training of
Deep Networks".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import cast

from torch import Tensor, nn

from sae.nets.activations import PIXELS
from sae.nets.columns import Columns
from sae.nets.layer import Autoencoder, Code, Layer
from sae.place import Place


class Stack(Autoencoder):
    """Several layers as one network: encoders in order, decoders in reverse.

    Args:
        layers: The layers; they are shared, not copied. A stack without layers is the identity.

    Raises:
        ValueError: Two neighbouring layers do not fit: the upper one does not take as many features
            as the lower one has units, or its output unit is not the lower one's activation.
    """

    def __init__(self, layers: Iterable[Layer] = ()) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        below: Layer | None = None
        for layer in self:
            if below is not None and (below.n_code, below.activation) != (layer.n_in, layer.output):
                raise ValueError(f"layers do not fit: {below} below {layer}")
            below = layer
        self.activation = self.output = "identity"
        self.loss, self.in_shape, self.code_shape = "mse", (), ()
        if below is not None:
            first, last = self[0], below
            self.activation, self.output, self.loss = last.activation, first.output, first.loss
            self.in_shape, self.code_shape = first.in_shape, last.code_shape
            self.has_prior = last.has_prior

    def __iter__(self) -> Iterator[Layer]:
        return iter(cast("Iterable[Layer]", self.layers))

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> Layer:
        return cast("Layer", self.layers[index])

    @property
    def code_range(self) -> tuple[float, float]:
        """Smallest and largest value of the code; (0, 1), as for pixels, without layers."""
        return self[-1].code_range if len(self) else PIXELS

    @property
    def columns(self) -> Columns | None:  # type: ignore[override]  # it is its first layer's
        """For a table, which features are numbers and which are categories; else None."""
        return self[0].columns if len(self) else None

    @property
    def sizes(self) -> list[int]:
        """Units from the input to the code."""
        return [self[0].n_in, *(layer.n_code for layer in self)]

    def below(self, index: int) -> Stack:
        """Return the layers below layer ``index`` as a stack (shared, not copied)."""
        return Stack(self[k] for k in range(index))

    def encode(self, x: Tensor) -> Tensor:
        """Return the code after all encoders: (batch, features) -> (batch, code)."""
        for layer in self:
            x = layer.encode(x)
        return x

    def code_for_training(self, x: Tensor, place: Place) -> Code:
        """Return the code in training: what one layer samples is the input of the next one.

        Args:
            x: Inputs, (batch, features), corrupted or not.
            place: The place of this step in the run; all random numbers are drawn from it.
        """
        parts = []
        for k, layer in enumerate(self):
            code = layer.code_for_training(x, place.inside("layer", k))
            parts.append(code)
            x = code.h
        top = parts[-1] if parts else Code(x)
        return replace(top, parts=tuple(parts))

    @property
    def is_deterministic(self) -> bool:
        """Whether all layers are deterministic."""
        return all(layer.is_deterministic for layer in self)

    def decode_logits(self, h: Tensor) -> Tensor:
        """Return the reconstruction before the output unit: (batch, code) -> (batch, features)."""
        if not len(self):
            return h
        for k in range(len(self) - 1, 0, -1):
            h = self[k].decode(h)
        return self[0].decode_logits(h)

    def multiply_adds(self) -> int:
        """Return the multiplications per sample of all layers together."""
        return sum(layer.multiply_adds() for layer in self)
