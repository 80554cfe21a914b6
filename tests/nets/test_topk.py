from __future__ import annotations

import pytest
import torch
from helpers import clone_state, loader, randomised, same_state
from lightning import Trainer

from sae.data.rows import TILE_ROWS, encode_rows
from sae.errors import InputError
from sae.nets.build import build_stack
from sae.nets.stack import Stack
from sae.nets.topk import TopK
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


def is_dead(layer: TopK, x: torch.Tensor) -> list[bool]:
    return (layer.encode(x) == 0).all(dim=0).tolist()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("output", ["identity", "sigmoid", "relu"])
def test_revival_revives(output, tied):
    layer, x = with_dead_units(output, tied), torch.rand(60, 8)
    assert is_dead(layer, x)[:3] == [True] * 3
    before = clone_state(layer)
    layer.begin_epoch(1, lambda: x)
    assert is_dead(layer, x)[:3] == [False] * 3
    alive = torch.tensor(is_dead_before(before, output, tied, x)).logical_not()
    for name in ("weight", "bias"):
        assert torch.equal(layer.state_dict()[name][alive], before[name][alive]), name
    assert torch.equal(layer.decoder_bias, before["decoder_bias"])


def is_dead_before(state, output, tied, x) -> list[bool]:
    layer = TopK(8, 10, k=4, output=output, tied=tied)
    layer.load_state_dict(state)
    return is_dead(layer, x)


def test_a_revived_unit_adds_what_is_missing_where_it_is_missed_most():
    """With room for it the worst rebuilt sample is rebuilt exactly."""
    layer = with_dead_units(dead=1)
    layer.k = 10  # no unit has to go
    x = torch.rand(60, 8)
    errors = (layer(x) - x).square().sum(dim=1)
    worst, largest = int(errors.argmax()), layer.encode(x).amax(dim=1)
    assert is_dead(layer, x)[0]
    if sum(is_dead(layer, x)) > 1:
        pytest.fail("another unit is dead, too")
    layer.begin_epoch(1, lambda: x)
    torch.testing.assert_close(layer(x)[worst], x[worst])
    assert layer.encode(x)[worst, 0].item() == pytest.approx(largest[worst].item(), rel=1e-5)


def test_each_dead_unit_gets_another_sample():
    layer, x = with_dead_units(dead=3), torch.rand(60, 8)
    layer.begin_epoch(1, lambda: x)
    directions = torch.nn.functional.normalize(layer.weight[:3])
    assert (directions @ directions.t()).fill_diagonal_(0).max() < 0.999


def test_more_dead_units_than_samples_and_a_code_that_is_all_zero_are_fine():
    layer, x = with_dead_units(dead=10), torch.rand(4, 8)
    layer.begin_epoch(1, lambda: x)
    assert sum(is_dead(layer, x)) == 6
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
        assert not any(is_dead(layer, x))
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


def test_training_goes_on_through_a_revival_bit_for_bit(tmp_path):
    def trained(epochs: int, start: str | None = None) -> dict:
        stack = Stack([StartsDead(12, 8, k=2)])
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
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return clone_state(stack)

    trained(1)
    whole = trained(3)
    assert (whole["layers.0.bias"] > -50).all(), "they have been revived"
    assert same_state(trained(3, str(tmp_path / "1.ckpt")), whole)


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
