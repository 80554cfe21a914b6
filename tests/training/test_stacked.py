from __future__ import annotations

import pytest
import torch
from helpers import loader, tiny_model
from lightning import Trainer

from sae.data.prepare import Pixels
from sae.errors import InputError
from sae.nets.columns import Columns
from sae.terms.corruption import Corruption
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}


def test_test_figures_are_per_image_and_per_pixel():
    model, data = tiny_model(), loader(n=21)
    figures = Trainer(**QUIET).test(model, data, verbose=False)[0]
    error = (model(data.x) - data.x).square()
    assert figures["test/sse"] == pytest.approx(error.sum(dim=1).mean().item(), rel=1e-5)
    assert figures["test/mse"] == pytest.approx(error.mean().item(), rel=1e-5)
    assert set(figures) == {"test/sse", "test/mse"}


def test_a_denoiser_is_also_tested_on_corrupted_images():
    model, data = tiny_model(), loader(n=200)
    model.recipe = Recipe(corruption=Corruption("gaussian", 0.5))
    figures = Trainer(**QUIET).test(model, data, verbose=False)[0]
    assert figures["test/corrupted_sse"] == pytest.approx(0.25 * 12, rel=0.1)
    assert figures["test/denoised_sse"] != figures["test/sse"]
    assert Trainer(**QUIET).test(model, data, verbose=False)[0] == figures


def test_predictions_hold_codes_errors_and_labels():
    model, x, y = tiny_model(), torch.rand(5, 12), torch.arange(5)
    out = model.predict_step((x, y), 0)
    assert torch.equal(out["code"], model.encode(x))
    torch.testing.assert_close(out["sse"], (model(x) - x).square().sum(dim=1))
    assert torch.equal(out["label"], y)
    assert "label" not in model.predict_step((x,), 0)


def test_a_checkpoint_gives_the_same_model_back(tmp_path):
    model = tiny_model(activation=["relu", "tanh"], tied=True)
    trainer = Trainer(max_epochs=1, default_root_dir=tmp_path, **QUIET)
    trainer.fit(model, loader(), loader())
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    again = StackedAutoencoder.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    x = torch.rand(3, 12)
    assert torch.equal(again.eval()(x), model.eval()(x))
    assert again.stack[0].tied


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    trainer = Trainer(max_epochs=0, default_root_dir=tmp_path, **QUIET)
    trainer.fit(tiny_model(), loader(), loader())
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    other = tiny_model(activation="tanh")
    with pytest.raises(
        InputError, match=r"ckpt_path: expected .*activation = tanh, found .*sigmoid"
    ):
        Trainer(**QUIET).test(other, loader(), ckpt_path=tmp_path / "model.ckpt", verbose=False)


class Unbounded(Pixels):
    bounded = False
    outputs = Columns(9, (3,))


def test_it_ends_in_what_its_samples_are_made_of():
    model = StackedAutoencoder([12, 6, 3])
    model.suit(Pixels(255))
    assert (model.stack.output, model.hparams["output"]) == ("sigmoid", "sigmoid")
    assert model.stack.columns is None
    model.suit(Unbounded())
    assert (model.stack.output, model.stack[0].output) == ("identity", "identity")
    assert model.hparams["output"] == "linear"
    assert model.stack.columns == Unbounded.outputs
    chosen = StackedAutoencoder([12, 6, 3], output="sigmoid")
    chosen.suit(Unbounded())
    assert chosen.stack.output == "sigmoid"
    with pytest.raises(InputError, match="mse for numbers outside"):
        StackedAutoencoder([12, 6, 3], loss="bce").suit(Unbounded())
