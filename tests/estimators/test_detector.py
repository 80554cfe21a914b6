from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from sae.errors import InputError
from sae.estimators import AutoencoderDetector


@pytest.fixture(scope="module")
def X():
    """Samples near a line in five dimensions."""
    draw = np.random.RandomState(0)
    return draw.normal(size=(300, 1)) * [1, 2, -1, 0.5, 3] + 0.05 * draw.normal(size=(300, 5))


@pytest.fixture(scope="module")
def fitted(X):
    return AutoencoderDetector(epochs=40, random_state=0).fit(X)


def test_its_score_is_the_error_of_a_reconstruction(fitted, X):
    x = torch.from_numpy((X - X.mean(axis=0)) / X.std(axis=0))
    errors = (deepcopy(fitted.stack_).double()(x) - x).square().mean(dim=1)
    np.testing.assert_allclose(fitted.score_samples(X), -errors.numpy())


def test_it_takes_so_many_training_samples_for_outliers(fitted, X):
    assert (fitted.predict(X) == -1).sum() == 30
    np.testing.assert_allclose(
        fitted.decision_function(X), fitted.score_samples(X) - fitted.offset_
    )
    assert set(fitted.predict(X)) == {-1, 1}
    few = AutoencoderDetector(epochs=2, contamination=0.02).fit(X)
    assert (few.predict(X) == -1).sum() == 6


def test_it_finds_what_no_feature_alone_gives_away(fitted, X):
    others = np.random.default_rng(1).permuted(X, axis=0)  # each feature as before
    scores = np.r_[fitted.score_samples(X), fitted.score_samples(others)]
    assert roc_auc_score(np.r_[np.ones(300), np.zeros(300)], scores) > 0.95


@pytest.mark.parametrize("contamination", [0.0, 0.6, "auto"])
def test_another_contamination_is_refused(X, contamination):
    with pytest.raises(InputError, match="contamination"):
        AutoencoderDetector(contamination=contamination).fit(X)


def test_values_far_out_among_the_training_samples_are_found():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 2)) @ draw.normal(size=(2, 5)) + 0.1 * draw.normal(size=(300, 5))
    x[:6, 4] *= 200
    detector = AutoencoderDetector(contamination=0.02, epochs=10, random_state=0).fit(x)
    assert detector.scaler_.squashed_[4]
    assert (detector.predict(x[:6]) == -1).sum() >= 5
