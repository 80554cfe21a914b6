"""The ELBO, and the log-likelihood by importance sampling, against an integral on a grid."""

from __future__ import annotations

import itertools
import math
import signal

import pytest
import torch
from helpers import ROOT, loader, randomised, read
from killing import at_call, differences, outcome, run
from lightning import Trainer
from pairs import run_pair

from sae.batch import Batch
from sae.errors import InputError
from sae.nets.dense import Dense
from sae.nets.stack import Stack
from sae.nets.variational import Variational
from sae.objectives.elbo import Elbo, log_likelihood
from sae.place import Place, Share
from sae.run.checkpoint_io import read_weights
from sae.training.module import TrainingModule
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder

LAYERS = [{"kind": "dense", "units": 6}, {"kind": "variational", "units": 2}]
# All images of three pixels.
IMAGES = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))


def place(n: int, *where: int | str) -> Place:
    return Place(0, "finetune", *where, share=Share.equal(n))


def small(deep: bool = False) -> Stack:
    """3→1, or 3→4→1, with random weights: the likelihood is an integral over one number."""
    layers = [Dense(3, 4, "tanh", loss="bce"), Variational(4, 1, output="tanh")]
    net = randomised(Stack(layers if deep else [Variational(3, 1, loss="bce")]), seed=3).eval()
    with torch.no_grad():  # a q as wide as the prior: no single sample weighs much
        for parameter in (net[-1].weight, net[-1].bias, net[-1].logvar_weight):
            parameter.mul_(0.5)
        net[-1].logvar_bias.fill_(0.1)
    return net


@torch.no_grad()
def exact(net: Stack, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """log p(x) and the ELBO of each image, by the trapezoid rule on a fine grid of z, in double."""
    z = torch.linspace(-12, 12, 24_001, dtype=torch.double)[:, None]
    prior = -(z.square() + math.log(2 * math.pi)) / 2
    p = torch.distributions.Bernoulli(logits=net.decode_logits(z.float()).double())
    likelihood = p.log_prob(x.double()[:, None]).sum(dim=2)  # (images, grid)
    log_p = (likelihood + prior.T).logsumexp(dim=1) + math.log(0.001)
    code = net.code_for_training(x, place(len(x)))
    q = torch.distributions.Normal(code.mean.double(), (code.logvar.double() / 2).exp())
    log_q = q.log_prob(z.T)
    bound = (log_q.exp() * (likelihood + prior.T - log_q)).sum(dim=1) * 0.001
    return log_p, bound


@pytest.mark.parametrize("deep", [False, True])
def test_the_grid_gives_a_distribution_over_images(deep):
    log_p, bound = exact(small(deep), IMAGES)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-6)
    assert (bound < log_p).all()


@torch.no_grad()
@pytest.mark.parametrize("deep", [False, True])
def test_importance_sampling_comes_to_the_likelihood(deep):
    net = small(deep)
    log_p, _ = exact(net, IMAGES)
    found = log_likelihood(net, IMAGES.repeat(2000, 1), place(16_000, 1), 20)
    mean = found.reshape(2000, 8).exp().mean(dim=0)  # of p(x), which it estimates without bias
    torch.testing.assert_close(mean.log().double(), log_p, rtol=0, atol=0.02)


@torch.no_grad()
def test_one_sample_is_the_elbo_in_expectation_and_more_are_closer():
    """Burda et al. (2016), theorem 1."""
    net, copies = small(), 20_000
    log_p, bound = exact(net, IMAGES)
    many = IMAGES.repeat(copies, 1)

    def mean(k):
        found = log_likelihood(net, many, place(len(many), 2), k).reshape(copies, 8)
        error = found.std(dim=0) / math.sqrt(copies)
        return found.mean(dim=0).double(), error

    one, error = mean(1)
    assert ((one - bound).abs() < 4 * error).all()
    five, _ = mean(5)
    assert (one < five).all()
    assert (five < log_p + 4 * error).all()


@torch.no_grad()
def test_where_q_is_the_posterior_one_sample_is_exact():
    """A decoder that does not look at z: the posterior is the prior, every weight is p(x)."""
    layer = Variational(3, 2, loss="bce")
    for name, parameter in layer.named_parameters():
        parameter.zero_()
        if name == "decoder_bias":
            parameter.copy_(torch.tensor([0.0, 1.0, -2.0]))
    net = Stack([layer])
    likelihood = torch.distributions.Bernoulli(logits=layer.decoder_bias).log_prob(IMAGES)
    found = log_likelihood(net, IMAGES, place(8), 1)
    torch.testing.assert_close(found, likelihood.sum(dim=1))


