"""What a run keeps to judge new samples by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sae.errors import InputError
from sae.look.pca import fit_pca
from sae.run.reference import (
    ERRORS,
    read_pca,
    threshold,
    validation_errors,
    write_errors,
    write_pca,
)

HERE = Path()


@pytest.mark.parametrize(("quantile", "error"), [(1.0, 10.0), (0.5, 5.0), (0.99, 9.9), (0.25, 2.5)])
def test_a_threshold_is_a_quantile_of_the_errors(quantile, error):
    write_errors(HERE, np.arange(11, dtype=np.float32)[::-1])
    assert threshold(HERE, quantile) == pytest.approx(error)
    assert validation_errors(HERE).tolist() == list(range(10, -1, -1))


@pytest.mark.parametrize("quantile", [0.0, 1.5, float("nan")])
def test_a_quantile_lies_between_0_and_1(quantile):
    with pytest.raises(InputError, match=r"quantile: expected a number in \(0, 1\]"):
        threshold(HERE, quantile)


@pytest.mark.parametrize(
    ("content", "found"),
    [(None, "none"), (b"", "a damaged one"), (b"no array", "a damaged one")],
)
def test_without_errors_there_is_no_threshold(content, found):
    if content is not None:
        Path(ERRORS).write_bytes(content)
    with pytest.raises(InputError, match=f"a file {ERRORS} for a threshold, found {found}"):
        threshold(HERE, 0.9)


def test_errors_that_are_no_numbers_are_no_threshold():
    write_errors(HERE, np.array([1, np.nan], np.float32))
    with pytest.raises(InputError, match="a damaged one"):
        threshold(HERE, 0.9)


def test_components_come_back():
    x = torch.rand(30, 6, generator=torch.Generator().manual_seed(0)).numpy()
    pca = fit_pca(x, 4)
    write_pca(HERE, pca, 2)
    found = read_pca(HERE)
    assert found is not None
    assert found.components.shape == (2, 6)
    np.testing.assert_allclose(found.rebuild(x, 2), pca.rebuild(x, 2), atol=1e-6)


def test_no_components_are_none():
    assert read_pca(HERE) is None
