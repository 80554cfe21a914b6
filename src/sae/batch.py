"""A batch of samples, as loaders return it and losses receive it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sae.devices import send


class Batch(NamedTuple):
    """The samples of a step.

    Attributes:
        x: Inputs of the network, (batch, features): pixels, or codes of the layers below.
        y: Labels, (batch,); None if there are none.
        number: Number of each sample in its set, (batch,); None if unknown.
        images: The images of the same samples, (batch, pixels), if x are codes and the stage
            rebuilds images, or if x was drawn from them; else None.
    """

    x: Tensor
    y: Tensor | None = None
    number: Tensor | None = None
    images: Tensor | None = None

    def rows(self, n: int) -> Batch:
        """Return the first ``n`` samples."""
        return self._map(lambda part: part[:n])

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return self._map(lambda part: send(part, device))

    def _map(self, do: Callable[[Tensor], Tensor]) -> Batch:
        x, *others = self
        return Batch(do(x), *(None if part is None else do(part) for part in others))


def sent_ahead(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield batches on a device; for a GPU, the next batch is copied during the current step.

    Args:
        batches: Batches on any device.
        device: Device of the training.
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
    """Make the following GPU work wait for a copy, and keep the copy's memory for that work."""
    here = torch.cuda.current_stream(aside.device)
    here.wait_stream(aside)
    for part in batch:
        if part is not None:
            part.record_stream(here)
