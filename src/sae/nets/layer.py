"""What a layer and a stack of them have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from sae.nets.activations import ACTIVATIONS
from sae.nets.losses import cross_entropy, sigmoid_squared_error, squared_error


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
