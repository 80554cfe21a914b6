"""Encode samples chunk by chunk."""

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
    """Encode this process's share of the samples, without corruption.

    Args:
        net: The network that encodes; it is in eval mode meanwhile.
        loader: The inputs.
        device: The device that computes; None for the device of the weights of ``net``.
        part: Number of this process, and the number of processes.

    Yields:
        First row of a chunk, row after its last, and its codes on the CPU, (rows, units).
    """
    training = net.training
    net.eval()
    with placed(net, device):
        for first, last in chunks_of(loader, *part):
            x = beside(net, take(loader.x, slice(first, last)))
            yield first, last, encode_rows(net, scale(x)).cpu()
    net.train(training)


def chunks_of(loader: TensorLoader, rank: int, world: int) -> list[tuple[int, int]]:
    """The chunks that a process encodes, as (first row, row after the last).

    Chunks are never split between processes: other matrix sizes could change the last bits.

    Args:
        loader: The inputs.
        rank: Number of this process, from 0.
        world: Number of processes.
    """
    chunks = list(loader.chunks())
    return chunks[rank * len(chunks) // world : (rank + 1) * len(chunks) // world]
