from __future__ import annotations

import pytest
import torch
from helpers import loader, tiny_model
from lightning import Trainer

from sae.errors import InputError
from sae.nets.build import build_stack
from sae.terms.corruption import Corruption
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}


def units(stack) -> list[tuple[str, str, str]]:
    return [(layer.activation, layer.output, layer.loss) for layer in stack]


def test_a_decoder_ends_in_the_unit_of_the_encoder_below_it():
    stack = build_stack([8, 6, 4, 2], ["relu", "tanh", "sigmoid"])
    assert units(stack) == [
        ("relu", "sigmoid", "mse"),
        ("tanh", "relu", "mse"),
        ("sigmoid", "tanh", "mse"),
    ]


def test_linear_code_takes_the_activation_off_the_last_encoder_only():
    stack = build_stack([8, 6, 4], "sigmoid", linear_code=True)
    assert units(stack) == [("sigmoid", "sigmoid", "mse"), ("identity", "sigmoid", "mse")]


def test_cross_entropy_is_used_where_the_output_is_a_sigmoid():
    stack = build_stack([8, 6, 4, 2], ["tanh", "sigmoid", "sigmoid"], loss="bce")
    assert [layer.loss for layer in stack] == ["bce", "mse", "bce"]
    assert stack.loss == "bce"


def test_linear_output():
    assert build_stack([8, 4], output="linear").output == "identity"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": [784]}, r"sizes: expected a list of two sizes or more, found \[784\]"),
        ({"sizes": []}, r"sizes: expected a list"),
        ({"sizes": [8, 0]}, r"sizes\[1\]: expected an integer of 1 or more, found 0"),
        ({"sizes": [8, 2.5]}, r"sizes\[1\]: expected an integer"),
        ({"activation": "swish"}, "activation: expected one of sigmoid, tanh, .* found 'swish'"),
        ({"activation": ["relu"]}, "a list of 2, one for each encoder layer, found 1 names"),
        ({"output": "relu"}, "output: expected one of sigmoid, linear"),
        ({"loss": "mae"}, "loss: expected one of mse, bce"),
        ({"loss": "bce", "output": "linear"}, "loss: expected mse with a linear output"),
    ],
)
def test_wrong_values_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        StackedAutoencoder(**({"sizes": [8, 4, 2]} | arguments))


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
