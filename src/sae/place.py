"""The place of a step in a run, from which all its random numbers are derived."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sae.seeding import derive_seed


@dataclass(frozen=True)
class Share:
    """The part of a batch that this process works on.

    Attributes:
        rows: Its rows in the batch of all processes together; at least one.
        n: Number of rows that count: all of them, or 0 if the row only keeps the process in step.
        n_batch: Samples in the batch of all processes together.
        world: Number of processes.
        n_full: Samples in a full batch (the last one may be shorter); None if unknown.
    """

    rows: slice
    n: int
    n_batch: int
    world: int = 1
    n_full: int | None = None

    @classmethod
    def equal(cls, n: int, rank: int = 0, world: int = 1, n_full: int | None = None) -> Share:
        """Return the share of process ``rank`` if each of ``world`` processes has ``n`` samples."""
        return cls(slice(rank * n, (rank + 1) * n), n, world * n, world, n_full)

    @property
    def weight(self) -> float:
        """Weight of this process's mean, so that the mean over processes is that of all samples."""
        return self.n * self.world / self.n_batch

    @property
    def fullness(self) -> float:
        """Size of this batch as a part of a full one, in (0, 1]; 1 if unknown."""
        return 1.0 if self.n_full is None else self.n_batch / self.n_full


class Generators:
    """One generator per device, because creating one on a GPU takes longer than drawing noise."""

    def __init__(self) -> None:
        self._on: dict[torch.device, torch.Generator] = {}

    def on(self, device: torch.device) -> torch.Generator:
        """Return the generator of a device; seed it before each use."""
        if device not in self._on:
            self._on[device] = torch.Generator(device)
        return self._on[device]


class Place:
    """A place in a run, from which random numbers are drawn.

    The same place always gives the same numbers, for any number of processes: numbers are drawn for
    the batch of all processes together, and each process takes its own rows.

    Args:
        seed: Seed of the run.
        phase: ``stage1``, …, ``finetune``.
        where: The place within the phase, such as epoch and step, or ``"val"`` and a batch number.
        share: The rows of the batch that this process works on.
        epoch: Epoch of a training step, from 0. None in validation and test; a warm-up then has its
            final value.
        generators: Generators to reuse.
    """

    def __init__(
        self,
        seed: int,
        phase: str,
        *where: int | str,
        share: Share,
        epoch: int | None = None,
        generators: Generators | None = None,
    ) -> None:
        self.seed, self.phase, self.where = seed, phase, where
        self.share, self.epoch = share, epoch
        self._generators = generators or Generators()

    def inside(self, *where: int | str) -> Place:
        """Return a place within this one, such as a layer of a stack, with other numbers."""
        place = Place(self.seed, self.phase, *self.where, *where, share=self.share)
        place.epoch, place._generators = self.epoch, self._generators
        return place

    def generator(self, name: str, device: torch.device) -> torch.Generator:
        """Return a generator for a purpose ``name``, valid until the next call for its device."""
        seed = derive_seed(self.seed, name, self.phase, *self.where)
        return self._generators.on(device).manual_seed(seed)

    def normal(self, name: str, like: Tensor) -> Tensor:
        """Return standard normal numbers of the shape of ``like``, (rows, …).

        Args:
            name: A name for their purpose; another name gives other numbers.
            like: A tensor with their shape and type, on their device.
        """
        shape, generator = self._all_rows(like), self.generator(name, like.device)
        noise = torch.randn(shape, generator=generator, device=like.device)
        return noise[self.share.rows].to(like.dtype)

    def uniform(self, name: str, like: Tensor) -> Tensor:
        """Return uniform numbers in [0, 1); arguments as in :meth:`normal`."""
        shape, generator = self._all_rows(like), self.generator(name, like.device)
        noise = torch.rand(shape, generator=generator, device=like.device)
        return noise[self.share.rows].to(like.dtype)

    def integers(self, name: str, low: int, high: int, n: int) -> list[int]:
        """Return ``n`` whole numbers, ``low`` to ``high`` inclusive, the same in all processes."""
        generator = self.generator(name, torch.device("cpu"))
        return torch.randint(low, high + 1, (n,), generator=generator).tolist()

    def _all_rows(self, like: Tensor) -> tuple[int, ...]:
        return (self.share.n_batch, *like.shape[1:])
