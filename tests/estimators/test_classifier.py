from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine

from sae.errors import InputError
from sae.estimators import AutoencoderClassifier

NAMES = np.array(["red", "rosé", "white"])


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True)
    return X, NAMES[y]


@pytest.fixture(scope="module")
def fitted(wine):
    return AutoencoderClassifier(pretrain_epochs=5, epochs=20, random_state=0).fit(*wine)


def test_it_names_classes_as_they_were_named(fitted, wine):
    assert list(fitted.classes_) == list(NAMES)
    assert set(fitted.predict(wine[0])) <= set(NAMES)
    assert fitted.score(*wine) > 0.95


def test_its_probabilities_are_those_of_the_head(fitted, wine):
    X = wine[0]
    x = torch.tensor((X - X.mean(axis=0)) / X.std(axis=0), dtype=torch.float32)
    (linear,) = fitted.head_.head
    logits = linear(fitted.stack_.encode(x)).numpy().astype(float)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.predict_proba(X), softmax, atol=1e-4)
    np.testing.assert_allclose(fitted.predict_log_proba(X), np.log(softmax), atol=1e-3)
    assert (fitted.predict(X) == NAMES[softmax.argmax(axis=1)]).all()


def test_samples_without_a_label_are_learnt_from_but_are_no_class(wine):
    X, y = wine
    known = np.arange(len(y)) % 6 == 0
    partly = np.where(known, y, "unknown")
    classifier = AutoencoderClassifier(unlabelled="unknown", epochs=20, random_state=0)
    classifier.fit(X, partly)
    assert list(classifier.classes_) == list(NAMES)
    assert classifier.score(X[~known], y[~known]) > 0.85
    # The layers have seen all samples: the scale is that of all, and so are the first weights.
    np.testing.assert_allclose(classifier.scaler_.shift_, X.mean(axis=0))
    few = AutoencoderClassifier(epochs=20, random_state=0).fit(X[known], y[known])
    assert not torch.equal(classifier.stack_[0].weight, few.stack_[0].weight)
    assert list(AutoencoderClassifier(epochs=1).fit(X, partly).classes_) == [
        *NAMES[:2],
        "unknown",
        NAMES[2],
    ]


def test_what_cannot_be_learnt_is_named(wine):
    X, y = wine
    with pytest.raises(InputError, match="2 classes or more, found 1"):
        AutoencoderClassifier().fit(X, ["red"] * len(X))
    with pytest.raises(InputError, match="found 0"):
        AutoencoderClassifier(unlabelled=-1).fit(X, [-1] * len(X))
    some = np.array(["red", "blue"] * len(X), dtype=object)[: len(X)]
    some[3::5] = None
    for unlabelled in (None, "none"):
        with pytest.raises(InputError, match=r"^y: .* found None for \d+ of them, .* sample 3; "):
            AutoencoderClassifier(unlabelled=unlabelled).fit(X, some)
    with pytest.raises(InputError, match="epochs"):
        AutoencoderClassifier(epochs=0).fit(X, y)
