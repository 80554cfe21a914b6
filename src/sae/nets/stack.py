"""Layers as one: encoders in order, decoders in reverse.

A stack holds the very layers that were trained, not copies: what a stage learnt is what the stack
starts from, bit for bit, and tied weights stay tied.

Hinton & Salakhutdinov (2006), Science 313; Bengio et al. (2007), "Greedy Layer-Wise Training of
Deep Networks".
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from sae.nets.activations import PIXELS, RANGES
from sae.nets.dense import Dense
from sae.nets.layer import Autoencoder


class Stack(Autoencoder):
    """Several layers as one: encoders in order, decoders in reverse.

    Args:
        layers: The layers themselves; they are shared, not copied. None at all is the identity.

    Raises:
        ValueError: Neighbours do not fit: sizes do not chain, or the decoder of a layer ends in
            another unit than the encoder below it.
    """

    def __init__(self, layers: Iterable[Dense] = ()) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        below: Dense | None = None
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

    def __getitem__(self, index: int) -> Dense:
        layer = self.layers[index]
        assert isinstance(layer, Dense)
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
