from __future__ import annotations

import pytest
import torch
from helpers import clone_state, loader, randomised, same_state
from lightning import Trainer

from sae.data.rows import TILE_ROWS, encode_rows
from sae.errors import InputError
from sae.nets.build import build_stack
from sae.nets.stack import Stack
from sae.nets.topk import REVIVED, TopK
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder
from sae.training.stage import Stage


def by_hand() -> TopK:
    """z = (x1, x2, x1 + x2, -x1) for two inputs."""
    layer = TopK(2, 4, k=2, output="identity")
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]]))
        layer.decoder_weight.copy_(torch.tensor([[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 0.0, 3.0]]))
        layer.bias.zero_()
        layer.decoder_bias.copy_(torch.tensor([0.0, 10.0]))
    return layer


def test_equation_against_hand_values():
    layer = by_hand()
    x = torch.tensor([[1.0, 2.0], [-3.0, 1.0], [-3.0, -1.0]])
    # z = (1, 2, 3, -1), (-3, 1, -2, 3), (-3, -1, -4, 3): two largest; below zero none.
    h = [[0.0, 2.0, 3.0, 0.0], [0.0, 1.0, 0.0, 3.0], [0.0, 0.0, 0.0, 3.0]]
    assert layer.encode(x).tolist() == h
    # 2·3; 2 + 10 | 0; 1 + 9 + 10 | 0; 9 + 10
    assert layer(x).tolist() == [[6.0, 12.0], [0.0, 20.0], [0.0, 19.0]]


def test_the_gradient_flows_through_the_units_that_stay_alone():
    layer = by_hand()
    layer.encode(torch.tensor([[1.0, 2.0]])).sum().backward()
    assert layer.bias.grad.tolist() == [0.0, 1.0, 1.0, 0.0]
    assert layer.weight.grad.tolist() == [[0.0, 0.0], [1.0, 2.0], [1.0, 2.0], [0.0, 0.0]]


@pytest.mark.parametrize("k", [1, 3, 20])
def test_just_k_units_are_on_where_as_many_are_above_zero(k):
    layer = randomised(TopK(30, 20, k=k))
    with torch.no_grad():
        layer.bias.fill_(100.0)
    x = torch.rand(50, 30)
    h = layer.encode(x)
    assert (h > 0).sum(dim=1).tolist() == [k] * 50
    z = layer.pre_activations(x)
    torch.testing.assert_close(h.sum(dim=1), z.sort(dim=1).values[:, -k:].sum(dim=1))


def test_with_all_units_it_is_a_dense_layer():
    layer = randomised(TopK(12, 6, k=6))
    dense = build_stack([12, 6], "relu")[0]
    dense.load_state_dict(layer.state_dict())
    x = torch.randn(9, 12)
    assert torch.equal(layer(x), dense(x))


def test_codes_do_not_depend_on_what_is_encoded_beside():
    for units in (5, 40):
        layer = randomised(TopK(33, units, k=3))
        x = torch.rand(3 * TILE_ROWS + 7, 33)
        whole = encode_rows(layer, x)
        assert torch.equal(encode_rows(layer, x[TILE_ROWS : TILE_ROWS + 9]), whole[TILE_ROWS:][:9])
        assert torch.allclose(whole, layer.encode(x), atol=1e-6)
        assert ((whole > 0).sum(dim=1) <= 3).all()


def with_dead_units(output: str = "identity", tied: bool = False, dead: int = 3) -> TopK:
    layer = randomised(TopK(8, 10, k=4, output=output, tied=tied))
    with torch.no_grad():
        layer.bias[:dead] = -100.0
    return layer


def is_dead(layer: TopK, x: torch.Tensor) -> torch.Tensor:
    return (layer.encode(x) == 0).all(dim=0)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("output", ["identity", "sigmoid", "relu"])
def test_dead_units_point_at_what_is_missing_and_the_others_stay(output, tied):
    layer, x = with_dead_units(output, tied), torch.rand(60, 8)
    dead, missing = is_dead(layer, x), x - layer(x)
    assert 3 <= dead.sum() < 10
    before = clone_state(layer)
    layer.begin_epoch(1, lambda: x)
    worst = missing.square().sum(dim=1).argsort(descending=True)[: int(dead.sum())]
    directions = torch.nn.functional.normalize(missing[worst])
    length = before["weight"][~dead].norm(dim=1).mean()
    torch.testing.assert_close(layer.weight[dead], REVIVED * length * directions)
    assert not layer.bias[dead].any()
    assert torch.equal(layer.weight[~dead], before["weight"][~dead])
    assert torch.equal(layer.bias[~dead], before["bias"][~dead])
    assert torch.equal(layer.decoder_bias, before["decoder_bias"])
    if not tied:
        decoder = before["decoder_weight"][:, ~dead]
        assert torch.equal(layer.decoder_weight[:, ~dead], decoder)
        found = layer.decoder_weight[:, dead].t()
        torch.testing.assert_close(found, decoder.norm(dim=0).mean() * directions)


