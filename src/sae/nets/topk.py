"""The k-sparse autoencoder: of each code the k largest units stay, the others are zero.

Makhzani & Frey (2014), "k-Sparse Autoencoders", ICLR; with a ReLU before as in Gao et al. (2024),
"Scaling and evaluating sparse autoencoders", section 2.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sae.errors import InputError, check_bool, check_integer
from sae.nets.dense import Dense

# Length of the weights of a revived unit beside those of living ones. On MNIST with 256 units, k =
# 32 and 8 epochs on 20,000 images, the validation SSE is 6.76 with it, 6.81 where a revived unit is
# to add all that is missing at once, and 6.92 with 111 dead units where none is revived.
REVIVED = 0.2


class TopK(Dense):
    """h = the k largest of relu(W x + b), the others 0; x^ = g(W' h + b').

    How sparse the code is needs no penalty and no weight: it is k. The gradient flows through the
    units that stay. A unit that is never among the k largest gets none and would stay dead; so
    before each epoch dead units are revived, as :meth:`begin_epoch` says.

    Args:
        in_shape: Shape of an input, or its number of features.
        units: Units of the code.
        k: Units of a code that stay; fewer do where fewer are above 0.
        output: g.
        loss: ``"mse"`` or ``"bce"``.
        tied: W' = Wᵀ, one parameter for both.
        revive: Whether dead units are revived.

    Raises:
        InputError: ``k`` is no number from 1 to ``units``.
    """

    def __init__(
        self,
        in_shape: int | Sequence[int],
        units: int,
        k: int,
        output: str = "sigmoid",
        loss: str = "mse",
        tied: bool = False,
        revive: bool = True,
    ) -> None:
        check_integer("k", k, 1, "give the number of units that stay")
        check_bool("revive", revive)
        super().__init__(in_shape, units, "relu", output, loss, tied)
        if k > units:
            raise InputError("k", f"at most the {units} units", f"{k}", "give fewer, or more units")
        self.k, self.revive = k, revive

    def activate(self, z: Tensor) -> Tensor:
        """The k largest of relu(z): (batch, n_code) -> (batch, n_code)."""
        h = torch.relu(z)
        largest, where = h.topk(self.k, dim=1, sorted=False)
        return torch.zeros_like(h).scatter(1, where, largest)

    @torch.no_grad()
    def begin_epoch(self, epoch: int, some: Callable[[], Tensor]) -> None:
        """Revive the units that are on for none of some samples, from the second epoch on.

        Each gets a sample of its own, the worst rebuilt ones first, and points at what is missing
        there, x - x^: its column of W' as long as those of living units on average, its row of W
        ``REVIVED`` times as long as theirs, its bias 0. It begins quietly, and the training makes
        of it what it can. A function of weights and samples, so that a run goes on exactly.

        After Bricken et al. (2023), "Towards Monosemanticity: Decomposing Language Models With
        Dictionary Learning", appendix on neuron resampling; there the direction is that of an input
        drawn with a probability that grows with its loss.

        Args:
            epoch: From 0.
            some: Gives some of the training inputs, (n, n_in).
        """
        if not self.revive or epoch == 0:
            return
        x = some()
        h = self.encode(x)
        is_dead = (h == 0).all(dim=0)
        if not is_dead.any():
            return
        missing = x - self.decode(h)
        worst = missing.square().sum(dim=1).argsort(descending=True, stable=True)
        dead = is_dead.nonzero()[: len(x), 0]
        towards = F.normalize(missing[worst[: len(dead)]])
        rows, columns = self.weight, self._decoder_weight().t()
        living = [each[~is_dead].norm(dim=1).mean().nan_to_num(1.0) for each in (rows, columns)]
        if self.decoder_weight is not None:
            self.decoder_weight[:, dead] = (living[1] * towards).t()
        self.weight[dead] = REVIVED * living[0] * towards
        self.bias[dead] = 0.0

    def extra_repr(self) -> str:
        """Sizes, units, loss and k, for ``print(layer)``."""
        return f"{super().extra_repr()}, k={self.k}"