@torch.no_grad()
def test_the_figure_elbo_is_the_bound_whatever_the_weight_of_the_divergence():
    net, copies = small(), 20_000
    _, bound = exact(net, IMAGES)
    many = Batch(IMAGES.repeat(copies, 1))
    net[0]._term = None  # its weight is none of the figure's business
    found = Elbo("none").measure(net, net.encode(many.x), many, place(len(many.x)), None)["elbo"]
    assert found.item() == pytest.approx(bound.mean().item(), abs=0.02)


# Pixels


def test_pixels_are_drawn_with_their_grey_value():
    x = torch.tensor([[0.0, 0.3, 1.0]]).expand(40_000, 3)
    batch = Elbo().prepare(Batch(x), place(len(x), 0, 0))
    assert set(batch.x.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(batch.images, x)
    means = batch.x.mean(dim=0)
    assert means[[0, 2]].tolist() == [0, 1]
    assert means[1].item() == pytest.approx(0.3, abs=0.01)


def test_they_are_drawn_anew_at_each_step_and_once_for_validation():
    model = randomised(StackedAutoencoder(input_shape=[12], layers=LAYERS, objective="elbo"))
    x, seen = torch.rand(8, 12), []
    for epoch, step in ((0, 0), (0, 1), (1, 0)):
        at = model.place(epoch, step, 0, share=Share.equal(8), epoch=epoch)
        seen.append(model.objective.prepare(Batch(x), at).x)
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(seen, 2))
    means = []
    for _ in range(2):
        model._means["val"].clear()
        model.validation_step((x,), 0)
        means.append({k: v.item() for k, v in model._means["val"].sums.items()})
    assert means[0] == means[1]


def test_those_of_validation_and_test_depend_on_the_sample_alone():
    """Not on the seed, nor on who is in the batch with it."""
    x, number = torch.rand(150, 12), torch.arange(150)
    whole = Elbo().prepare(Batch(x, number=number), place(150, "val", 0)).x
    some = torch.tensor([3, 149, 64, 63, 100])
    other = Place(7, "finetune", "val", 3, share=Share.equal(5))
    assert torch.equal(Elbo().prepare(Batch(x[some], number=number[some]), other).x, whole[some])
    assert set(whole.unique().tolist()) == {0.0, 1.0}
    grey = torch.full((4000, 12), 0.3)
    drawn = Elbo().prepare(Batch(grey, number=torch.arange(4000)), place(4000, "val", 0)).x
    assert drawn.mean().item() == pytest.approx(0.3, abs=0.01)
    assert len(drawn.unique(dim=0)) > 500


def test_grey_pixels_stay_where_nothing_is_to_be_drawn():
    batch = Batch(torch.rand(4, 3))
    assert Elbo("none").prepare(batch, place(4)) is batch


# In a run


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sizes": [12, 6, 2]}, "one variational layer, at the top, found none"),
        ({"layers": LAYERS[::-1]}, "found random codes in layer 1 of 2"),
        ({"layers": [LAYERS[1], LAYERS[1]]}, "found random codes in layer 1, 2 of 2"),
        ({"layers": LAYERS, "loss": "mse"}, "a network with loss bce, found 'mse'"),
    ],
)
def test_a_network_without_an_elbo_is_refused(options, says):
    shape = {} if "sizes" in options else {"input_shape": [12]}
    options = {"loss": "bce", **shape, **options}
    model = StackedAutoencoder(**options, objective="elbo")
    pretrainer = GreedyPretrainer([Recipe(epochs=0)] * 2, Recipe(epochs=1))
    with pytest.raises(InputError, match=says):
        pretrainer.fit(model, loader(20), loader(8))


@pytest.mark.parametrize("wrong", [{"binarise": "static"}, {"samples": -1}, {"samples": 1.5}])
def test_wrong_options_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Elbo(**wrong)


def figures_of(model, samples):
    trainer = Trainer(
        logger=False, enable_progress_bar=False, accelerator="cpu", enable_checkpointing=False
    )
    model.objective.samples = samples
    return trainer.test(model, loader(200, batch_size=32), verbose=False)[0]


