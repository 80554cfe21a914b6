from __future__ import annotations

import pytest
from helpers import tiny_data, tiny_model

from sae.look.pca import fit_pca, pca_sse
from sae.training.evaluate import compare


def test_compare_uses_the_training_images_and_the_code_size():
    data, model = tiny_data(), tiny_model()
    figures = {name: found.value for name, found in compare(model, data).items()}
    train, test = data.train.x.numpy() / 255, data.test.x / 255
    assert figures["pca_sse"] == pytest.approx(pca_sse(fit_pca(train, 3), [test], 3), rel=1e-4)
    given = {name: found.value for name, found in compare(model, data, fit_pca(train, 12)).items()}
    assert given == pytest.approx(figures, rel=1e-4)
    assert 0 <= figures["knn_accuracy"] <= 100
