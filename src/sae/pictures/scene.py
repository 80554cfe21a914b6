"""What the pictures of a phase look at: fixed images, and networks before and now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae.data import SampleDataModule
from sae.data.rows import scale, take
from sae.data.table_preparation import TablePreparation
from sae.devices import beside
from sae.look.knn import to_compare
from sae.look.pca import PCA, fit_pca
from sae.look.units import Units, UnitSums
from sae.nets.stack import Stack
from sae.training.module import TrainingModule

T = TypeVar("T")
N_IMAGES = 2000
MOST_ROWS = 10


class Probe:
    """The images that all pictures of a run show: validation images, always the same ones.

    Args:
        data: Where they come from, set up.
        n_components: Components that the pictures need of a PCA of the training images.

    Attributes:
        images: In [0, 1], (n, pixels).
        labels: Their classes, (n,); 0 throughout where nothing is known of any.
        labelled: Whether their classes are known.
        class_names: What the classes 0, 1, … are called; empty where they are called so.
        table: How rows of a table have become these; None of images.
        rows: Index of the first image of each class, of ten classes at most.
        image_shape: Height and width, and 3 where the images have colours.
        black: What pictures show as black: 0, or the least value of data that go below.
        white: What they show as white: 1, or the greatest value of data that go beyond.
        some: Where not every class has a row, that this is so, for the end of a subtitle.
        source: The data in words, with how many images these are.
        source_of_all: The same of all validation images.
        n_validation: How many these are.
    """

    def __init__(self, data: SampleDataModule, n_components: int) -> None:
        self.images = scale(take(data.val.x, slice(0, N_IMAGES)))
        y = data.val.y
        n = len(self.images)
        self.labelled = y is not None
        self.labels: NDArray[np.int64] = np.zeros(n, np.int64) if y is None else y[:n].numpy()
        every = np.unique(self.labels, return_index=True)[1]
        # Without labels all are of one class, and the first ones get the rows.
        self.rows = np.arange(n)[:MOST_ROWS] if y is None else every[:MOST_ROWS]
        self.some = "" if len(every) <= MOST_ROWS else f" · {MOST_ROWS} of {len(every)} classes"
        self.image_shape, self.n_validation = data.image_shape, len(data.val)
        self.source = f"{data.name}, {n:,} validation images"
        self.source_of_all = f"{data.name}, all {self.n_validation:,} validation images"
        self.black = min(0.0, self.images.min().item())
        self.white = max(1.0, self.images.max().item())
        self.class_names = data.class_names
        prepared = data.preparation
        self.table = prepared if isinstance(prepared, TablePreparation) else None
        self._data, self._n_components = data, n_components

    def validation(self) -> Iterator[Tensor]:
        """All validation images, batch by batch, in [0, 1]."""
        return self._data.val_dataloader().whole()

    def labelled_validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The same with their labels, (batch,); nothing where there are none."""
        loader = self._data.val_dataloader()
        if loader.y is not None:
            for (first, last), x in zip(loader.chunks(), loader.whole(), strict=True):
                yield x, loader.y[first:last]

    def named(self, labels: NDArray[np.int64]) -> NDArray[Any]:
        """Labels as people call the classes: by name, where the data have names.

        Where there are no labels they are all called the empty text.
        """
        if not self.labelled:
            return np.full(labels.shape, "", np.str_)
        return np.array(self.class_names, np.str_)[labels] if self.class_names else labels

    @cached_property
    def pca(self) -> PCA:
        """Principal components of the training images; computed when first asked for."""
        train = self._data.train_dataloader()
        return fit_pca(to_compare(train), self._n_components, train.has_gaps)

    def as_images(self, pixels: Tensor | NDArray[np.float32]) -> NDArray[np.float32]:
        """(…, pixels) as (…, height, width) or (…, height, width, 3), from 0 black to 1 white."""
        images = self.in_shape(pixels)
        if (self.black, self.white) == (0, 1):
            return images
        return (images - self.black) / (self.white - self.black)

    def in_shape(self, values: Tensor | NDArray[np.float32]) -> NDArray[np.float32]:
        """(…, pixels) as (…, height, width) or (…, height, width, 3), whatever the values are."""
        array = values.cpu().numpy() if isinstance(values, Tensor) else values
        return array.reshape(*array.shape[:-1], *self.image_shape)


