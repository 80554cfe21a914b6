from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
import torch
from helpers import clone_state, loader, same_state, tiny_stack

from sae.data import TensorLoader
from sae.data.rows import scale
from sae.look.health import Health, check
from sae.nets.activations import ACTIVATIONS
from sae.nets.columns import MISSING, Columns
from sae.nets.dense import Dense
from sae.terms.sparsity import Sparsity
from sae.training.recipe import Recipe

WELL = Health(
    dead=0.0,
    always_on=0.1,
    saturated=0.3,
    activity=0.06,
    rho=0.05,
    loss_ratio=0.2,
    stuck=0.01,
    tied=False,
    may_use_bce=True,
    decays=False,
)


def layer(code, weight, bias, output="sigmoid", **kwargs) -> Dense:
    """One input; units with these weights and biases; it reconstructs zero plus its output unit."""
    net = Dense(1, len(weight), code, output, **kwargs)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.weight[:, 0], net.bias[:] = torch.tensor(weight), torch.tensor(bias)
    return net


def look(net, x, recipe=None, batch_size=2) -> Health:
    inputs = TensorLoader(torch.tensor(x)[:, None])
    inputs.whole = lambda: inputs.x.split(batch_size)
    return check(net, recipe or Recipe(), inputs)


def test_loss_ratio_against_hand_value():
    """Targets 0, 0, 0, 1: the mean leaves 3/4; the constant 1/2 leaves 1."""
    net = layer("sigmoid", [0.0], [0.0])
    assert look(net, [0.0, 0.0, 0.0, 1.0]).loss_ratio == pytest.approx(4 / 3)


def test_the_mean_itself_has_ratio_one_whatever_the_batches_and_the_loss():
    x = torch.rand(50, 1, generator=torch.Generator().manual_seed(0))
    for loss in ("mse", "bce"):
        net = layer("sigmoid", [0.0], [0.0], loss=loss)
        with torch.no_grad():
            net.decoder_bias.copy_(x.mean(dim=0).logit())
        for batch_size in (1, 7, 50):
            health = look(net, x[:, 0].tolist(), batch_size=batch_size)
            assert health.loss_ratio == pytest.approx(1, abs=1e-5)


def test_ratio_survives_a_large_offset():
    """Sums of squares of inputs about 1000 with a spread of 1 lose nothing that counts."""
    net = layer("identity", [0.0], [0.0], "identity")
    with torch.no_grad():
        net.decoder_bias.fill_(1000.5)
    assert look(net, [1000.0, 1001.0] * 500).loss_ratio == pytest.approx(1)


def test_a_perfect_network_has_ratio_zero():
    net = layer("identity", [1.0], [0.0], "identity", tied=True)
    assert look(net, [0.0, 3.0, 5.0]).loss_ratio == 0


def test_inputs_that_do_not_vary_have_no_ratio():
    health = look(layer("sigmoid", [1.0], [0.0]), [0.3, 0.3, 0.3])
    assert (health.dead, health.loss_ratio, health.stuck) == (1, None, None)
    assert health.warnings("stage 2") == []


def test_stuck_outputs_are_those_flat_at_the_wrong_end():
    """The output is 1 throughout; of the targets 0, 0.4, 0.6, 1 two lie in the other half."""
    net = layer("sigmoid", [0.0], [0.0])
    with torch.no_grad():
        net.decoder_bias.fill_(100)
    of_mean = 0.25 + 0.01 + 0.01 + 0.25
    health = look(net, [0.0, 0.4, 0.6, 1.0])
    assert health.stuck == pytest.approx((1 + 0.36) / of_mean)
    assert health.loss_ratio == pytest.approx((1 + 0.36 + 0.16) / of_mean)


