"""Principal components in double precision, from the features or the samples, if these are fewer.

Products of single-precision values far from zero lose the differences between the values: at an
offset of 1,000 the error of PCA was seventy times too large. So the mean is subtracted in double
precision, part by part, to avoid a second copy of the data.
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

# Most values in double precision at a time, and most multiplications of one product. Ctrl-C works
# between two products.
PART_VALUES, PART_PRODUCTS = 2**20, 2**32


@dataclass(frozen=True)
class PCA:
    """Principal components, largest variance first.

    Attributes:
        mean: Mean of the samples, (features,).
        components: The components, (k, features), of length 1 and orthogonal to each other.
        variance_share: Part of the total variance along each component, (k,), in [0, 1].
        has_gaps: Whether missing values are marked as in :mod:`sae.nets.columns`; they are replaced
            by the mean.
    """

    mean: Double
    components: Double
    variance_share: Double
    has_gaps: bool = False

    def transform(self, x: Values, n_components: int) -> Double:
        """Return coordinates along the first components: (m, features) -> (m, n_components)."""
        centred = x - self.mean
        if self.has_gaps:
            centred[is_missing(torch.from_numpy(x)).numpy()] = 0
        return np.asarray(centred @ self.components[:n_components].T)

    def rebuild(self, x: Values, n_components: int) -> Double:
        """Return ``x``, (m, features), rebuilt from its first components, of the same shape."""
        basis = self.components[:n_components]
        return np.asarray(self.transform(x, n_components) @ basis + self.mean)


def fit_pca(train: Values, n_components: int, has_gaps: bool = False) -> PCA:
    """Return the first principal components of ``train``, in double precision.

    If there are at most as many features as samples, they are the eigenvectors of the features'
    covariance. Otherwise they are computed from the eigenvectors of the samples' Gram matrix. Both
    give the same result as a singular value decomposition.

    Args:
        train: Samples, (n, features).
        n_components: How many; fewer if the samples vary in fewer directions.
        has_gaps: Whether missing values are marked as in :mod:`sae.nets.columns`. They are replaced
            by the mean of the feature's other values.
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
        mean /= torch.as_tensor(there).clamp(min=1)  # a missing value counts as 0
    else:
        mean /= n
    fit = _of_features if features <= n else _of_samples
    variances, components, total = fit(x, mean, k, has_gaps)
    if features <= n:  # _of_samples leaves out directions without variance itself
        varies = _varies(variances, features)
        variances, components = variances[varies], components[varies]
    share = variances.clamp(min=0) / total if total > 0 else torch.zeros_like(variances)
    # The sign of a component is arbitrary: make its value of largest size positive.
    greatest = components.abs().argmax(dim=1, keepdim=True)
    components *= components.gather(1, greatest).sign()
    return PCA(mean.numpy(), components.numpy(), share.numpy(), has_gaps)


def _centred(x: Tensor, mean: Tensor, has_gaps: bool) -> Tensor:
    """Return samples minus their mean, in double precision; 0 for missing values."""
    centred = x - mean
    return centred.masked_fill_(is_missing(x), 0) if has_gaps else centred


def _of_features(x: Tensor, mean: Tensor, k: int, has_gaps: bool) -> tuple[Tensor, Tensor, float]:
    """Return sums of squares along the first k components, the components, and the total sum."""
    n, features = x.shape
    scatter = torch.zeros(features, features, dtype=torch.double)
    for rows in _parts(n, features, features):
        centred = _centred(x[rows], mean, has_gaps)
        scatter.addmm_(centred.t(), centred)
    total = scatter.trace().item()
    variances, vectors = beside(lambda: torch.linalg.eigh(scatter))
    return variances.flip(0)[:k], vectors.flip(1)[:, :k].t().contiguous(), total


def _of_samples(x: Tensor, mean: Tensor, k: int, has_gaps: bool) -> tuple[Tensor, Tensor, float]:
    """Return the same as :func:`_of_features`, from products of samples.

    Components without variance are left out.
    """
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
    # Components with very little variance are not orthogonal to the others yet.
    components = beside(lambda: torch.linalg.qr(components).Q)
    return variances, components.t().contiguous(), total


def _varies(variances: Tensor, n: int) -> Tensor:
    """Return which eigenvalues of a matrix (n, n), largest first, are above the rounding error."""
    return variances > n * torch.finfo(torch.double).eps * variances[:1]


def pca_sse(
    pca: PCA,
    images: Iterable[Tensor],
    n_components: int,
    errors: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> float:
    """Return the SSE per image of images rebuilt from their first principal components.

    Args:
        pca: Principal components of the training images.
        images: Images to rebuild, in batches (m, features).
        n_components: Number of components; fewer if ``pca`` has fewer.
        errors: Computes squared errors from a reconstruction and its target, both (m, features);
            needed if some values do not count.
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
    """Yield slices of ``length`` rows of ``width`` values, each multiplied with ``side`` others."""
    step = max(1, min(PART_VALUES // width, PART_PRODUCTS // (width * side)))
    return (slice(first, first + step) for first in range(0, length, step))


def beside(work: Callable[[], T]) -> T:
    """Return ``work()``, run in another thread, so that Ctrl-C works in the meantime.

    A decomposition of a large matrix is a single call that can take minutes.
    """
    result: Future[T] = Future()

    def do() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # raised again by result.result()
            result.set_exception(error)

    Thread(target=do, daemon=True).start()
    while True:
        try:
            return result.result(timeout=0.5)  # without a timeout Ctrl-C fails on Windows
        except StillAtWork:
            if result.done():  # the error was raised by work() itself
                raise