@dataclass(frozen=True)
class Rebuilt:
    """What a network makes of the probe.

    Attributes:
        name: Whose work, for people.
        images: Of the rows of the probe, (rows, height, width).
        sse: Squared error per image over all images of the probe.
    """

    name: str
    images: NDArray[np.float32]
    sse: float


class Scene:
    """A phase as its pictures see it.

    Args:
        module: What is trained.
        stack: All layers; those of the stages below are trained.
        probe: The images.
        title: Of the phase.
        trained: How many layers the trained stages below reach up to, each: [1, 2] where stages 1
            and 2 were trained. Stages of zero epochs have nothing to show.
    """

    def __init__(
        self,
        module: TrainingModule,
        stack: Stack,
        probe: Probe,
        title: str,
        trained: Sequence[int] = (),
    ) -> None:
        self.module, self.stack, self.probe, self.title = module, stack, probe, title
        self.trained = list(trained)
        self.earlier: list[Rebuilt] = []
        self.code_before: NDArray[np.float32] | None = None
        self.when = ""
        self._kept: dict[str, Any] = {}
        self._units: dict[int, Units] = {}

    @property
    def is_stack(self) -> bool:
        """Whether it is the whole stack, not a single stage."""
        return self.module.net is self.stack

    @property
    def path(self) -> Stack:
        """All layers from the pixels to the code of this phase."""
        return self.stack if self.is_stack else self.stack.below(len(self.module.below) + 1)

    @property
    def subtitle(self) -> str:
        """When, and what is shown, for below a title."""
        return self.dated(self.probe.source)

    def dated(self, source: str) -> str:
        """When, and samples in words."""
        return f"{self.when} · {source}" if self.when else source

    @torch.no_grad()
    def remember(self) -> None:
        """Keep what the networks do before this phase trains."""
        self.remember_stages()
        if self.is_stack:
            self.earlier.append(self._rebuilt("before\nfine-tuning", self.stack))
            self.code_before = self.codes()

    @torch.no_grad()
    def remember_stages(self) -> None:
        """Keep what the stages below make of the images."""
        for layers in self.trained:
            if layers < len(self.path):
                self.earlier.append(self._rebuilt(stages(layers), self.stack.below(layers)))

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What ``make`` gives, made once: for what stays the same while the phase trains."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def now(self) -> Rebuilt:
        """What the network makes of the probe now."""
        name = stages(len(self.path))
        if self.is_stack:
            name = "the stack\n" if self.code_before is None else "after\nfine-tuning"
        return self._rebuilt(name, self.path)

    @torch.no_grad()
    def _rebuilt(self, name: str, net: Stack) -> Rebuilt:
        return self.compared(name, net(beside(net, self.probe.images)).cpu())

    def compared(self, name: str, pixels: Tensor) -> Rebuilt:
        """Pixels (n, pixels) for the images of the probe, beside the probe."""
        sse = self.path.errors(pixels, self.probe.images).sum(dim=1).mean().item()
        return Rebuilt(name, self.probe.as_images(pixels[self.probe.rows].float()), sse)

    @cached_property
    def by_pca(self) -> Rebuilt:
        """What PCA makes of the probe with as many components as the code has units."""
        n = min(self.path[-1].n_code, len(self.probe.pca.components))
        pixels = torch.from_numpy(self.probe.pca.rebuild(self.probe.images.numpy(), n))
        return self.compared(f"PCA-{n}\nof the pixels", pixels)

    def codes(self) -> NDArray[np.float32]:
        """The code of all images of the probe, (n, units)."""
        return self.codes_of(self.path).cpu().numpy()

    @torch.no_grad()
    def codes_of(self, path: Stack) -> Tensor:
        """The same for a path of other layers."""
        return path.encode(beside(path, self.probe.images))

    @torch.no_grad()
    def units(self, path: Stack) -> Units:
        """What the units of a code do over all validation images, as in the phase's health."""
        if len(path) not in self._units:
            sums = UnitSums(path.activation)
            for x in self.probe.validation():
                sums.add(path.encode(beside(path, x)))
            self._units[len(path)] = sums.units()
        return self._units[len(path)]

    def look_again(self) -> None:
        """Forget what the networks did: they have been trained."""
        self._units.clear()


def stages(n: int) -> str:
    """The first ``n`` stages, for a heading of two lines."""
    return "stage 1\n" if n == 1 else f"stages\n1 to {n}"
