"""Rebuild a similar sample instead of the input, so that the code keeps what both share.

An autoencoder that must rebuild each image exactly keeps many details in its code that are not
needed to tell what the image shows. Here the target of a sample is another sample: the end of a
random walk on the graph that links each sample to those with the nearest codes. From the start of a
walk, one can only predict what the samples on such walks have in common.

Random walks measure the similarity of samples in diffusion maps (Coifman & Lafon 2006, "Diffusion
maps", ACHA 21) and in label propagation (Zhu & Ghahramani 2002). The loss on a neighbour in place
of the input is the relational loss of Wang et al. (2014), "Generalized Autoencoder: A Neural
Network Framework for Dimensionality Reduction", CVPR workshops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from sae.batch import Batch
from sae.errors import InputError, check_integer
from sae.nets.layer import Autoencoder
from sae.objectives.objective import TrainingSet
from sae.objectives.reconstruct import Reconstruct
from sae.place import Place

# All pairs of samples are compared: 55,000 samples take seconds, 500,000 a quarter of an hour.
MOST_SAMPLES = 500_000


class Neighbours(Reconstruct):
    """Rebuild the end of a random walk that starts at the sample, on a graph of nearest codes.

    The first epochs rebuild the sample itself. Then the codes of all training samples are computed,
    and each sample is linked to those with the nearest codes, by Euclidean distance. From then on
    each sample gets a new target in each epoch: the end of a walk of 0 to ``hops`` hops, where each
    hop leads to a random neighbour.

    Validation and test measure the reconstruction of the sample itself. It gets worse once the
    targets are other samples, so it cannot choose the best epoch: the weights of the last epoch are
    kept.

    Args:
        k: Neighbours of each sample, 1 to 1000.
        hops: Largest number of hops of a walk, 1 or more. With 1 the target is a neighbour or the
            sample itself; some hundred hops reach any part of a cluster.
        warm_up: Epochs that rebuild the sample itself, before the graph is made; with 0 the graph
            is made from the pretrained code.
        refresh: Epochs after which the graph is made again from the codes of that time; null for
            never.

    Raises:
        InputError: A value is out of range.
    """

    validation_chooses: ClassVar[bool] = False

    def __init__(
        self, k: int = 10, hops: int = 64, warm_up: int = 2, refresh: int | None = None
    ) -> None:
        super().__init__()
        check_integer("k", k, 1, "give the number of neighbours, such as 10", high=1000)
        check_integer("hops", hops, 1, "give the most hops of a walk, such as 64", high=100_000)
        check_integer("warm_up", warm_up, 0, "give a number of epochs")
        if refresh is not None:
            check_integer("refresh", refresh, 1, "give a number of epochs, or null")
        self.k, self.hops, self.warm_up, self.refresh = k, hops, warm_up, refresh
        # None of this is in the weights: the graph goes into checkpoints, see epoch_state.
        self._graph: Tensor | None = None
        self._ends: Tensor | None = None
        self._rows: Callable[[Tensor], Tensor] | None = None
        self._epoch: int | None = None

    def check_training(self, n: int, epochs: int) -> None:
        """Raise :class:`InputError` if no graph can be made, or none would be used."""
        if not self.k < n <= MOST_SAMPLES:
            found = f"{n:,}, of which each is compared with each"
            remedy = "give fewer neighbours" if n <= self.k else "train on fewer"
            expected = f"{self.k + 1:,} to {MOST_SAMPLES:,} training samples for k = {self.k}"
            raise InputError("objective.k", expected, found, remedy)
        if epochs <= self.warm_up:
            expected = f"less than the {epochs} epochs of finetune, so that neighbours are rebuilt"
            remedy = "give fewer, or raise finetune.epochs"
            raise InputError("objective.warm_up", expected, str(self.warm_up), remedy)

    def begin_epoch(self, net: Autoencoder, epoch: int, samples: TrainingSet, place: Place) -> None:
        """Make the graph if it is due, and draw the targets of this epoch."""
        self._epoch, self._rows, self._ends = epoch, samples.rows, None
        if epoch < self.warm_up:
            return
        since = epoch - self.warm_up
        due = since == 0 or (self.refresh is not None and since % self.refresh == 0)
        if due or self._graph is None:
            self._graph = nearest(samples.codes(), self.k)
        self._ends = walk(self._graph, self.hops, place.generator("walk", torch.device("cpu")))

    def end_training(self) -> None:
        """Free the samples and the graph, which can be as large as the codes."""
        self._graph = self._ends = self._rows = self._epoch = None

    def epoch_state(self) -> dict[str, Any]:
        """Return the graph, which later epochs use again."""
        return {} if self._graph is None else {"graph": self._graph}

    def load_epoch_state(self, state: dict[str, Any]) -> None:
        """Restore the graph from a checkpoint."""
        self._graph = state["graph"]

    def losses(self, net: Autoencoder, h: Tensor, batch: Batch, place: Place) -> dict[str, Tensor]:
        """Return the loss: against the end of the walk in training, the sample in validation."""
        if place.epoch is None:
            return super().losses(net, h, batch, place)
        return {"loss": net.reconstruction_loss(h, self._targets(batch, place.epoch))}

    def _targets(self, batch: Batch, epoch: int) -> Tensor:
        if self._epoch != epoch or self._rows is None or batch.number is None:
            found, remedy = "batches from elsewhere", "train it by GreedyPretrainer or `fit`"
            raise InputError("objective", "batches whose samples have numbers", found, remedy)
        if self._ends is None:
            return batch.x
        self._ends = self._ends.to(batch.number.device)  # once
        return self._rows(self._ends[batch.number])


def nearest(codes: Tensor, k: int) -> Tensor:
    """Return the numbers of the ``k`` nearest other samples of each sample.

    Args:
        codes: Codes, (n, units), finite, with n > k.
        k: How many.

    Returns:
        int32, (n, k), the nearest first. No sample is its own neighbour, even if several samples
        have equal codes.
    """
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=k).fit(codes.numpy()).kneighbors(return_distance=False)
    return torch.from_numpy(found).int()


def walk(graph: Tensor, hops: int, generator: torch.Generator) -> Tensor:
    """Return the end of a random walk from each sample.

    Args:
        graph: Neighbours of each sample, (n, k).
        hops: Largest number of hops; 0 to ``hops`` have the same probability.
        generator: Generator for lengths and directions, on the CPU.

    Returns:
        Numbers of samples, int64, (n,).
    """
    n, k = graph.shape
    lengths = torch.randint(0, hops + 1, (n,), generator=generator)
    # Sorted by length, longest first, so that those that still walk are always at the front.
    lengths, order = lengths.sort(descending=True, stable=True)
    walking = n - torch.searchsorted(lengths.flip(0), torch.arange(hops), right=True)
    here = order.clone()
    for m in walking.tolist():
        way = torch.randint(0, k, (m,), generator=generator)
        here[:m] = graph[here[:m], way].long()
    return torch.empty_like(here).scatter_(0, order, here)