def test_stuck_outputs_of_a_tanh_and_of_a_linear_unit():
    net = layer("sigmoid", [0.0], [0.0], "tanh")
    with torch.no_grad():
        net.decoder_bias.fill_(-100)
    assert look(net, [-1.0, 1.0]).stuck == pytest.approx(4 / 2)
    assert look(layer("sigmoid", [0.0], [0.0], "identity"), [-1.0, 1.0]).stuck is None


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_gives_figures_that_json_can_hold(activation):
    health = check(tiny_stack(activation=activation), Recipe(), loader())
    figures = health.as_dict()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert 0 <= health.dead <= 1
    assert {"dead", "always_on", "saturated", "activity", "rho"} < figures.keys()
    assert {"loss_ratio", "stuck"} < figures.keys()


def test_target_and_remedies_come_from_recipe_and_network():
    recipe = Recipe(sparsity=Sparsity(rho=0.2, weight=1))
    health = check(tiny_stack(tied=True), recipe, loader())
    assert (health.rho, health.tied, health.may_use_bce) == (0.2, True, True)
    health = check(tiny_stack(loss="bce"), Recipe(), loader())
    assert (health.rho, health.tied, health.may_use_bce) == (None, False, False)
    health = check(tiny_stack(output="linear"), Recipe(weight_decay=0.1), loader())
    assert (health.may_use_bce, health.decays) == (False, True)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(training):
    net = tiny_stack()
    net.train(training)
    before = clone_state(net)
    check(net, Recipe(), loader())
    assert net.training is training
    assert same_state(before, clone_state(net))
    assert all(parameter.grad is None for parameter in net.parameters())


def test_pixels_are_scaled():
    x = torch.randint(0, 256, (20, 12), generator=torch.Generator().manual_seed(0)).byte()
    net = tiny_stack()
    ours = check(net, Recipe(), TensorLoader(x))
    assert ours == check(net, Recipe(), TensorLoader(scale(x)))


def test_a_healthy_network_gives_no_warning():
    assert WELL.warnings("stage 1") == []
    none = replace(
        WELL, always_on=None, saturated=None, activity=None, rho=None, loss_ratio=None, stuck=None
    )
    assert none.warnings("stage 1") == []


@pytest.mark.parametrize(
    ("tied", "may_use_bce", "remedy"),
    [
        (True, True, "try --model.loss bce or --model.tied false"),
        (True, False, "try a lower learning rate or --model.tied false"),
        (False, True, "try --model.loss bce"),
        (False, False, "try a lower learning rate"),
    ],
)
def test_stuck_outputs_are_named_with_what_helps(tied, may_use_bce, remedy):
    health = replace(WELL, stuck=0.594, tied=tied, may_use_bce=may_use_bce)
    (warning,) = health.warnings("stage 1")
    assert warning.startswith("stage 1 has outputs stuck at the wrong end of their range")
    assert "0.59 times the squared error of the mean image" in warning
    assert warning.endswith(remedy)


def test_a_saturated_code_is_named():
    (warning,) = replace(WELL, saturated=0.914).warnings("stage 2")
    assert warning.startswith("stage 2 has a saturated code: 91% of its values")
    assert warning.endswith("try a lower learning rate")
    (warning,) = replace(WELL, saturated=0.914, tied=True).warnings("stage 2")
    assert warning.endswith("try --model.tied false or a lower learning rate")


def test_dead_units_are_named():
    (warning,) = replace(WELL, dead=0.9).warnings("stage 2")
    assert warning.startswith("stage 2 has many dead units: 90% of its units")


@pytest.mark.parametrize(("rho", "near", "far"), [(0.05, 0.13, 0.15), (0.05, 0.02, 0.01)])
def test_activity_far_from_rho_is_named(rho, near, far):
    """0.05 has odds of 1:19; three times as much is 0.136, a third of it 0.017."""
    assert replace(WELL, rho=rho, activity=near).warnings("stage 2") == []
    (warning,) = replace(WELL, rho=rho, activity=far).warnings("stage 2")
    assert f"{far:.3f} instead of 0.05" in warning