def test_validation_and_test_say_the_same_and_the_bound_lies_below_the_likelihood():
    model = StackedAutoencoder(input_shape=[12], layers=LAYERS, loss="bce", objective="elbo")
    pretrainer = GreedyPretrainer([Recipe(epochs=1)] * 2, Recipe(epochs=3, lr=0.01))
    results = pretrainer.fit(model, loader(200, batch_size=32, shuffle=True), loader(16))
    assert model.loss_unit == "nats per image + KL"
    model._means["val"].clear()
    (batch,) = loader(16, batch_size=16)
    model.validation_step(batch, 0)
    sums = {k: v / 16 for k, v in model._means["val"].sums.items()}
    means = model._with_penalties(sums)
    assert means["loss"].item() == pytest.approx(-means["elbo"].item(), rel=1e-5)
    assert results[-1].loss > 0
    figures = figures_of(model, 50)
    assert figures["test/kl"] > 0
    assert figures["test/elbo"] < figures["test/log_likelihood"] < 0
    assert figures["test/mse"] == pytest.approx(figures["test/sse"] / 12)
    assert "test/log_likelihood" not in figures_of(model, 0)
    shown = model.figures()
    assert [shown[name].better for name in ("elbo", "log_likelihood")] == ["higher", "higher"]
    assert "kl" in shown


def test_squared_errors_are_of_grey_images_and_the_mean_code():
    model = randomised(StackedAutoencoder(input_shape=[12], layers=LAYERS, loss="bce"))
    grey = torch.rand(9, 12)
    drawn = Elbo().prepare(Batch(grey), place(9))
    found = Elbo().measure(model.net, model.encode(drawn.x), drawn, place(9), None)["sse"]
    assert found.item() == pytest.approx((model(grey) - grey).square().sum().item() / 9, rel=1e-5)


def test_a_checkpoint_may_be_tested_with_more_samples():
    def model(objective):
        return StackedAutoencoder(input_shape=[12], layers=LAYERS, objective=objective)

    saved = {"hyper_parameters": dict(model("elbo").hparams), "state_dict": {}}
    model({"kind": "elbo", "samples": 5000}).on_load_checkpoint(dict(saved))
    with pytest.raises(InputError, match="objective = None"):
        model(None).on_load_checkpoint(dict(saved))


RUN = ["fit", "--config", str(ROOT / "configs" / "variational.yaml"), "--data", "DigitsDataModule"]
RUN += [
    "--model.layers",
    '[{"kind":"dense","units":8},{"kind":"variational","units":2,"warm_up":2}]',
]
RUN += ["--pretrain.epochs", "1", "--finetune.epochs", "3", "--data.batch_size", "100"]
RUN += ["--model.objective", '{"kind": "elbo", "samples": 3}', "--name", "run"]
FOLDER = "lightning_logs/run/version_0"
STEPS = 13  # in an epoch


def test_broken_off_and_gone_on_with_it_is_the_same_run(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run(RUN, whole) == 0, (whole / "err.txt").read_text()
    plan = at_call(TrainingModule, "training_loss", 3 * STEPS + 5)
    assert run(RUN, broken, plan) == -signal.SIGKILL
    assert run([*RUN, "--resume", "auto"], broken) == 0, (broken / "err.txt").read_text()
    wanted = outcome(whole / FOLDER)
    assert not differences(wanted, outcome(broken / FOLDER))
    assert {"elbo", "log_likelihood", "kl", "sse"} <= set(wanted["test"])
    assert {"finetune/samples.png", "finetune/plane.png"} <= set(wanted["files"])


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(tmp_path):
    plain = ["--pictures_every", "-1", "--trainer.logger", "false"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert run([*RUN, *plain], one) == 0, (one / "err.txt").read_text()
    assert run_pair([*RUN, *plain], two) == [0, 0], (two / "err.txt").read_text()
    for name in ("stage2", "finetune"):
        files = [folder / FOLDER / name / "weights.safetensors" for folder in (one, two)]
        wanted, got = (read_weights(file) for file in files)
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)
    wanted, got = (read(folder / FOLDER, "summary.json")["test"] for folder in (one, two))
    for name in ("elbo", "log_likelihood", "kl"):
        assert got[name] == pytest.approx(wanted[name], rel=1e-4)
