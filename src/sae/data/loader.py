"""Batches directly from arrays, in an order that depends only on (seed, epoch).

One index operation fetches a whole batch: there is no work per sample, no PIL and no worker
process. With several processes each takes its share of every batch. So the batch size is that of
the whole run, and no sample is lost or counted twice.
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

# Rows on disk are shuffled in two steps: the blocks, then the rows within this number of blocks
# (256 MiB). So the disk reads large blocks ahead, instead of one page for each row.
WINDOW_BLOCKS = 2**28 // BLOCK_BYTES
# Most rows, and most values, in a chunk when all rows are read once in order.
CHUNK, CHUNK_VALUES = 4096, 2**22


@dataclass
class _EpochOrder:
    """The order of samples. The Trainer calls ``set_epoch`` on the ``sampler`` of a loader.

    Attributes:
        n_samples: Number of samples.
        shuffle: Whether each epoch has a new order; otherwise samples keep their stored order.
        seed: Seed of the order.
        block: Neighbouring rows on disk that are read together; None shuffles all rows freely.
        epoch: Number of the epoch, from 0.
        held: Whether to keep the stored order despite ``shuffle``: set when the Trainer overfits
            on a few batches.
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
        """The order of the blocks, (blocks,); None without blocks or without shuffling."""
        if not self.shuffle or self.held or self.block is None:
            return None
        generator = derive_generator(self.seed, "blocks", self.epoch)
        return torch.randperm(math.ceil(self.n_samples / self.block), generator=generator)

    def indices(self) -> Tensor | None:
        """The order of the samples, (n,); None for the stored order."""
        if not self.shuffle or self.held:
            return None
        blocks, generator = self.blocks(), derive_generator(self.seed, "order", self.epoch)
        if blocks is None or self.block is None:
            return torch.randperm(self.n_samples, generator=generator)
        windows = []
        # Windows of equal size: a short last window would mix only a few blocks, and these may
        # hold samples of a single class.
        for some in blocks.tensor_split(math.ceil(len(blocks) / WINDOW_BLOCKS)):
            rows = (some[:, None] * self.block + torch.arange(self.block)).flatten()
            rows = rows[rows < self.n_samples]
            windows.append(rows[torch.randperm(len(rows), generator=generator)])
        return torch.cat(windows)


class Burst:
    """Several consecutive batches that the Trainer gets as one.

    Args:
        first: Number of the first batch in the epoch.
        batches: The batches, each fetched when needed; can be read once.
    """

    def __init__(self, first: int, batches: Iterator[Batch]) -> None:
        self.first, self._batches = first, batches

    def __iter__(self) -> Iterator[Batch]:
        return self._batches


@dataclass(frozen=True)
class Survey:
    """Statistics of all samples.

    Attributes:
        mean: Mean of each feature, (features,), without missing values.
        low: Lower limit of all values: their minimum, or 0 for pixels. NaN if a value is NaN.
        high: Upper limit of all values: their maximum, or 1 for pixels. NaN if a value is NaN.
        std: Standard deviation of each feature, (features,); None for pixels, which share a scale.
        peak: The largest stored value of pixels, 0 to 255; None for other samples.
    """

    mean: Tensor
    low: float
    high: float
    std: Tensor | None = None
    peak: float | None = None

    @property
    def pixel_range(self) -> tuple[float, float]:
        """(0, 1) if all values are in this range; otherwise (low, high)."""
        return PIXELS if self.low >= 0 and self.high <= 1 else (self.low, self.high)