def test_revival_against_hand_values():
    """Units (x1, x2, off): of (3, 4) and (0, 0) a decoder of zeros leaves (3, 4) missing."""
    layer = TopK(2, 3, k=3, output="identity")
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [7.0, 7.0]]))
        layer.bias.copy_(torch.tensor([0.0, 0.0, -100.0]))
        layer.decoder_weight.zero_()
        layer.decoder_weight[0, :2] = torch.tensor([0.5, 0.0])
        layer.decoder_bias.copy_(torch.tensor([-1.5, 0.0]))
    layer.begin_epoch(1, lambda: torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    # x^ = (1.5 - 1.5, 0) of (3, 4), and (-1.5, 0) of (0, 0); (3, 4) is five long. Living rows have
    # length 1, living columns 0.5 and 0.
    torch.testing.assert_close(layer.weight[2], REVIVED * torch.tensor([0.6, 0.8]))
    torch.testing.assert_close(layer.decoder_weight[:, 2], 0.25 * torch.tensor([0.6, 0.8]))


@pytest.mark.parametrize("dead", [6, 10])
def test_more_dead_units_than_samples_and_a_code_that_is_all_zero_are_fine(dead):
    layer, x = with_dead_units(dead=dead), torch.rand(4, 8)
    layer.begin_epoch(1, lambda: x)
    assert (layer.bias[:dead] == 0).sum() == 4
    assert all(torch.isfinite(p).all() for p in layer.parameters())


@pytest.mark.parametrize("why", ["the first epoch", "switched off", "none is dead"])
def test_otherwise_nothing_changes(why):
    layer, x = with_dead_units(), torch.rand(60, 8)
    if why == "switched off":
        layer.revive = False
    if why == "none is dead":
        with torch.no_grad():
            layer.bias[:] = 0.5
        x = torch.cat([x, torch.linalg.pinv(layer.weight.detach()).t()])
        assert not is_dead(layer, x).any()
    before = clone_state(layer)
    layer.begin_epoch(int(why != "the first epoch"), lambda: x)
    assert same_state(layer.state_dict(), before)


def test_revival_is_a_function_of_weights_and_samples():
    first, second, x = with_dead_units(), with_dead_units(), torch.rand(60, 8)
    first.begin_epoch(1, lambda: x)
    torch.rand(3)
    second.begin_epoch(4, lambda: x)
    assert same_state(first.state_dict(), second.state_dict())


class StartsDead(TopK):
    """Half of its units are dead to begin with, so that there is something to revive."""

    def reset_parameters(self, generator=None) -> None:
        super().reset_parameters(generator)
        with torch.no_grad():
            self.bias[: self.n_code // 2] = -100.0


def trained(epochs: int, start: str | None = None, revive: bool = True) -> Stack:
    stack = Stack([StartsDead(12, 8, k=2, revive=revive)])
    stage = Stage(stack, 0, Recipe(lr=0.01), seed=3)
    stack[0].reset_parameters(torch.Generator().manual_seed(0))
    trainer = Trainer(
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(stage, loader(64, shuffle=True), ckpt_path=start, weights_only=False)
    trainer.save_checkpoint(f"{epochs}.ckpt")
    return stack


def test_revival_revives():
    """What has been revived takes part after some more training."""
    x = loader(64).x
    assert is_dead(trained(4, revive=False), x).sum() >= 4
    assert is_dead(trained(4), x).sum() <= 1


def test_training_goes_on_through_a_revival_bit_for_bit():
    trained(1)
    whole = trained(3)
    assert (whole[0].bias > -50).all(), "they have been revived"
    assert same_state(trained(3, "1.ckpt").state_dict(), whole.state_dict())


def test_it_stacks_and_learns():
    layers = [{"kind": "topk", "units": 10, "k": 4}, {"kind": "topk", "units": 8, "k": 3}]
    model = StackedAutoencoder(input_shape=[12], layers=layers, tied=True)
    assert [layer.tied for layer in model.stack] == [True, True]
    assert [layer.output for layer in model.stack] == ["sigmoid", "relu"]
    train, val = loader(200), loader(50)
    plan = Recipe(epochs=8, lr=0.01)
    results = GreedyPretrainer([plan, plan], Recipe(epochs=8, lr=0.01)).fit(model, train, val)
    mean = (val.x - train.x.mean(dim=0)).square().sum(dim=1).mean()
    assert results[-1].loss < 0.9 * mean
    assert results[-1].health["dead"] < 0.5


@pytest.mark.parametrize("k", [0, 7, 2.5, "two", None, True])
def test_a_wrong_k_is_one_sentence(k):
    with pytest.raises(InputError, match=r"^layers\[0\]\.k: expected (an integer|at most the 6)"):
        build_stack(input_shape=[12], layers=[{"kind": "topk", "units": 6, "k": k}])


def test_it_takes_no_activation_of_its_own():
    layer = {"kind": "topk", "units": 6, "k": 2}
    assert build_stack(input_shape=[12], layers=[layer], activation="tanh")[0].activation == "relu"
    with pytest.raises(InputError, match=r"layers\[0\].activation: expected one of units, k"):
        build_stack(input_shape=[12], layers=[{**layer, "activation": "tanh"}])
