"""Principal components in double precision, from whichever side of the data is smaller.

Products of single-precision values far from zero lose what the values differ in: at an offset of
1,000 the error of PCA came out seventy times as large. So values are centred about their mean in
double precision, part by part, so that no second copy of the data is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillAtWork
from dataclasses import dataclass
from threading import Thread
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae.nets.columns import is_missing
from sae.slow import said_if_slow

Values = NDArray[np.floating[Any]]
Double = NDArray[np.float64]
T = TypeVar("T")

# Values that are in double precision at a time, and multiplications of one product: between two of
# them Ctrl-C is heard.
PART_VALUES, PART_PRODUCTS = 2**20, 2**32


@dataclass(frozen=True)
class PCA:
    """Principal components, those of most variance first.

    Attributes:
        mean: Of the samples, (features,).
        components: (k, features), of length 1 and at right angles to each other.
        variance_share: Part of the whole variance that each holds, (k,), in [0, 1].
        has_gaps: Whether what is missing of samples is marked, as :mod:`sae.nets.columns` has it.
            The mean stands in for it.
    """

    mean: Double
    components: Double
    variance_share: Double
    has_gaps: bool = False

    def transform(self, x: Values, n_components: int) -> Double:
        """Places along the first components: (m, features) -> (m, n_components)."""
        centred = x - self.mean
        if self.has_gaps:
            centred[is_missing(torch.from_numpy(x)).numpy()] = 0
        return np.asarray(centred @ self.components[:n_components].T)

    def rebuild(self, x: Values, n_components: int) -> Double:
        """``x`` (m, features) as its first components have it, of the same shape."""
        basis = self.components[:n_components]
        return np.asarray(self.transform(x, n_components) @ basis + self.mean)


def fit_pca(train: Values, n_components: int, has_gaps: bool = False) -> PCA:
    """The first principal components of ``train``, exact to the digits of double precision.

    With no more features than samples they are the eigenvectors of the features' covariance, else
    they are computed from those of the samples' Gram matrix: both give what a singular value
    decomposition does.

    Args:
        train: Samples, (n, features).
        n_components: How many; cut to the directions in which the samples vary at all.
        has_gaps: Whether what is missing is marked, as :mod:`sae.nets.columns` has it. The mean of
            the feature's other values stands in for it.
    """
    n, features = train.shape
    k = min(n_components, n, features)
    with said_if_slow(f"PCA of {n:,} samples, {k} components"):
        return _fit(torch.from_numpy(train), k, has_gaps)


def _fit(x: Tensor, k: int, has_gaps: bool) -> PCA:
    n, features = x.shape
    mean = torch.zeros(features, dtype=torch.double)
    for rows in _parts(n, features):
        mean += x[rows].sum(dim=0, dtype=torch.double)
    if has_gaps:
        there = sum((~is_missing(x[rows])).sum(dim=0) for rows in _parts(n, features))
        mean /= torch.as_tensor(there).clamp(min=1)  # what is missing counts as 0
    else:
        mean /= n
    fit = _of_features if features <= n else _of_samples
    variances, components, total = fit(x, mean, k, has_gaps)
    if features <= n:  # of the samples' side those without variance are left out already
        varies = _varies(variances, features)
        variances, components = variances[varies], components[varies]
    share = variances.clamp(min=0) / total if total > 0 else torch.zeros_like(variances)
    # The sign of a component means nothing: its greatest value is made positive.
    greatest = components.abs().argmax(dim=1, keepdim=True)
    components *= components.gather(1, greatest).sign()
    return PCA(mean.numpy(), components.numpy(), share.numpy(), has_gaps)


def _centred(x: Tensor, mean: Tensor, has_gaps: bool) -> Tensor:
    """Samples less their mean, in double precision; 0 where one is missing."""
    centred = x - mean
    return centred.masked_fill_(is_missing(x), 0) if has_gaps else centred


def _of_features(x: Tensor, mean: Tensor, k: int, has_gaps: bool) -> tuple[Tensor, Tensor, float]:
    """Sums of squares along the first k components, these, and the sum over all."""
    n, features = x.shape
    scatter = torch.zeros(features, features, dtype=torch.double)
    for rows in _parts(n, features, features):
        centred = _centred(x[rows], mean, has_gaps)
        scatter.addmm_(centred.t(), centred)
    total = scatter.trace().item()
    variances, vectors = beside(lambda: torch.linalg.eigh(scatter))
    return variances.flip(0)[:k], vectors.flip(1)[:, :k].t().contiguous(), total


def _of_samples(x: Tensor, mean: Tensor, k: int, has_gaps: bool) -> tuple[Tensor, Tensor, float]:
    """The same from the products of samples; those without variance are left out."""
    n, features = x.shape
    gram = torch.zeros(n, n, dtype=torch.double)
    for columns in _parts(features, n, n):
        centred = _centred(x[:, columns], mean[columns], has_gaps)
        gram.addmm_(centred, centred.t())
    total = gram.trace().item()
    variances, vectors = beside(lambda: torch.linalg.eigh(gram))
    variances, vectors = variances.flip(0)[:k], vectors.flip(1)[:, :k]
    varies = _varies(variances, n)
    variances, vectors = variances[varies], vectors[:, varies]
    components = torch.empty(features, len(variances), dtype=torch.double)
    for columns in _parts(features, n, k):
        components[columns] = _centred(x[:, columns], mean[columns], has_gaps).t() @ vectors
    components /= variances.sqrt()
    # Those of hardly any variance are not at right angles to the others yet.
    components = beside(lambda: torch.linalg.qr(components).Q)
    return variances, components.t().contiguous(), total


def _varies(variances: Tensor, n: int) -> Tensor:
    """Which eigenvalues, the greatest first, of a matrix (n, n) are more than rounding errors."""
    return variances > n * torch.finfo(torch.double).eps * variances[:1]


def pca_sse(
    pca: PCA,
    images: Iterable[Tensor],
    n_components: int,
    errors: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> float:
    """SSE per image of images rebuilt from their first principal components.

    Args:
        pca: Of the training images.
        images: Those to rebuild, in batches (m, features).
        n_components: Size of the code; cut to the components there are.
        errors: Squared errors of a reconstruction and its target, both (m, features), where some
            values do not count.
    """
    n, sse = 0, 0.0
    for x in (batch.numpy() for batch in images):
        x_hat = pca.rebuild(x, n_components)
        if errors is None:
            error = float(np.square(x - x_hat).sum())
        else:
            error = float(errors(torch.from_numpy(x_hat), torch.from_numpy(x)).double().sum())
        n, sse = n + len(x), sse + error
    return sse / n


def _parts(length: int, width: int, side: int = 1) -> Iterator[slice]:
    """Parts of an axis of so many rows of ``width`` values, each of which meets ``side`` others."""
    step = max(1, min(PART_VALUES // width, PART_PRODUCTS // (width * side)))
    return (slice(first, first + step) for first in range(0, length, step))


def beside(work: Callable[[], T]) -> T:
    """What ``work`` gives, done in a thread beside: this one hears Ctrl-C meanwhile.

    A decomposition of a large matrix is a single call that takes minutes.
    """
    result: Future[T] = Future()

    def do() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # raised again where it is waited for
            result.set_exception(error)

    Thread(target=do, daemon=True).start()
    while True:
        try:
            return result.result(timeout=0.5)  # without a limit Windows would not hear it
        except StillAtWork:
            if result.done():  # a time limit of the work's own
                raise
