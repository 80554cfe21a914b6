from __future__ import annotations

import pytest
import torch
from exported import CLASSES, made, pixels

from sae.errors import InputError
from sae.export.part import PARTS, n_weights, part_of, whole

CLASSIFY = {"objective": {"kind": "classify", "hidden": [5]}}


def test_input_and_output_are_in_the_users_units():
    run, x = made(), pixels()
    (code,) = part_of(run, "encoder")(x)
    torch.testing.assert_close(code, run.stack.encode(x / 255))
    (rebuilt,) = part_of(run, "autoencoder")(x)
    torch.testing.assert_close(rebuilt, 255 * run.stack(x / 255))
    torch.testing.assert_close(part_of(run, "decoder")(code), (rebuilt,))
    assert rebuilt.max() > 2, "pixels, not brightness"


def test_a_classifier_gives_probabilities_and_the_class():
    run, x = made(**CLASSIFY), pixels()
    part = part_of(run, "classifier")
    probability, predicted = part(x)
    assert probability.shape == (20, CLASSES)
    torch.testing.assert_close(probability.sum(dim=1), torch.ones(20))
    torch.testing.assert_close(predicted, probability.argmax(dim=1))
    logits = run.objective.logits(run.stack.encode(x / 255))
    assert torch.equal(predicted, logits.argmax(dim=1))
    assert [(field.name, field.size, field.dtype) for field in part.gives] == [
        ("probability", CLASSES, "float32"),
        ("predicted", 0, "int64"),
    ]
    assert part.gives[1].about()["shape"] == ["batch"]


@pytest.mark.parametrize("what", ["encoder", "decoder", "autoencoder"])
def test_the_decoder_is_given_codes_and_the_others_samples(what):
    run, x = made(), pixels()
    part = part_of(run, what)
    inputs = part.inputs(x)
    assert inputs.shape == (20, part.given.size)
    (y,) = part(inputs)
    assert y.shape == (20, part.gives[0].size)


@pytest.mark.parametrize(
    ("what", "model", "says"),
    [
        ("head", {}, "what: expected one of encoder, decoder, autoencoder, classifier"),
        ("classifier", {}, "what: expected a run with a classifier head, found one without"),
        ("decoder", CLASSIFY, "what: expected a run with trained decoders"),
        ("autoencoder", CLASSIFY, "found a run with the objective classify"),
    ],
)
def test_what_a_run_has_not_trained_is_refused(what, model, says):
    with pytest.raises(InputError, match=says):
        part_of(made(**model), what)


def test_trimmed_has_what_the_outputs_depend_on_and_nothing_else():
    run = made([{"kind": "dense", "units": 5}, {"kind": "variational", "units": 2}])
    encoder = part_of(run, "encoder").trimmed()
    assert set(encoder.state_dict()) == {
        f"stack.layers.{k}.{name}" for k in (0, 1) for name in ("weight", "bias")
    }
    assert n_weights(encoder) == 12 * 5 + 5 + 5 * 2 + 2
    (code,) = encoder(pixels())
    assert torch.equal(code, part_of(run, "encoder")(pixels())[0])
    assert run.stack[0].decoder_weight is not None, "the run keeps its own"


def test_trimmed_of_tied_layers_keeps_the_weights_of_the_encoder():
    run = made([{"kind": "dense", "units": 5, "tied": True}])
    names = set(part_of(run, "decoder").trimmed().state_dict())
    assert names == {"stack.layers.0.weight", "stack.layers.0.decoder_bias"}


def test_whole_is_what_was_trained_last():
    assert (whole(made()), whole(made(**CLASSIFY))) == ("autoencoder", "classifier")
    assert set(PARTS) == {"encoder", "decoder", "autoencoder", "classifier"}
