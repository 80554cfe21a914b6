"""To rebuild not the input but a sample near it, so that the code keeps what neighbours share.

An autoencoder that must rebuild each image to the last stroke keeps much in its code that says
nothing of what the image shows. Here the target of a sample is another one: the end of a random
walk on the graph that joins each sample to those with the nearest codes. What can be told of that
end, given the start, is what all samples along such walks have in common.

Such walks say how alike samples are in diffusion maps (Coifman & Lafon 2006, "Diffusion maps", ACHA
21) and in label propagation (Zhu & Ghahramani 2002). To rebuild a neighbour in place of the input
is the relational loss of Wang et al. (2014), "Generalized Autoencoder: A Neural Network
Framework for Dimensionality Reduction", CVPR workshops.
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

# Each sample is compared with each: of 55,000 it takes seconds, of so many a quarter of an hour.
MOST_SAMPLES = 500_000


class Neighbours(Reconstruct):
    """Rebuild the end of a random walk from the sample, over nearest neighbours in the code.

    The first epochs rebuild the sample itself. Then the code of all training samples is computed,
    and each is joined to those with the nearest codes, by Euclidean distance. From then on every
    sample gets a target for the epoch: it walks a number of hops, drawn from 0 to ``hops``, each to
    one of the neighbours of where it is, all with the same probability.

    Validation and test measure the plain reconstruction of a sample. That gets worse once targets
    are others, as it should; so it does not say which epoch is the best, and the last one goes on.

    Args:
        k: Neighbours of each sample, 1 or more.
        hops: The most hops of a walk, 1 or more: 1 rebuilds a neighbour or the sample itself; some
            hundred lead all over a cluster.
        warm_up: Epochs in which samples themselves are rebuilt, before the graph is made; 0 makes
            it of the pretrained code.
        refresh: Epochs after which the graph is made anew, of the code as it is then; null never.

    Raises:
        InputError: A value lies outside its range.
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
        """Raise :class:`InputError` where no graph can be made, or none would be used."""
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
        """Make the graph where it is time for it, and let all samples walk."""
        self._epoch, self._rows, self._ends = epoch, samples.rows, None
        if epoch < self.warm_up:
            return
        since = epoch - self.warm_up
        due = since == 0 or (self.refresh is not None and since % self.refresh == 0)
        if due or self._graph is None:
            self._graph = nearest(samples.codes(), self.k)
        self._ends = walk(self._graph, self.hops, place.generator("walk", torch.device("cpu")))

    def end_training(self) -> None:
        """Let go of the samples, and of the graph, which is as large as some codes."""
        self._graph = self._ends = self._rows = self._epoch = None

    def epoch_state(self) -> dict[str, Any]:
        """The graph: the next epochs walk on it, though it is of the code of an earlier one."""
        return {} if self._graph is None else {"graph": self._graph}

    def load_epoch_state(self, state: dict[str, Any]) -> None:
        """Take it up."""
        self._graph = state["graph"]

    def losses(self, net: Autoencoder, h: Tensor, batch: Batch, place: Place) -> dict[str, Tensor]:
        """In training how well the end of the walk is rebuilt, in validation the sample itself."""
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
    """The numbers of the ``k`` nearest other samples of each.

    Args:
        codes: (n, units), finite, with n > k.
        k: How many.

    Returns:
        int32, (n, k), the nearest first. Of samples with equal codes each is a neighbour of the
        others, but none of itself.
    """
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=k).fit(codes.numpy()).kneighbors(return_distance=False)
    return torch.from_numpy(found).int()


def walk(graph: Tensor, hops: int, generator: torch.Generator) -> Tensor:
    """Where a random walk from each sample ends.

    Args:
        graph: Neighbours of each sample, (n, k).
        hops: Each walks 0 to so many, all with the same probability.
        generator: What hops and ways are drawn by, on the CPU.

    Returns:
        Numbers of samples, int64, (n,).
    """
    n, k = graph.shape
    lengths = torch.randint(0, hops + 1, (n,), generator=generator)
    # Those with the longest way come first: who still walks is then always at the front.
    lengths, order = lengths.sort(descending=True, stable=True)
    walking = n - torch.searchsorted(lengths.flip(0), torch.arange(hops), right=True)
    here = order.clone()
    for m in walking.tolist():
        way = torch.randint(0, k, (m,), generator=generator)
        here[:m] = graph[here[:m], way].long()
    return torch.empty_like(here).scatter_(0, order, here)
