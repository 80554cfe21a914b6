"""scikit-learn's own checks, all of them, and what people do with an estimator."""

from __future__ import annotations

import doctest
import pickle
import re
from io import BytesIO
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sae.errors import InputError
from sae.estimators import (
    AutoencoderClassifier,
    AutoencoderDetector,
    AutoencoderTransformer,
    classifier,
    detector,
    transformer,
)

ROOT = Path(__file__).parents[2]
KINDS = [AutoencoderTransformer, AutoencoderClassifier, AutoencoderDetector]
SHORT = {"pretrain_epochs": 2, "epochs": 10}


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return X, np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture(scope="module")
def fitted(iris):
    return [kind(**SHORT, random_state=0).fit(*iris) for kind in KINDS]


def results(estimator, X):
    """All that it makes of samples."""
    names = ("transform", "score_samples", "predict", "predict_proba")
    return [getattr(estimator, name)(X) for name in names if hasattr(estimator, name)]


@parametrize_with_checks([kind(**SHORT) for kind in KINDS])
def test_what_scikit_learn_asks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("way", [pickle, joblib], ids=lambda way: way.__name__)
def test_kept_in_a_file_it_gives_the_same(fitted, iris, way):
    for estimator in fitted:
        file = BytesIO()
        way.dump(estimator, file)
        file.seek(0)
        read = way.load(file)
        for ours, its in zip(results(estimator, iris[0]), results(read, iris[0]), strict=True):
            np.testing.assert_array_equal(ours, its)


def test_in_a_pipeline_its_options_are_searched(iris):
    encoder = AutoencoderTransformer(**SHORT, lr=0.02, random_state=0)
    line = make_pipeline(encoder, LogisticRegression())
    search = GridSearchCV(line, {"autoencodertransformer__sizes": [(2,), (8, 3)]}, cv=2)
    search.fit(*iris)
    assert search.cv_results_["mean_test_score"].min() > 0.7
    sizes = search.best_params_["autoencodertransformer__sizes"]
    assert search.best_estimator_[0].transform(iris[0]).shape == (150, sizes[-1])


def test_it_is_validated_across_and_searched_by_its_own_score(iris):
    scores = cross_val_score(AutoencoderClassifier(random_state=0, lr=0.02, epochs=20), *iris)
    assert scores.mean() > 0.9
    sizes = {"sizes": [(8, 1), (8, 3)]}
    encoder = AutoencoderTransformer(epochs=30, lr=0.01, random_state=0)
    search = GridSearchCV(encoder, sizes, cv=KFold(2, shuffle=True, random_state=0)).fit(iris[0])
    assert search.best_params_ == {"sizes": (8, 3)}


def test_a_clone_has_the_options_and_nothing_learnt(fitted):
    for estimator in fitted:
        copy = clone(estimator)
        assert copy.get_params() == estimator.get_params()
        assert not hasattr(copy, "stack_")


def test_tables_with_names_come_out_as_tables_with_names(iris):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(iris[0], columns=list("abcd"))
    encoder = AutoencoderTransformer((8, 2), **SHORT).set_output(transform="pandas").fit(table)
    names = ["autoencodertransformer0", "autoencodertransformer1"]
    assert list(encoder.transform(table).columns) == names
    assert list(encoder.get_feature_names_out()) == names
    assert list(encoder.feature_names_in_) == list("abcd")
    with sklearn.config_context(transform_output="pandas"):  # of our scaler, too
        again = clone(encoder).set_params(random_state=0).fit(table)
        assert isinstance(again.inverse_transform(again.transform(table)), np.ndarray)


def test_a_worker_tells_what_is_wrong_with_an_option(iris):
    search = GridSearchCV(AutoencoderTransformer(), {"noise": [2.0]}, error_score="raise")
    with joblib.parallel_config("threading", n_jobs=2), pytest.raises(InputError, match="noise"):
        search.fit(iris[0])


@pytest.mark.parametrize("module", [transformer, classifier, detector], ids=lambda m: m.__name__)
def test_examples_in_descriptions_are_true(module):
    found = doctest.testmod(module)
    assert found.attempted > 4
    assert found.failed == 0


def test_descriptions_have_the_arguments_of_all():
    for kind in KINDS:
        for option in kind().get_params():
            assert re.search(rf"^        {option}: ", kind.__doc__, re.M), option
