from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import place_of, tiny_data, tiny_model

from sae.data import TableDataModule
from sae.look.pca import fit_pca, pca_sse
from sae.nets.columns import is_missing
from sae.pictures.scene import Probe
from sae.terms.corruption import Corruption
from sae.training import evaluate
from sae.training.evaluate import compare, denoises, restoration
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder


def test_compare_uses_the_training_images_and_the_code_size():
    data, model = tiny_data(), tiny_model()
    figures = {name: found.value for name, found in compare(model, data).items()}
    train, test = data.train.x.numpy() / 255, data.test.x / 255
    assert figures["pca_sse"] == pytest.approx(pca_sse(fit_pca(train, 3), [test], 3), rel=1e-4)
    given = {name: found.value for name, found in compare(model, data, fit_pca(train, 12)).items()}
    assert given == pytest.approx(figures, rel=1e-4)
    assert 0 <= figures["knn_accuracy"] <= 100
    fewer = compare(model, data, fit_pca(train, 2))["pca_sse"]  # than the code of 3 units
    assert fewer.line()[0] == "PCA-2, test SSE per image"


def denoiser(level: float = 0.3):
    model = tiny_model().eval()
    model.recipe = Recipe(corruption=Corruption("gaussian", level))
    return model


@pytest.mark.parametrize("most", [2000, 20])
def test_restorations_are_judged_under_the_noise_of_the_test(most, monkeypatch):
    monkeypatch.setattr(evaluate, "MOST_RESTORED", most)
    data, model = tiny_data(batch_size=16), denoiser()
    pca = fit_pca(data.train.x.numpy() / np.float32(255), 3)
    found = restoration(model, data, pca)
    n, errors = min(most, 24), []
    for k, x in enumerate((data.test.x / 255).split(16)):
        noisy = model.corrupt(x, place_of(model, x, "test", k, 0))
        with torch.no_grad():
            errors.append(torch.stack([noisy - x, model.net(noisy) - x]))
    corrupted, restored = torch.cat(errors, dim=1)[:, :n].square().mean(dim=(1, 2)).tolist()
    assert found["corrupted_psnr"].value == pytest.approx(-10 * np.log10(corrupted), rel=1e-4)
    assert found["restored_psnr"].value == pytest.approx(-10 * np.log10(restored), rel=1e-4)
    of = "corrupted test images" if most > 24 else "20 corrupted test images"
    assert found["corrupted_psnr"].line()[0] == f"PSNR of {of}, dB"
    assert {"median_psnr", "pca_psnr"} <= found.keys() <= compare(model, data, pca).keys()
    assert not model.training


def test_only_what_restores_images_is_judged_so():
    data = tiny_data()
    assert denoises(denoiser(), data)
    assert not denoises(denoiser(0.0), data)
    assert not denoises(tiny_model(), data)
    left_out = denoiser()
    left_out.recipe = Recipe(epochs=0, corruption=left_out.recipe.corruption)
    assert not denoises(left_out, data)
    data.image_shape = (1, 12)
    assert not denoises(denoiser(), data)
    assert "restored_psnr" not in compare(denoiser(), data)


def test_of_a_table_with_gaps_pca_is_no_worse_than_the_means_of_columns():
    """From the file to the figure: no missing value counts as 0 anywhere."""
    draw = np.random.default_rng(0)
    x = 100 + draw.normal(size=(300, 1)) + 0.5 * draw.normal(size=(300, 4))
    missing = draw.random(x.shape) < 0.1
    cells = np.where(missing, "", np.char.mod("%.4f", x))
    Path("gaps.csv").write_text("\n".join(["a,b,c,d", *(",".join(row) for row in cells), ""]))
    data = TableDataModule("gaps.csv", missing="mask", preparation="none")
    data.setup()
    model = StackedAutoencoder(sizes=[4, 1], output="linear")
    model.suit(data.preparation)
    mean = data.train_dataloader().survey().mean
    np.testing.assert_allclose(mean, 100, atol=0.5)
    of_means = data.test.x - mean
    of_means[is_missing(data.test.x)] = 0
    of_means = of_means.square().sum(dim=1).mean().item()
    scene = Probe(data, 1)
    for pca in (None, scene.pca):
        assert compare(model, data, pca)["pca_sse"].value < 0.5 * of_means
    points = scene.pca.transform(scene.images.numpy(), 1)
    assert np.abs(points).max() < 10, "nor in the plane of the codes"
