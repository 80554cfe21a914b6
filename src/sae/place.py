"""Where in a run a step is: all that is random in it is a function of this."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sae.seeding import derive_seed


@dataclass(frozen=True)
class Share:
    """What of one batch falls to this process.

    Attributes:
        rows: Its rows in the batch of all processes together, one at least.
        n: Samples that count: those rows, or none where the one row only keeps it in step.
        n_batch: Samples in the batch of all processes together.
        world: Processes.
        n_full: Samples in a batch that is no short last one; None where that is not known.
    """

    rows: slice
    n: int
    n_batch: int
    world: int = 1
    n_full: int | None = None

    @classmethod
    def equal(cls, n: int, rank: int = 0, world: int = 1, n_full: int | None = None) -> Share:
        """The share of process ``rank`` where each of ``world`` has ``n`` samples."""
        return cls(slice(rank * n, (rank + 1) * n), n, world * n, world, n_full)

    @property
    def weight(self) -> float:
        """What makes the mean over processes, each a mean over its samples, that of all samples."""
        return self.n * self.world / self.n_batch

    @property
    def fullness(self) -> float:
        """Which part of a full batch this one is, in (0, 1]; 1 where that is not known."""
        return 1.0 if self.n_full is None else self.n_batch / self.n_full


class Generators:
    """One generator a device: a GPU takes longer to make a new one than to draw a batch's noise."""

    def __init__(self) -> None:
        self._on: dict[torch.device, torch.Generator] = {}

    def on(self, device: torch.device) -> torch.Generator:
        """That of a device; whoever draws from it seeds it first."""
        if device not in self._on:
            self._on[device] = torch.Generator(device)
        return self._on[device]


class Place:
    """A place in a run, from which random numbers are drawn.

    The same place gives the same numbers, whatever ran before and however many processes there
    are: they are drawn for the batch of all processes together, and each takes its own rows.

    Args:
        seed: Of the run.
        phase: ``stage1``, …, ``finetune``.
        where: What tells the place within the phase: epoch and step, or ``"val"`` and a batch.
        share: Which rows of its batch this process has.
        epoch: The epoch of a training step; None in validation and test, where what grows over the
            epochs (a warm-up) is at its end.
        generators: Where to take generators from.
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
        """A place within this one, such as a layer of a stack: its numbers are others."""
        place = Place(self.seed, self.phase, *self.where, *where, share=self.share)
        place.epoch, place._generators = self.epoch, self._generators
        return place

    def generator(self, name: str, device: torch.device) -> torch.Generator:
        """A generator for what ``name`` tells; the next call for the same device seeds it anew."""
        seed = derive_seed(self.seed, name, self.phase, *self.where)
        return self._generators.on(device).manual_seed(seed)

    def normal(self, name: str, like: Tensor) -> Tensor:
        """Standard normal numbers, one for each of ``like``, (rows, …).

        Args:
            name: What they are for: another name gives other numbers.
            like: What has their shape and lies on their device.
        """
        shape, generator = self._all_rows(like), self.generator(name, like.device)
        noise = torch.randn(shape, generator=generator, device=like.device)
        return noise[self.share.rows].to(like.dtype)

    def uniform(self, name: str, like: Tensor) -> Tensor:
        """Uniform numbers in [0, 1), as :meth:`normal`."""
        shape, generator = self._all_rows(like), self.generator(name, like.device)
        noise = torch.rand(shape, generator=generator, device=like.device)
        return noise[self.share.rows].to(like.dtype)

    def integers(self, name: str, low: int, high: int, n: int) -> list[int]:
        """``n`` whole numbers from ``low`` to ``high``, both included: one draw for the batch."""
        generator = self.generator(name, torch.device("cpu"))
        return torch.randint(low, high + 1, (n,), generator=generator).tolist()

    def _all_rows(self, like: Tensor) -> tuple[int, ...]:
        return (self.share.n_batch, *like.shape[1:])
