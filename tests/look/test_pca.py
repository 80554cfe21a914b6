"""Principal components against scikit-learn's full singular value decomposition, in 64 bits."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest
import torch
from sklearn import decomposition

from sae.look.pca import PART_VALUES, _parts, beside, fit_pca, pca_sse
from sae.nets.columns import Columns, marked


def by_scikit_learn(train, test, k) -> float:
    exact = decomposition.PCA(k, svd_solver="full").fit(train.astype(np.float64))
    rebuilt = exact.inverse_transform(exact.transform(test.astype(np.float64)))
    return float(np.square(test - rebuilt).sum(axis=1).mean())


def in_batches(x):
    return torch.from_numpy(x).split(7)


def samples(n, features, offset=0.0, spread=2.0):
    """Of single precision; their directions differ in variance a thousandfold."""
    rng = np.random.default_rng(0)
    scale = np.geomspace(1, 1e-3, features)
    mixed = rng.standard_normal((n + 20, features)) * scale @ rng.standard_normal((features,) * 2)
    x = (mixed * spread + offset).astype(np.float32)
    return x[:n], x[n:]


@pytest.mark.parametrize("offset", [0.0, 1000.0, -1e5])
@pytest.mark.parametrize("shape", [(600, 36), (36, 36), (36, 37), (30, 600)], ids=str)
def test_error_and_shares_are_those_of_a_full_decomposition(shape, offset):
    train, test = samples(*shape, offset=offset)
    for k in (1, 5, 20):
        pca = fit_pca(train, k)
        assert pca_sse(pca, in_batches(test), k) == pytest.approx(
            by_scikit_learn(train, test, k), rel=1e-5
        )
        exact = decomposition.PCA(k, svd_solver="full").fit(train.astype(np.float64))
        np.testing.assert_allclose(pca.variance_share, exact.explained_variance_ratio_, rtol=1e-5)


def test_far_from_zero_nothing_is_lost():
    """Noise of spread 2 at 1,000: all but one of 36 directions leave 2.34; in 32 bits 3.7."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((600, 36)) * 2 + 1000).astype("f4")
    exact = by_scikit_learn(x, x, 35)
    assert pca_sse(fit_pca(x, 35), in_batches(x), 35) == pytest.approx(exact, rel=1e-5)
    assert exact == pytest.approx(2.34, abs=0.01)


