"""How far each sample is from its reconstruction: what tells odd samples from usual ones."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae.devices import beside
from sae.nets.layer import Autoencoder


@torch.no_grad()
def squared_errors(net: Autoencoder, x: Tensor) -> Tensor:
    """The squared error of each feature of each sample, in the units that the network is given.

    A category is a feature for each of its values, whose probability is compared with 1 or 0. What
    is missing of a sample has no error.

    The code is the clean, deterministic one: of a variational layer the mean.

    Args:
        net: In eval mode.
        x: Inputs of the network, (batch, features).

    Returns:
        (batch, features), where the weights lie.
    """
    x = beside(net, x)
    return net.errors(net(x), x)


def sample_errors(net: Autoencoder, batches: Iterable[Tensor]) -> NDArray[np.float32]:
    """The squared error of each sample, summed over its features: (n,).

    Args:
        net: In eval mode while it does.
        batches: Inputs of the network, (batch, features) each.
    """
    training = net.training
    net.eval()
    errors = [squared_errors(net, x).sum(dim=1).float().cpu().numpy() for x in batches]
    net.train(training)
    return np.concatenate(errors)
