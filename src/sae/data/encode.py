"""The codes of samples, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sae.data.loader import TensorLoader
from sae.data.rows import encode_rows, scale, take
from sae.devices import beside, placed
from sae.nets.layer import Autoencoder


def encoded(
    net: Autoencoder,
    loader: TensorLoader,
    device: torch.device | str | None = None,
    part: tuple[int, int] = (0, 1),
) -> Iterator[tuple[int, int, Tensor]]:
    """The clean codes of this process's chunks: first row, row after the last, (rows, units).

    Args:
        net: What encodes; in eval mode while it does.
        loader: Its inputs.
        device: Where to compute; where the weights of ``net`` lie if left out.
        part: Number of this process, and how many there are.
    """
    training = net.training
    net.eval()
    with placed(net, device):
        for first, last in chunks_of(loader, *part):
            x = beside(net, take(loader.x, slice(first, last)))
            yield first, last, encode_rows(net, scale(x)).cpu()
    net.train(training)


def chunks_of(loader: TensorLoader, rank: int, world: int) -> list[tuple[int, int]]:
    """The rows, from and to, that a process encodes, in whole chunks.

    A chunk is one product of matrices: cut elsewhere its last bits could differ.
    """
    chunks = list(loader.chunks())
    return chunks[rank * len(chunks) // world : (rank + 1) * len(chunks) // world]
