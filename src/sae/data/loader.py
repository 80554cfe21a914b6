"""Batches straight from tensors in memory, in an order that is a function of (seed, epoch).

One index operation fetches a whole batch; there is no sample-by-sample work, no PIL and no worker
process. On several processes each takes its own share of every batch, so that the batch size is
that of the whole run and no sample is seen twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from sae.layers import Autoencoder
from sae.seeding import derive_generator


@dataclass
class _EpochOrder:
    """The order of samples. The Trainer calls ``set_epoch`` on a loader's ``sampler``."""

    n_samples: int
    shuffle: bool
    seed: int
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def indices(self) -> Tensor | None:
        if not self.shuffle:
            return None
        generator = derive_generator(self.seed, "order", self.epoch)
        return torch.randperm(self.n_samples, generator=generator)


class TensorLoader:
    """Batches (x,) or (x, y) from tensors in memory.

    Args:
        x: Samples, (n, features); uint8 is divided by 255 batch by batch, anything else passes.
        y: Labels, (n,), or None.
        batch_size: Samples in a batch, over all processes together.
        shuffle: A new order each epoch.
        seed: Of the order.
    """

    batch_sampler = None  # the Trainer looks for it wherever there is a `sampler`

    def __init__(
        self,
        x: Tensor,
        y: Tensor | None = None,
        batch_size: int = 256,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        self.x, self.y, self.batch_size = x, y, batch_size
        self.sampler = _EpochOrder(len(x), shuffle, seed)

    def __len__(self) -> int:
        return len(self._shares())

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        order = self.sampler.indices()
        for share in self._shares():
            yield self._batch(share if order is None else order[share])

    def _shares(self) -> list[slice]:
        """Which samples of each batch fall to this process.

        A last batch with fewer samples than processes is left out of training, where all must take
        the same number of steps; elsewhere some processes have no share in it.
        """
        distributed = dist.is_available() and dist.is_initialized()
        rank, world = (dist.get_rank(), dist.get_world_size()) if distributed else (0, 1)
        shares = []
        for start in range(0, len(self.x), self.batch_size):
            n = min(self.batch_size, len(self.x) - start)
            share = slice(start + rank * n // world, start + (rank + 1) * n // world)
            if n >= world or (not self.sampler.shuffle and share.start < share.stop):
                shares.append(share)
        return shares

    def _batch(self, index: Tensor | slice) -> tuple[Tensor, ...]:
        x = scale(self.x[index])
        return (x,) if self.y is None else (x, self.y[index])

    def whole(self, batch_size: int = 4096) -> Iterator[Tensor]:
        """All x in stored order, on every process: neither shuffled nor shared out."""
        for x in self.x.split(batch_size):
            yield scale(x)

    def reseeded(self, seed: int) -> TensorLoader:
        """The same samples in another order."""
        return TensorLoader(self.x, self.y, self.batch_size, self.sampler.shuffle, seed)


def scale(x: Tensor) -> Tensor:
    """Pixels in [0, 1] from uint8; other types as they are."""
    return x.float().div_(255) if x.dtype == torch.uint8 else x


@torch.no_grad()
def encode(net: Autoencoder, loader: TensorLoader, device: torch.device | str) -> TensorLoader:
    """The clean codes of all samples of a loader, as a loader: what the next stage trains on.

    Args:
        net: The trained layer below; used in eval mode.
        loader: Its inputs, (n, features).
        device: Where to compute.

    Returns:
        A loader of codes (n, units) in memory, with the labels, batch size and shuffling of
        ``loader``.
    """
    training = net.training
    net.eval().to(device)
    codes = torch.cat([net.encode(x.to(device)).cpu() for x in loader.whole()])
    net.train(training)
    return TensorLoader(
        codes, loader.y, loader.batch_size, loader.sampler.shuffle, loader.sampler.seed
    )
