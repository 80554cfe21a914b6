"""Batches straight from tensors in memory, in an order that is a function of (seed, epoch).

One index operation fetches a whole batch; there is no sample-by-sample work, no PIL and no worker
process. On several processes each takes its own share of every batch, so that the batch size is
that of the whole run and no sample is lost or counted twice.
"""

from __future__ import annotations

import math
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


@dataclass(frozen=True)
class Share:
    """What of one batch falls to this process.

    Attributes:
        rows: Its rows in the batch of all processes together, one at least.
        n: Samples that count: those rows, or none where the one row only keeps it in step.
        n_batch: Samples in the batch of all processes together.
        world: Processes.
    """

    rows: slice
    n: int
    n_batch: int
    world: int = 1

    @classmethod
    def equal(cls, n: int, rank: int = 0, world: int = 1) -> Share:
        """The share of process ``rank`` where each of ``world`` has ``n`` samples."""
        return cls(slice(rank * n, (rank + 1) * n), n, world * n, world)

    @property
    def weight(self) -> float:
        """What makes the mean over processes, each a mean over its samples, that of all samples."""
        return self.n * self.world / self.n_batch


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
        return math.ceil(len(self.x) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        order = self.sampler.indices()
        for batch_idx in range(len(self)):
            first, rows = batch_idx * self.batch_size, self.share(batch_idx).rows
            index = slice(first + rows.start, first + rows.stop)
            yield self._batch(index if order is None else order[index])

    def share(self, batch_idx: int) -> Share:
        """What of batch ``batch_idx`` falls to this process; known without asking the others.

        All processes take the same number of batches, or those that talk to each other at each
        step would wait for ever. So one that has no sample in a last batch smaller than the
        processes are many is given a row of another one, and it does not count.
        """
        distributed = dist.is_available() and dist.is_initialized()
        rank, world = (dist.get_rank(), dist.get_world_size()) if distributed else (0, 1)
        n_batch = min(self.batch_size, len(self.x) - batch_idx * self.batch_size)
        start, stop = rank * n_batch // world, (rank + 1) * n_batch // world
        return Share(slice(start, max(stop, start + 1)), stop - start, n_batch, world)

    def _batch(self, index: Tensor | slice) -> tuple[Tensor, ...]:
        x = scale(self.x[index])
        return (x,) if self.y is None else (x, self.y[index])

    def whole(self, batch_size: int = 4096) -> Iterator[Tensor]:
        """All x in stored order, on every process: neither shuffled nor shared out."""
        for x in self.x.split(batch_size):
            yield scale(x)

    def mean(self) -> Tensor:
        """The mean of all x, (features,)."""
        sums = sum(x.double().sum(dim=0) for x in self.whole())
        assert isinstance(sums, Tensor)
        return (sums / len(self.x)).float()

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
