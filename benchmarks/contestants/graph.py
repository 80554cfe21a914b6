"""The floor on a GPU: the bare loop's step, recorded once as a CUDA graph and replayed.

Pixels lie in the GPU's memory, a step is one launch, nothing is looked at. On a CPU nothing is
recorded: the same step is taken as it is, to see that it works.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from bare import greedy
from job import LR, begin, parser
from torch import Tensor, nn

WARM_UP = 3  # steps on a stream of their own, before a graph is recorded


class Steps:
    """Steps of training on batches of one size.

    Args:
        net: What is trained.
        x: Samples, (n, features), on the device.
        batch_size: Samples in a batch.
    """

    def __init__(self, net: nn.Module, x: Tensor, batch_size: int) -> None:
        self.net, self.x = net, x
        # The place from which a graph reads which samples it trains on.
        self.index = torch.arange(batch_size, device=x.device)
        self.optimizer = torch.optim.Adam(net.parameters(), lr=LR, fused=True, capturable=x.is_cuda)
        self.graph = self._recorded() if x.is_cuda else None

    def take(self, index: Tensor) -> None:
        """One step on the samples of an index; one smaller than the others is not replayed."""
        if self.graph is None or len(index) < len(self.index):
            self._step(index)
        else:
            self.index.copy_(index)
            self.graph.replay()

    def _step(self, index: Tensor) -> None:
        batch = self.x.index_select(0, index)
        loss = (self.net(batch) - batch).square().sum(1).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def _recorded(self) -> torch.cuda.CUDAGraph:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self._step(self.index)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            self._step(self.index)
        return graph


def train(
    net: nn.Module, x: Tensor, epochs: int, batch_size: int, look: Callable[[], None]
) -> None:
    steps = Steps(net, x, batch_size)
    for _ in range(epochs):
        for index in torch.randperm(len(x), device=x.device).split(batch_size):
            steps.take(index)
        look()


if __name__ == "__main__":
    greedy(train, begin(parser()))
