"""Reconstruction error of each sample: unusual samples have a large one."""

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
    """Return the squared error of each feature of each sample, in the units of the network's input.

    A category has one feature for each of its values; the probability is compared with 1 or 0. A
    missing value has the error NaN. A variational layer uses the mean of the code.

    Args:
        net: The network, in eval mode.
        x: Inputs of the network, (batch, features).

    Returns:
        (batch, features), on the device of the weights.
    """
    x = beside(net, x)
    errors = net.errors(net(x), x)
    return errors if net.columns is None else errors.masked_fill(is_missing(x), torch.nan)


def totals(errors: Tensor) -> Tensor:
    """Return the error of each sample, summed over its features.

    A missing value counts as the average error of the sample's other values. So samples with and
    without missing values can be compared.

    Args:
        errors: Error of each feature, NaN if missing: (batch, features).

    Returns:
        (batch,); NaN for a sample whose values are all missing.
    """
    missing = errors.isnan()
    there = errors.shape[1] - missing.sum(dim=1)
    return errors.masked_fill(missing, 0).sum(dim=1) * (errors.shape[1] / there)


def sample_errors(net: Autoencoder, batches: Iterable[Tensor]) -> NDArray[np.float32]:
    """Return the squared error of each sample, (n,), without those whose values are all missing.

    Args:
        net: The network; its mode is restored afterwards.
        batches: Inputs of the network, (batch, features) each.
    """
    training = net.training
    net.eval()
    errors = [totals(squared_errors(net, x)).float().cpu().numpy() for x in batches]
    net.train(training)
    found = np.concatenate(errors)
    return found[~np.isnan(found)]
