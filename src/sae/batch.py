"""A batch of samples, as the loaders give it and every loss sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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


def sent_ahead(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The same batches on a device; on a GPU each is copied while the one before it is worked on.

    Args:
        batches: Anywhere; what lies on the device already stays as it is.
        device: Where the training computes.
    """
    if device.type != "cuda":
        for batch in batches:
            yield batch.to(device)
        return
    aside = torch.cuda.Stream(device)
    sent: Batch | None = None
    for batch in batches:
        if sent is not None:
            _receive(sent, aside)
        with torch.cuda.stream(aside):
            following = batch.to(device)
        if sent is not None:
            yield sent
        sent = following
    if sent is not None:
        _receive(sent, aside)
        yield sent


def _receive(batch: Batch, aside: torch.cuda.Stream) -> None:
    """Have the work that follows wait, on the GPU, for a copy; its memory is kept for that work."""
    here = torch.cuda.current_stream(aside.device)
    here.wait_stream(aside)
    for part in batch:
        if part is not None:
            part.record_stream(here)