def test_columns_in_units_of_their_own():
    """Some vary by 30, some by 0.002: the small ones keep their digits, too."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 4)) * [33, 1.7, 0.2, 0.002] + [46, 8, 0.5, 0.997]
    exact = by_scikit_learn(x, x, 3)
    assert exact < 1e-5
    assert pca_sse(fit_pca(x, 3), in_batches(x), 3) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("shape", [(50, 8), (8, 50)], ids=str)
def test_components_are_orthonormal_and_their_signs_fixed(shape):
    pca = fit_pca(samples(*shape)[0], 20)
    k = len(pca.components)
    np.testing.assert_allclose(pca.components @ pca.components.T, np.eye(k), atol=1e-9)
    assert (np.diff(pca.variance_share) <= 0).all()
    greatest = np.abs(pca.components).argmax(axis=1)
    assert (pca.components[np.arange(k), greatest] > 0).all()


def test_places_and_what_is_rebuilt_of_them():
    train, test = samples(50, 8)
    pca = fit_pca(train, 3)
    places = pca.transform(test, 2)
    np.testing.assert_allclose(places, (test - pca.mean) @ pca.components[:2].T)
    np.testing.assert_allclose(pca.rebuild(test, 2), places @ pca.components[:2] + pca.mean)


def test_as_many_components_as_features_rebuild_everything():
    x = np.random.default_rng(0).random((50, 8))
    pca = fit_pca(x, 20)
    assert len(pca.components) == 8
    assert pca_sse(pca, [torch.from_numpy(x)], 20) == pytest.approx(0, abs=1e-12)


def test_fewer_samples_than_features_have_one_direction_less_than_samples():
    train, _ = samples(6, 40)
    pca = fit_pca(train, 40)
    assert len(pca.components) == 5
    assert pca_sse(pca, in_batches(train), 40) == pytest.approx(0, abs=1e-12)


def test_there_are_no_more_components_than_directions():
    """Two of eight features follow from others: six directions, and as good as all eight."""
    x = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    x = np.concatenate([x, x[:, :1] + x[:, 1:2], np.ones((50, 1), np.float32)], axis=1)
    x = np.round(x * 64) / 64  # sums are exact
    x[:, 6] = x[:, 0] + x[:, 1]
    pca = fit_pca(x, 8)
    assert len(pca.components) == len(pca.variance_share) == 6
    assert pca_sse(pca, in_batches(x), 8) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("shape", [(9, 4), (4, 9)], ids=str)
def test_samples_that_are_all_the_same_are_rebuilt_from_their_mean(shape):
    x = np.full(shape, 1000.1, np.float32)
    pca = fit_pca(x, 2)
    assert len(pca.components) == 0
    assert pca_sse(pca, in_batches(x), 2) == pytest.approx(0, abs=1e-12)


def test_wide_samples_take_the_smaller_side():
    """Faces, 320 of 10,304 pixels: minutes by their covariance; a second or less by the samples."""
    x = np.random.default_rng(0).random((320, 10_304), dtype=np.float32)
    start = time.process_time()
    pca = fit_pca(x, 64)
    assert time.process_time() - start < 10  # on a busy machine; alone 0.6 s
    exact = by_scikit_learn(x[:, :2000], x[:, :2000], 64)
    narrow = fit_pca(np.ascontiguousarray(x[:, :2000]), 64)
    assert pca_sse(narrow, in_batches(x[:, :2000]), 64) == pytest.approx(exact, rel=1e-5)
    assert pca.components.shape == (64, 10_304)


@pytest.mark.parametrize("length", [1, 5000, 60_000])
@pytest.mark.parametrize("side", [1, 10_304])
def test_parts_cover_an_axis_and_stay_small(length, side):
    parts = list(_parts(length, 784, side))
    assert [i for part in parts for i in range(length)[part]] == list(range(length))
    assert all(784 * (part.stop - part.start) <= PART_VALUES for part in parts)


def test_ctrl_c_is_heard_while_a_library_is_at_work():
    """The main thread waits in Python, so that a signal reaches it; the work goes on or ends."""
    release = threading.Event()
    sent: list[float] = []

    def interrupt() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.2, interrupt)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            beside(release.wait)
        assert time.perf_counter() - sent[0] < 2
    finally:
        signal.signal(signal.SIGINT, before)
        timer.join()
        release.set()


def test_what_fails_beside_fails_here():
    def fails() -> None:
        raise TimeoutError("no more time")

    with pytest.raises(TimeoutError, match="no more time"):
        beside(fails)
    assert beside(lambda: 3) == 3


def test_what_is_missing_does_not_count():
    x = torch.rand(50, 4, generator=torch.Generator().manual_seed(0))
    missing = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.2
    x = marked(x, missing)
    pca = fit_pca(x.numpy(), 2)
    error = np.square(x.numpy() - pca.rebuild(x.numpy(), 2))
    expected = error[~missing.numpy()].sum() / 50
    assert pca_sse(pca, [x], 2, Columns(4).errors) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", [(300, 4), (30, 40)])
def test_the_mean_of_the_others_stands_in_for_what_is_missing(shape):
    """Far from zero a missing value that counted as 0 would be all that PCA sees."""
    gen = torch.Generator().manual_seed(0)
    x = 100 + torch.randn(shape, generator=gen)
    missing = torch.rand(shape, generator=gen) < 0.1
    x, there = marked(x, missing), ~missing.numpy()
    mean = np.array([c[t].mean(dtype=float) for c, t in zip(x.numpy().T, there.T, strict=True)])
    pca = fit_pca(x.numpy(), 1, has_gaps=True)
    np.testing.assert_allclose(pca.mean, mean, rtol=1e-6)
    filled = np.where(there, x.numpy(), mean)
    expected = fit_pca(filled, 1)
    np.testing.assert_allclose(pca.rebuild(x.numpy(), 1), expected.rebuild(filled, 1), rtol=1e-6)
    of_mean = np.square(x.numpy() - mean)[there].sum() / len(x)
    errors = Columns(shape[1]).errors
    assert pca_sse(pca, [x], 1, errors) < of_mean
    assert pca_sse(fit_pca(x.numpy(), 1), [x], 1, errors) > 10 * of_mean, "with zeros"
