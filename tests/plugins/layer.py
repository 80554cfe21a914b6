"""A layer of two steps to the code, and two back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sae.errors import check_integer
from sae.nets.layer import Layer


class Deep(Layer):
    """h = tanh(V silu(U x)), x^ = g(U' silu(V' h)), each with its bias."""

    def __init__(
        self,
        in_shape: int | Sequence[int],
        units: int = 8,
        hidden: int = 16,
        output: str = "sigmoid",
        loss: str = "mse",
    ) -> None:
        check_integer("hidden", hidden, 1, "give the number of units in between")
        super().__init__(in_shape, units, "tanh", output, loss)
        n = self.n_in
        self.encoder = nn.Sequential(nn.Linear(n, hidden), nn.SiLU(), nn.Linear(hidden, units))
        self.decoder = nn.Sequential(nn.Linear(units, hidden), nn.SiLU(), nn.Linear(hidden, n))

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter, generator=generator)
            else:
                nn.init.zeros_(parameter)

    def encode(self, x: Tensor) -> Tensor:
        return torch.tanh(self.encoder(x))

    def decode_logits(self, h: Tensor) -> Tensor:
        return self.decoder(h)
