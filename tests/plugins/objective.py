"""To rebuild the input and to say in which quarter of it the light is, at once."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from sae.batch import Batch
from sae.figure import Figure
from sae.nets.layer import Autoencoder
from sae.nets.reconstruction_loss import squared_error
from sae.objectives.objective import Objective
from sae.place import Place


class Quarter(Objective):
    """Reconstruction, and a linear head that says the quarter: (0, 0), (0, 1), (1, 0) or (1, 1).

    In training what is to be said wobbles, by a noise of the place.
    """

    part: ClassVar[str] = "both"
    needs_labels: ClassVar[bool] = True

    def __init__(self, weight: float = 1.0, wobble: float = 0.1) -> None:
        super().__init__()
        self.weight, self.wobble = weight, wobble

    def attach(self, net: Autoencoder, n_classes: int) -> None:
        self.head = nn.Linear(net.n_code, 2)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        nn.init.xavier_uniform_(self.head.weight, generator=generator)
        nn.init.zeros_(self.head.bias)

    def losses(self, net: Autoencoder, h: Tensor, batch: Batch, place: Place) -> dict[str, Tensor]:
        wanted = self._quarter(batch)
        if place.epoch is not None:
            wanted = wanted + self.wobble * place.normal("wobble", wanted)
        off = squared_error(self.head(h), wanted)
        return {"loss": net.reconstruction_loss(h, batch.x) + self.weight * off, "off": off}

    def measure(
        self,
        net: Autoencoder,
        h: Tensor,
        batch: Batch,
        place: Place,
        losses: dict[str, Tensor] | None,
    ) -> dict[str, Tensor]:
        right = ((self.head(h) > 0.5) == (self._quarter(batch) > 0.5)).all(dim=1)
        return {"sse": squared_error(net.decode(h), batch.x), "right": 100 * right.float().mean()}

    def figures(self) -> dict[str, Figure]:
        right = Figure("right quarter, {part}", "{:.1f} %", "higher")
        return {"sse": Figure("{part} SSE per image"), "right": right}

    @staticmethod
    def _quarter(batch: Batch) -> Tensor:
        assert batch.y is not None
        return torch.stack([batch.y // 2, batch.y % 2], dim=1).float()
