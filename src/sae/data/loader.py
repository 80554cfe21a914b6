"""Batches straight from arrays, in an order that is a function of (seed, epoch).

One index operation fetches a whole batch; there is no sample-by-sample work, no PIL and no worker
process. On several processes each takes its own share of every batch, so that the batch size is
that of the whole run and no sample is lost or counted twice.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sae.batch import Batch, sent_ahead
from sae.data.rows import BLOCK_BYTES, TILE_ROWS, Rows, are_pixels, scale, take
from sae.devices import free_memory
from sae.nets.activations import PIXELS
from sae.nets.columns import is_missing
from sae.place import Share
from sae.seeding import derive_generator

# Rows on disk are put into a new order block by block, and row by row within so many blocks: a
# quarter of a gigabyte is read ahead at most, instead of a page for each row from anywhere.
WINDOW_BLOCKS = 2**28 // BLOCK_BYTES
# Rows that are looked at together in a pass through all of them, but for rows so wide that these
# would be more than so many values.
CHUNK, CHUNK_VALUES = 4096, 2**22


@dataclass
class _EpochOrder:
    """The order of samples. The Trainer calls ``set_epoch`` on a loader's ``sampler``.

    Attributes:
        n_samples: How many there are.
        shuffle: Whether they come in a new order each epoch, or as they are stored.
        seed: Of the order.
        block: Rows that lie together on disk; None where all rows may come after all others.
        epoch: Which.
        held: As they are stored all the same: the Trainer overfits on a few batches.
    """

    n_samples: int
    shuffle: bool
    seed: int
    block: int | None = None
    epoch: int = 0
    held: bool = False

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def blocks(self) -> Tensor | None:
        """The order of the blocks, where there are any."""
        if not self.shuffle or self.held or self.block is None:
            return None
        generator = derive_generator(self.seed, "blocks", self.epoch)
        return torch.randperm(math.ceil(self.n_samples / self.block), generator=generator)

    def indices(self) -> Tensor | None:
        """The order of the samples; None as they are stored."""
        if not self.shuffle or self.held:
            return None
        blocks, generator = self.blocks(), derive_generator(self.seed, "order", self.epoch)
        if blocks is None or self.block is None:
            return torch.randperm(self.n_samples, generator=generator)
        windows = []
        # Of equal sizes: what is left over for a last one would be rows of few blocks, which may
        # be of one class.
        for some in blocks.tensor_split(math.ceil(len(blocks) / WINDOW_BLOCKS)):
            rows = (some[:, None] * self.block + torch.arange(self.block)).flatten()
            rows = rows[rows < self.n_samples]
            windows.append(rows[torch.randperm(len(rows), generator=generator)])
        return torch.cat(windows)


class Burst:
    """Batches that follow one another, handed to the Trainer as one.

    Args:
        first: Number of the first of them in the epoch.
        batches: They, each fetched when it is asked for; once.
    """

    def __init__(self, first: int, batches: Iterator[Batch]) -> None:
        self.first, self._batches = first, batches

    def __iter__(self) -> Iterator[Batch]:
        return self._batches


@dataclass(frozen=True)
class Survey:
    """What all samples have in common.

    Attributes:
        mean: Their mean, (features,); of a table that of the values that are there.
        low: No value is lower; of pixels 0. Not a number where one of them is not.
        high: No value is higher; of pixels 1.
        std: Standard deviation of each feature, (features,); None of pixels, which share a scale.
        peak: The greatest value of pixels as they are stored, 0 to 255; None of other samples.
    """

    mean: Tensor
    low: float
    high: float
    std: Tensor | None = None
    peak: float | None = None

    @property
    def pixel_range(self) -> tuple[float, float]:
        """Between which values they are taken to lie: 0 and 1, or their own where some are not."""
        return PIXELS if self.low >= 0 and self.high <= 1 else (self.low, self.high)


class TensorLoader:
    """A :class:`~sae.batch.Batch` after another, or bursts of them.

    Args:
        x: Samples, (n, features), in memory or elsewhere (:mod:`sae.data.rows`); uint8 is scaled
            to [0, 1] batch by batch, other types pass.
        y: Labels, (n,), or None.
        batch_size: Samples in a batch, over all processes together.
        shuffle: A new order each epoch. Samples in files are shuffled within windows of equal
            size, a quarter of a gigabyte at most, made of blocks of a megabyte from anywhere, so
            that a disk can keep up.
        seed: Of the order.

    Attributes:
        burst: Batches in a burst; 1 gives them as they are.
        device: Where batches are sent; None leaves them where the samples are. See :meth:`on`.
        images: The images of the same samples, (n, pixels), where x are their codes and a stage is
            to rebuild images; else None.
        has_gaps: Whether what is missing of x is marked, as :mod:`sae.nets.columns` has it.
    """

    batch_sampler = None  # the Trainer looks for it wherever there is a `sampler`

    def __init__(
        self,
        x: Tensor | Rows,
        y: Tensor | None = None,
        batch_size: int = 256,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        self.x, self.y, self.batch_size, self.burst = x, y, batch_size, 1
        self.device: torch.device | None = None
        self.images: Tensor | Rows | None = None
        self.has_gaps = False
        self._seen: Survey | None = None
        self._numbers: Tensor | None = None  # 0, 1, … where the samples lie on a device
        self.sampler = _EpochOrder(len(x), shuffle, seed, getattr(x, "block", None))

    @property
    def n_batches(self) -> int:
        """Batches in an epoch."""
        return math.ceil(len(self.x) / self.batch_size)

    @property
    def n_full(self) -> int:
        """Samples in each batch but the last one, which may have fewer."""
        return min(self.batch_size, len(self.x))

    def __len__(self) -> int:
        return math.ceil(self.n_batches / self.burst)

    def __iter__(self) -> Iterator[Any]:
        batches = self._batches()
        if self.device is not None:
            batches = sent_ahead(batches, self.device)
        batches = (self._scaled(batch) for batch in batches)
        if self.burst == 1:
            yield from batches
            return
        for first in range(0, self.n_batches, self.burst):
            yield Burst(first, islice(batches, self.burst))

    def _batches(self) -> Iterator[Batch]:
        """Batches as they are stored: bytes are copied to a device, not the floats they become."""
        order, ahead = self.sampler.indices(), self._read_ahead()
        if order is not None and isinstance(self.x, Tensor):
            order = order.to(self.x.device)
        next(ahead)
        for batch_idx in range(self.n_batches):
            first, rows = batch_idx * self.batch_size, self.share(batch_idx).rows
            ahead.send(first)
            index = slice(first + rows.start, first + rows.stop)
            yield self._stored(index if order is None else order[index])

    def _read_ahead(self) -> Generator[None, int, None]:
        """Told how far the epoch is, have the blocks of one window more read from the disk."""
        blocks, block = self.sampler.blocks(), self.sampler.block or 0
        hinted, queue = 0, iter([] if blocks is None else blocks.tolist())
        done = yield
        while True:
            while hinted < done + WINDOW_BLOCKS * block and (k := next(queue, None)) is not None:
                for rows in (self.x, self.images):
                    if isinstance(rows, Rows):
                        rows.will_need(k * block, min((k + 1) * block, len(self.x)))
                hinted += block
            done = yield

    def batch(self, batch_idx: int) -> Batch:
        """This process's share of a batch in stored order."""
        first, rows = batch_idx * self.batch_size, self.share(batch_idx).rows
        batch = self._stored(slice(first + rows.start, first + rows.stop))
        if self.device is not None:
            batch = batch.to(self.device)
        return self._scaled(batch)

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
        rows = slice(start, max(stop, start + 1))
        return Share(rows, stop - start, n_batch, world, self.n_full)

    def _stored(self, index: Tensor | slice) -> Batch:
        labels = None if self.y is None else take(self.y, index)
        images = None if self.images is None else take(self.images, index)
        x = take(self.x, index)
        if not isinstance(index, slice):
            number = index
        elif self._numbers is not None:
            number = self._numbers[index]
        else:
            number = torch.arange(index.start, index.start + len(x))
        return Batch(x, labels, number, images)

    @staticmethod
    def _scaled(batch: Batch) -> Batch:
        """The same with x and images in [0, 1] where they are stored as bytes."""
        images = None if batch.images is None else scale(batch.images)
        return batch._replace(x=scale(batch.x), images=images)

    def chunks(self) -> Iterator[tuple[int, int]]:
        """First row of each chunk of a pass through all x, and the row after its last."""
        n, step = len(self.x), chunk_rows(self.x.shape[1])
        return ((first, min(first + step, n)) for first in range(0, n, step))

    def whole(self) -> Iterator[Tensor]:
        """All x in stored order, on every process: neither shuffled nor shared out."""
        for first, last in self.chunks():
            yield scale(take(self.x, slice(first, last)))

    def survey(self) -> Survey:
        """The mean of all x and the values between which they lie, in one pass, taken once."""
        if self._seen is None:
            pixels = are_pixels(self.x)
            self._seen = self._survey_pixels() if pixels else self._survey_numbers()
        return self._seen

    def _survey_pixels(self) -> Survey:
        total, peak = torch.zeros(self.x.shape[1], dtype=torch.double), torch.tensor(0)
        for first, last in self.chunks():
            x = take(self.x, slice(first, last)).cpu()
            # Sums of so few whole numbers are exact in single precision, and ten times faster.
            total += x.float().sum(dim=0)
            peak = torch.maximum(peak, x.max())
        return Survey((total / (255 * len(self.x))).float(), 0.0, 1.0, peak=float(peak))

    def _survey_numbers(self) -> Survey:
        total = torch.zeros(2, self.x.shape[1], dtype=torch.double)  # of values, of squares
        there = torch.zeros(self.x.shape[1], dtype=torch.double)
        low, high = torch.tensor(math.inf), torch.tensor(-math.inf)
        for first, last in self.chunks():
            x = take(self.x, slice(first, last)).cpu()
            double = x.double()
            total += torch.stack([double.sum(dim=0), double.square().sum(dim=0)])
            there += (~is_missing(x)).sum(dim=0) if self.has_gaps else len(x)
            least, most = x.aminmax()  # NaN where one of them is
            low, high = torch.minimum(low, least), torch.maximum(high, most)
        mean, square = total / there.clamp(min=1)  # what is missing counts as 0 in both
        variance = square - mean.square()
        # What is left of a difference of nearly equal numbers is no variance.
        std = torch.where(variance > 1e-13 * square, variance, 0).sqrt()
        return Survey(mean.float(), low.item(), high.item(), std=std.float())

    def sample(self, most: int, most_bytes: int = 2**28) -> TensorLoader:
        """The same in memory, or so many of the samples, drawn at random but always the same.

        Args:
            most: Samples to take at most.
            most_bytes: What they may take in single precision.
        """
        most = min(most, max(1, most_bytes // (4 * self.x.shape[1])))
        if len(self.x) <= most:
            return self
        generator = derive_generator(0, "sample")
        index = torch.randperm(len(self.x), generator=generator)[:most].sort().values
        labels = None if self.y is None else self.y[index]
        some = TensorLoader(take(self.x, index), labels, self.batch_size)
        some.has_gaps = self.has_gaps
        return some

    def of(self, x: Tensor | Rows) -> TensorLoader:
        """A loader of other features of the same samples: their labels, their order."""
        other = TensorLoader(x, self.y, self.batch_size, self.sampler.shuffle, self.sampler.seed)
        other.sampler.block = self.sampler.block
        return other

    def on(self, device: torch.device) -> TensorLoader:
        """The same batches on a device.

        The samples lie in a GPU's memory, where a quarter of what is free there holds them: a batch
        is then fetched by an index, without a copy at each step. Else each batch is sent there.

        Args:
            device: Where the training computes.
        """
        if device.type == "cpu":
            return self
        parts = [part for part in (self.x, self.images) if part is not None]
        tensors = [part for part in parts if isinstance(part, Tensor)]
        fits = sum(tensor.nbytes for tensor in tensors) <= free_memory(device) / 4
        if len(tensors) < len(parts) or not fits:
            other = self._again(self.x, self.images)
            other.device = device
            return other
        other = self._again(*(tensor.to(device) for tensor in tensors))
        other.y = None if self.y is None else self.y.to(device)
        other._numbers = torch.arange(len(self.x)).to(device)
        return other

    def reseeded(self, seed: int) -> TensorLoader:
        """The same samples in another order."""
        other = self._again(self.x, self.images)
        other.sampler.seed = seed
        return other

    def beside(self, images: Tensor | Rows) -> TensorLoader:
        """The same with the images of the samples, (n, pixels), in each batch."""
        return self._again(self.x, images)

    def _again(self, x: Tensor | Rows, images: Tensor | Rows | None = None) -> TensorLoader:
        other = self.of(x)
        other.images, other.has_gaps = images, self.has_gaps
        return other


def chunk_rows(features: int) -> int:
    """Rows of so many features that are looked at together: whole tiles of a product."""
    tiles = max(1, CHUNK_VALUES // (TILE_ROWS * features))
    return min(CHUNK, TILE_ROWS * tiles)
