"""The variational layer: a Gaussian code of which training sees samples."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import clone_state, loader, randomised, same_state
from torch.distributions import Normal, kl_divergence

from sae.data.rows import encode_rows
from sae.errors import InputError
from sae.nets.build import build_stack
from sae.nets.dense import Dense
from sae.nets.stack import Stack
from sae.nets.variational import START_LOGVAR, Variational
from sae.place import Place, Share
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder
from sae.training.stage import Stage


def place(n: int, *where: int, start: int = 0, rows: int | None = None) -> Place:
    rows = n if rows is None else rows
    return Place(0, "finetune", *where, share=Share(slice(start, start + rows), rows, n))


def mixed(**kwargs) -> StackedAutoencoder:
    """Dense below and above a variational layer: 12→6→4→3."""
    layers = [
        {"kind": "dense", "units": 6, "activation": "tanh"},
        {"kind": "variational", "units": 4, **kwargs},
        {"kind": "dense", "units": 3, "activation": "sigmoid"},
    ]
    return StackedAutoencoder(input_shape=[12], layers=layers)


def test_equations_against_hand_values():
    """mean = W x + b, log var = 10 tanh((V x + c) / 10), z = mean + sqrt(var) e, x^ = W' z + b'."""
    layer = Variational(2, 1, output="identity")
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, -1.0]]))
        layer.bias.fill_(0.5)
        layer.logvar_weight.copy_(torch.tensor([[0.0, 4.0]]))
        layer.logvar_bias.fill_(-2.0)
        layer.decoder_weight.copy_(torch.tensor([[3.0], [-2.0]]))
        layer.decoder_bias.copy_(torch.tensor([1.0, 0.0]))
    x = torch.tensor([[1.0, 0.5], [0.0, 3.0]])
    # 2·1 − 0.5 + 0.5 = 2 ; −3 + 0.5 = −2.5
    assert layer.encode(x).tolist() == [[2.0], [-2.5]]
    # 4·0.5 − 2 = 0 ; 10 tanh(10 / 10) = 7.615942
    assert layer.distribution(x)[1].flatten().tolist() == pytest.approx([0.0, 7.615942])
    at = place(2, 5)
    code, noise = layer.code_for_training(x, at), at.normal("code", torch.zeros(2, 1))
    by_hand = [2 + noise[0].item(), -2.5 + math.exp(7.615942 / 2) * noise[1].item()]
    assert code.h.flatten().tolist() == pytest.approx(by_hand, rel=1e-5)
    assert layer(x).tolist() == [[7.0, -4.0], [-6.5, 5.0]]


def test_samples_have_the_mean_and_the_variance_of_the_code():
    layer, n = randomised(Variational(3, 2)), 40_000
    x = torch.rand(3).expand(n, 3)
    code = layer.code_for_training(x, place(n))
    spread = (code.logvar[0] / 2).exp()
    far = (code.h.mean(dim=0) - layer.encode(x)[0]).abs() / spread * math.sqrt(n)
    assert far.max() < 4  # standard errors
    torch.testing.assert_close(code.h.std(dim=0), spread, rtol=0.02, atol=0)


def test_encode_is_deterministic_and_samples_are_a_function_of_the_place():
    layer, x = randomised(Variational(5, 3)), torch.rand(8, 5)
    assert torch.equal(layer.train().encode(x), layer.eval().encode(x))
    torch.manual_seed(1)
    first = layer.code_for_training(x, place(8, 2, 7)).h
    torch.manual_seed(2)
    assert torch.equal(layer.code_for_training(x, place(8, 2, 7)).h, first)
    assert not torch.equal(layer.code_for_training(x, place(8, 2, 8)).h, first)
    assert not torch.equal(layer.encode(x), first)


def test_each_sample_gets_its_noise_however_many_processes_there_are():
    layer, x = randomised(Variational(5, 3)), torch.rand(7, 5)
    whole = layer.code_for_training(x, place(7)).h
    parts = []
    for a, b in ((0, 4), (4, 7)):
        share = place(7, start=a, rows=b - a)
        parts.append(layer.code_for_training(x[a:b], share).h)
    torch.testing.assert_close(torch.cat(parts), whole)


def test_weights_that_ran_away_give_finite_numbers_and_gradients():
    layer, x = Variational(4, 3), torch.rand(6, 4)
    for extreme in (1e6, -1e6):
        with torch.no_grad():
            layer.logvar_bias.fill_(extreme)
        code = layer.code_for_training(x, place(6))
        (term,) = layer.own_terms()
        loss = term.value(term.statistic(layer, x, code), None)
        loss = loss + layer.reconstruction_loss(code.h, x)
        layer.zero_grad()
        loss.backward()
        assert torch.isfinite(loss)
        assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


def test_a_variance_that_is_far_too_large_is_pulled_back():
    """A hard limit would pass no gradient any more."""
    layer, x = Variational(4, 3), torch.rand(6, 4)
    with torch.no_grad():
        layer.logvar_bias.fill_(30.0)
    code = layer.code_for_training(x, place(6))
    (term,) = layer.own_terms()
    term.value(term.statistic(layer, x, code), None).backward()
    assert (layer.logvar_bias.grad > 0).all()


def test_the_gradient_reaches_all_parameters():
    layer, x = randomised(Variational(4, 3)), torch.rand(6, 4)
    layer.reconstruction_loss(layer.code_for_training(x, place(6)).h, x).backward()
    assert all(p.grad.abs().sum() > 0 for p in layer.parameters())


def test_the_variance_is_the_encoders_too():
    layer = Variational(4, 3)
    names = {id(p): name for name, p in layer.named_parameters()}
    found = {names[id(p)] for p in layer.encoder_parameters()}
    assert found == {"weight", "bias", "logvar_weight", "logvar_bias"}


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_a_code_does_not_depend_on_the_other_rows(rows):
    layer, x = randomised(Variational(300, 2)), torch.rand(257, 300)
    whole = encode_rows(layer, x)
    assert torch.equal(encode_rows(layer, x[:rows]), whole[:rows])
    torch.testing.assert_close(whole, layer.encode(x))


def test_initial_weights_come_from_the_generator_alone():
    layer = Variational(6, 4)
    layer.reset_parameters(torch.Generator().manual_seed(3))
    first = clone_state(layer)
    torch.manual_seed(99)
    layer.reset_parameters(torch.Generator().manual_seed(3))
    assert same_state(clone_state(layer), first)
    logvar = layer.distribution(torch.rand(5, 6))[1]
    assert logvar.flatten().tolist() == pytest.approx([START_LOGVAR] * 20, abs=0.05)


def test_a_stage_starts_with_means_as_far_apart_as_the_prior():
    generator = torch.Generator().manual_seed(0)
    x = 40 + 7 * torch.randn(500, 6, generator=generator)
    layer = Variational(6, 4, output="identity")
    layer.reset_parameters(generator)
    layer.fit_start(x, x.mean(dim=0))
    means = layer.encode(x)
    assert means.std(correction=0).item() == pytest.approx(1.0, rel=1e-4)
    assert means.mean(dim=0).abs().max() < 1e-3
    assert torch.allclose(layer.decode(means.mean(dim=0)), x.mean(dim=0), atol=1e-4)


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_under_mse_the_loss_is_that_of_gaussian_inputs(weight):
    """weight · (-ELBO) with a variance of weight / 2 is SSE + weight · KL, but for a constant."""
    layer, x = randomised(Variational(5, 2, weight, output="identity")), torch.rand(9, 5)
    code = layer.code_for_training(x, place(9))
    (term,) = layer.own_terms()
    ours = layer.reconstruction_loss(code.h, x) + term.value(term.statistic(layer, x, code), None)
    likelihood = Normal(layer.decode(code.h), math.sqrt(weight / 2)).log_prob(x).sum(dim=1)
    spread = (code.logvar / 2).exp()
    kl = kl_divergence(Normal(code.mean, spread), Normal(0.0, 1.0)).sum(dim=1)
    constant = 5 / 2 * math.log(math.pi * weight)
    theirs = weight * (-(likelihood - kl).mean() - constant)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


# In a stack


def test_a_mixed_stack_encodes_means_and_trains_on_samples():
    stack = randomised(mixed()).stack
    x, at = torch.rand(8, 12), place(8, 1)
    h = stack[2].encode(stack[1].encode(stack[0].encode(x)))
    assert torch.equal(stack.encode(x), h)
    code = stack.code_for_training(x, at)
    first, second, third = code.parts
    assert torch.equal(first.h, stack[0].encode(x))
    assert torch.equal(second.mean, stack[1].encode(first.h))
    assert not torch.equal(second.h, second.mean)
    assert torch.equal(third.h, stack[2].encode(second.h))
    assert not stack.is_deterministic
    assert not stack.has_prior
    assert stack.below(2).has_prior


def test_two_variational_layers_draw_noise_of_their_own():
    layers = [{"kind": "variational", "units": 4}, {"kind": "variational", "units": 4}]
    stack = build_stack(input_shape=[4], layers=layers)
    for layer in stack:
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.zero_()
    first, second = stack.code_for_training(torch.rand(6, 4), place(6)).parts
    assert not torch.equal(first.h, second.h)


def test_greedy_stages_of_all_kinds_train_and_each_sees_the_means_below():
    data, val = loader(64, batch_size=16, shuffle=True), loader(16)
    seen = {}

    class Looking(GreedyPretrainer):
        def _train(self, phase, module, model, inputs):
            if phase.name == "stage3":
                train, _ = inputs(torch.device("cpu"))
                seen["codes"] = torch.cat(list(train.whole()))
                seen["means"] = model.stack.below(2).encode(torch.cat(list(data.whole())))
                seen["below"] = clone_state(model.stack.below(2))
            result = super()._train(phase, module, model, inputs)
            if phase.name == "stage3":
                seen["after"] = clone_state(model.stack.below(2))
            return result

    model = mixed(warm_up=1)
    pretrainer = Looking([Recipe(epochs=2, lr=0.01)] * 3, Recipe(epochs=2, lr=0.01))
    results = pretrainer.fit(model, data, val)
    assert [result.phase.name for result in results] == ["stage1", "stage2", "stage3", "finetune"]
    torch.testing.assert_close(seen["codes"], seen["means"])
    assert same_state(seen["below"], seen["after"])
    assert all(result.loss is not None and math.isfinite(result.loss) for result in results)


def test_the_divergence_is_part_of_the_loss_of_its_stage():
    model = randomised(mixed(kl_weight=0.5))
    stage = Stage(model.stack, 1, Recipe())
    x = torch.rand(8, 6)
    stage._means["val"].clear()
    stage.validation_step((x,), 0)
    means = stage._with_penalties({k: v / 8 for k, v in stage._means["val"].sums.items()})
    code = stage.net.code_for_training(x, stage.place("val", 0, share=Share.equal(8)))
    kl = kl_divergence(Normal(code.mean, (code.logvar / 2).exp()), Normal(0.0, 1.0))
    assert means["kl"].item() == pytest.approx(0.5 * kl.sum(dim=1).mean().item(), rel=1e-4)
    assert means["loss"].item() == pytest.approx((means["reconstruction"] + means["kl"]).item())
    assert stage.loss_unit == "SSE per code + KL"


@pytest.mark.parametrize(
    "wrong", [{"kl_weight": -1}, {"kl_weight": None}, {"warm_up": -1}, {"units": 0}]
)
def test_wrong_options_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Variational(4, **{"units": 3, **wrong})


def test_a_checkpoint_of_another_divergence_is_of_another_network():
    assert str(Variational(4, 3)) != str(Variational(4, 3, kl_weight=2))
    assert str(Variational(4, 3)) != str(Dense(4, 3, "identity"))
    assert Stack([Variational(4, 3)]).has_prior
