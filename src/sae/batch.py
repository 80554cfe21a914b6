"""A batch of samples, as the loaders give it and every loss sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from sae.devices import send


class Batch(NamedTuple):
    """Samples that a step is taken on.

    Attributes:
        x: Inputs of the network, (batch, features): pixels, or codes of the layers below.
        y: Labels, (batch,); None where there are none.
        number: Number of each sample in its set, (batch,); None where nobody counts them.
        images: The images of the same samples, (batch, pixels), where x are their codes and a stage
            is to rebuild images, or where x was drawn from them; else None.
    """

    x: Tensor
    y: Tensor | None = None
    number: Tensor | None = None
    images: Tensor | None = None

    def rows(self, n: int) -> Batch:
        """The first ``n`` samples."""
        return self._map(lambda part: part[:n])

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return self._map(lambda part: send(part, device))

    def _map(self, do: Callable[[Tensor], Tensor]) -> Batch:
        x, *others = self
        return Batch(do(x), *(None if part is None else do(part) for part in others))