@pytest.mark.parametrize("activity", [0.0, 1.0, 7.5])
def test_activity_at_and_beyond_the_ends_is_far_from_rho(activity):
    assert len(replace(WELL, activity=activity).warnings("stage 1")) == 1


def test_the_mean_image_is_named():
    (warning,) = replace(WELL, rho=None, loss_ratio=0.99).warnings("stage 2")
    assert warning == (
        "stage 2 reconstructs no more than the mean image: its squared error is 0.99 of that of "
        "the mean alone; train longer, or with a lower learning rate if its loss jumps or rises"
    )
    (warning,) = replace(WELL, rho=None, loss_ratio=0.99, decays=True).warnings("stage 2")
    assert warning.endswith("train without weight decay")


def test_the_mean_image_gives_no_advice_against_another_cause():
    warnings = replace(WELL, rho=None, loss_ratio=1.2, saturated=0.95).warnings("stage 2")
    assert len(warnings) == 2
    assert warnings[1].endswith("see the warning above")


def test_under_a_penalty_the_error_is_judged_too():
    """sparse.yaml's second stage gives up the error for the activity: it is told so."""
    (warning,) = replace(WELL, loss_ratio=1.8).warnings("stage 2")
    assert warning.startswith("stage 2 reconstructs no more than the mean image")
    assert warning.endswith("train longer, or with a smaller sparsity weight or a greater rho")
    decays = replace(WELL, loss_ratio=1.8, decays=True).warnings("stage 2")
    assert decays[0].endswith("with a smaller sparsity weight, a greater rho or no weight decay")


OPPOSITES = [
    ("lower learning rate", "higher learning rate"),
    ("smaller sparsity weight", "greater sparsity weight"),
]


@pytest.mark.parametrize("rho", [None, 0.05])
@pytest.mark.parametrize("tied", [False, True])
def test_no_two_sentences_of_a_run_contradict_each_other(rho, tied):
    """Whatever is wrong together: stages are often trained with the same settings."""
    said = []
    for dead, saturated, stuck, activity, ratio, decays, bce in itertools.product(
        (0.0, 0.9), (0.3, 0.9), (0.0, 0.5), (0.06, 0.9), (0.2, 1.0, 5.0), *[(False, True)] * 2
    ):
        health = Health(
            dead, 0.1, saturated, activity, rho, ratio, stuck, tied, may_use_bce=bce, decays=decays
        )
        said.append(" ".join(health.warnings("stage 1")))
        for this, other in OPPOSITES:
            assert not (this in said[-1] and other in said[-1])
    lower, higher = OPPOSITES[0]
    assert any(lower in line for line in said)
    assert not any(higher in line for line in said)


def test_a_tied_layer_with_saturated_outputs_is_caught():
    """Big weights, as salt and pepper makes them: code and output lie at their ends."""
    net = Dense(12, 6, "tanh", "sigmoid", "mse", tied=True)
    net.reset_parameters(torch.Generator().manual_seed(0))
    with torch.no_grad():
        net.weight.mul_(50)
    warnings = check(net, Recipe(), loader()).warnings("stage 1")
    assert any(
        "outputs stuck" in line and "--model.loss bce or --model.tied false" in line
        for line in warnings
    )
    assert any("saturated code" in line for line in warnings)


def test_the_mean_is_that_of_what_is_there():
    """4, 6 and one that is missing: the mean leaves 2; the constant 4.5 leaves 2.5."""
    net = layer("sigmoid", [0.0], [0.0], "identity")
    net.columns = Columns(1)
    with torch.no_grad():
        net.decoder_bias[:] = 4.5
    assert look(net, [MISSING, 4.0, 6.0]).loss_ratio == pytest.approx(1.25)
    assert look(net, [4.0, MISSING, 6.0]).loss_ratio == pytest.approx(1.25)
    assert look(net, [MISSING, 6.0, 6.0]).loss_ratio is None, "it does not vary"