class TensorLoader:
    """Yields the samples as batches (:class:`~sae.batch.Batch`) or bursts of batches.

    Args:
        x: Samples, (n, features), in memory or in files (:mod:`sae.data.rows`); uint8 is scaled
            to [0, 1] batch by batch, other types are not changed.
        y: Labels, (n,), or None.
        batch_size: Samples in a batch, summed over all processes.
        shuffle: Whether each epoch has a new order. Samples in files are shuffled within windows
            of at most 256 MiB, made of random blocks of 1 MiB, so that the disk is fast enough.
        seed: Seed of the order.

    Attributes:
        burst: Batches in a burst; 1 yields single batches.
        device: The device to which batches are copied; None leaves them where the samples are. See
            :meth:`on`.
        images: The images of the samples, (n, pixels), if x holds their codes and a stage
            reconstructs images; otherwise None.
        has_gaps: Whether missing values of x are marked as in :mod:`sae.nets.columns`.
    """

    batch_sampler = None  # the Trainer reads this of any loader with a `sampler`

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
        self._numbers: Tensor | None = None  # 0, 1, … on the device of the samples
        self.sampler = _EpochOrder(len(x), shuffle, seed, getattr(x, "block", None))

    @property
    def n_batches(self) -> int:
        """Number of batches in an epoch."""
        return math.ceil(len(self.x) / self.batch_size)

    @property
    def n_full(self) -> int:
        """Number of samples in each batch; the last one may have fewer."""
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
        """Yield unscaled batches: copying uint8 to a device is faster than copying floats."""
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
        """Have the disk read one window ahead; receives the number of the next row by ``send``."""
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
        """This process's share of one batch, in the stored order of samples.

        Args:
            batch_idx: Number of the batch, from 0.
        """
        first, rows = batch_idx * self.batch_size, self.share(batch_idx).rows
        batch = self._stored(slice(first + rows.start, first + rows.stop))
        if self.device is not None:
            batch = batch.to(self.device)
        return self._scaled(batch)

    def share(self, batch_idx: int) -> Share:
        """The share of batch ``batch_idx`` for this process, computed without communication.

        All processes take the same number of batches, because they wait for each other at every
        step. If the last batch has fewer samples than there are processes, a process without a
        sample gets a row of another process, and this row does not count.

        Args:
            batch_idx: Number of the batch, from 0.
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
        """The batch with x and images scaled to [0, 1] if they are stored as uint8."""
        images = None if batch.images is None else scale(batch.images)
        return batch._replace(x=scale(batch.x), images=images)

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Yield the first row of each chunk of x, and the row after its last."""
        n, step = len(self.x), chunk_rows(self.x.shape[1])
        return ((first, min(first + step, n)) for first in range(0, n, step))

    def whole(self) -> Iterator[Tensor]:
        """Yield all x in chunks, (rows, features), in stored order; every process gets all."""
        for first, last in self.chunks():
            yield scale(take(self.x, slice(first, last)))

    def survey(self) -> Survey:
        """Compute the statistics of all x in one pass; later calls return the same object."""
        if self._seen is None:
            pixels = are_pixels(self.x)
            self._seen = self._survey_pixels() if pixels else self._survey_numbers()
        return self._seen

    def _survey_pixels(self) -> Survey:
        total, peak = torch.zeros(self.x.shape[1], dtype=torch.double), torch.tensor(0)
        for first, last in self.chunks():
            x = take(self.x, slice(first, last)).cpu()
            # Sums of this few integers are exact in float32, which is ten times faster.
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
            least, most = x.aminmax()  # NaN if a value is NaN
            low, high = torch.minimum(low, least), torch.maximum(high, most)
        mean, square = total / there.clamp(min=1)  # missing values are 0 in both sums
        variance = square - mean.square()
        # A difference this small is a rounding error, not a variance.
        std = torch.where(variance > 1e-13 * square, variance, 0).sqrt()
        return Survey(mean.float(), low.item(), high.item(), std=std.float())

    def sample(self, most: int, most_bytes: int = 2**28) -> TensorLoader:
        """A loader of a random subset of the samples in memory; the subset is always the same.

        Args:
            most: Most samples in the subset.
            most_bytes: Most memory that they take as float32.

        Returns:
            This loader itself if it has no more samples.
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
        """A loader of other features of the same samples, with the same labels and order.

        Args:
            x: The features, (n, features).
        """
        other = TensorLoader(x, self.y, self.batch_size, self.sampler.shuffle, self.sampler.seed)
        other.sampler.block = self.sampler.block
        return other

    def on(self, device: torch.device) -> TensorLoader:
        """A loader of the same batches on a device.

        If the samples fit into a quarter of the GPU's free memory, they are copied there once, and
        a batch is fetched by an index. Otherwise each batch is copied.

        Args:
            device: The device that trains.
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
        """A loader of the same samples in the order of another seed."""
        other = self._again(self.x, self.images)
        other.sampler.seed = seed
        return other

    def beside(self, images: Tensor | Rows) -> TensorLoader:
        """A loader whose batches also hold the images of the samples, (n, pixels)."""
        return self._again(self.x, images)

    def _again(self, x: Tensor | Rows, images: Tensor | Rows | None = None) -> TensorLoader:
        other = self.of(x)
        other.images, other.has_gaps = images, self.has_gaps
        return other


def chunk_rows(features: int) -> int:
    """Number of rows in a chunk, for rows of this many features: a multiple of TILE_ROWS."""
    tiles = max(1, CHUNK_VALUES // (TILE_ROWS * features))
    return min(CHUNK, TILE_ROWS * tiles)
