from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from sae.errors import InputError
from sae.estimators import AutoencoderTransformer


@pytest.fixture(scope="module")
def X():
    """Samples on a curve that a plane does not hold: seconds, metres and millions."""
    t = np.random.RandomState(0).uniform(-1, 1, (300, 1))
    return np.hstack([t, 10 * t**2 + 3, 1e6 * np.sin(3 * t)])


@pytest.fixture(scope="module")
def fitted(X):
    return AutoencoderTransformer((32, 1), epochs=100, lr=0.02, random_state=0).fit(X)


def test_it_encodes_by_its_stack_and_decodes_to_the_units_of_the_samples(fitted, X):
    x = (X - X.mean(axis=0)) / X.std(axis=0)
    stack = fitted.stack_
    codes = stack.encode(torch.tensor(x, dtype=torch.float32))
    np.testing.assert_allclose(fitted.transform(X), codes, rtol=1e-4, atol=1e-4)
    rebuilt = stack.decode(codes).numpy() * X.std(axis=0) + X.mean(axis=0)
    given = fitted.inverse_transform(codes.numpy().astype(float))
    np.testing.assert_allclose(given / X.std(axis=0), rebuilt / X.std(axis=0), atol=1e-4)


def test_its_score_is_the_variance_that_is_kept(fitted, X):
    rebuilt = fitted.inverse_transform(fitted.transform(X))
    lost = ((X - rebuilt) ** 2 / X.var(axis=0)).mean()
    assert fitted.score(X) == pytest.approx(1 - lost)


def test_it_follows_a_curve_that_pca_cannot(fitted, X):
    x = (X - X.mean(axis=0)) / X.std(axis=0)
    pca = PCA(1).fit(x)
    kept = 1 - ((x - pca.inverse_transform(pca.transform(x))) ** 2).mean()
    assert fitted.score(X) > 0.95 > kept + 0.2


def test_codes_of_another_size_are_refused(fitted):
    with pytest.raises(InputError, match="codes of 1 units, found 2"):
        fitted.inverse_transform([[1.0, 2.0]])
