"""How far each sample is from its reconstruction: what tells odd samples from usual ones."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae.devices import beside
from sae.nets.columns import is_missing
from sae.nets.layer import Autoencoder


@torch.no_grad()
def squared_errors(net: Autoencoder, x: Tensor) -> Tensor:
    """The squared error of each feature of each sample, in the units that the network is given.

    A category is a feature for each of its values, whose probability is compared with 1 or 0. What
    is missing of a sample has no error: not a number.

    The code is the clean, deterministic one: of a variational layer the mean.

    Args:
        net: In eval mode.
        x: Inputs of the network, (batch, features).

    Returns:
        (batch, features), where the weights lie.
    """
    x = beside(net, x)
    errors = net.errors(net(x), x)
    return errors if net.columns is None else errors.masked_fill(is_missing(x), torch.nan)


def totals(errors: Tensor) -> Tensor:
    """The error of each sample: summed over its features, as if all of them were there.

    What is missing is taken to be as far off as the rest of the sample is on average: the sum over
    the features that are there, times all features by those. So samples with gaps are judged on the
    scale of whole ones, and whole ones have their plain sum.

    Args:
        errors: Of each feature, not a number where one is missing: (batch, features).

    Returns:
        (batch,); not a number of a sample that has no feature at all.
    """
    missing = errors.isnan()
    there = errors.shape[1] - missing.sum(dim=1)
    return errors.masked_fill(missing, 0).sum(dim=1) * (errors.shape[1] / there)


def sample_errors(net: Autoencoder, batches: Iterable[Tensor]) -> NDArray[np.float32]:
    """The squared error of each sample that has any features, as :func:`totals` sums them: (n,).

    Args:
        net: In eval mode while it does.
        batches: Inputs of the network, (batch, features) each.
    """
    training = net.training
    net.eval()
    errors = [totals(squared_errors(net, x)).float().cpu().numpy() for x in batches]
    net.train(training)
    found = np.concatenate(errors)
    return found[~np.isnan(found)]
