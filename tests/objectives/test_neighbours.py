"""Walks on a hand-worked graph, the loss on their ends, and what a run makes of them."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
from helpers import ROOT, as_process, place_of, refusal, tiny_data, tiny_model
from killing import at_call, differences, outcome, run
from lightning import Trainer

from sae.batch import Batch
from sae.errors import InputError
from sae.objectives import neighbours
from sae.objectives.neighbours import MOST_SAMPLES, Neighbours, nearest, walk
from sae.objectives.objective import TrainingSet
from sae.training.module import TrainingModule
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe
from sae.training.steps import steps_at_once

# On a line at 0, 1, 3, 7 and 8.
CODES = torch.tensor([[0.0], [1.0], [3.0], [7.0], [8.0]])
GRAPH = [[1, 2], [0, 2], [1, 0], [4, 2], [3, 2]]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# The graph


def test_neighbours_of_points_on_a_line():
    found = nearest(CODES, 2)
    assert found.tolist() == GRAPH
    assert found.dtype == torch.int32


def test_of_equal_codes_none_is_its_own_neighbour():
    found = nearest(torch.zeros(6, 20), 3)  # of so many units each is compared with each
    for k, row in enumerate(found.tolist()):
        assert len({*row, k}) == 4


# Walks


def test_a_walk_of_one_hop_stays_or_goes_to_each_neighbour():
    """Half of them make no hop; each of the two ways of the others is a quarter of all."""
    n = 20_000
    graph = torch.tensor(GRAPH).repeat(n // 5, 1)  # hops lead to the first five, from anywhere
    ends = walk(graph, 1, generator())
    for k in range(5):
        its = ends[k::5]
        stayed = (its == torch.arange(k, n, 5)).float().mean().item()
        first, second = ((its == where).float().mean().item() for where in GRAPH[k])
        # The first five may stay where another would have hopped to: those are one in 4,000.
        assert stayed == pytest.approx(0.5, abs=0.035)
        assert first == pytest.approx(0.25, abs=0.03)
        assert second == pytest.approx(0.25, abs=0.03)


def test_lengths_are_uniform_on_a_one_way_road():
    """With a single way the end tells the hops: 0 to 7, an eighth of the walks each."""
    n, hops = 16_000, 7
    road = torch.arange(1, n + 1).clamp(max=n - 1)[:, None]
    ends = walk(road, hops, generator())
    lengths = (ends - torch.arange(n))[: n - hops]
    shares = torch.bincount(lengths, minlength=hops + 1) / len(lengths)
    assert len(shares) == hops + 1
    assert torch.allclose(shares, torch.full((8,), 1 / 8), atol=0.012)


def test_a_walk_ends_where_ways_lead():
    """Two islands: nobody gets from one to the other, and long walks get all over their own."""
    graph = torch.tensor([[1, 2], [2, 0], [0, 1], [4, 5], [5, 3], [3, 4]])
    ends = torch.stack([walk(graph, 50, generator(seed)) for seed in range(60)])
    assert set(ends[:, :3].flatten().tolist()) == {0, 1, 2}
    assert set(ends[:, 3:].flatten().tolist()) == {3, 4, 5}
    assert len(ends[:, 0].unique()) == len(ends[:, 5].unique()) == 3


# What is minimised


def begun(epoch: int, net, x: torch.Tensor, **options) -> Neighbours:
    """An objective at the begin of an epoch, on samples whose codes are those of a line."""
    aim = Neighbours(k=2, **options)
    samples = TrainingSet(len(x), lambda: CODES, lambda number: x[number])
    aim.begin_epoch(net, epoch, samples, place_of(tiny_model(), x, epoch, epoch=epoch))
    return aim


def test_the_loss_is_that_of_the_ends():
    model, x = tiny_model().eval(), torch.rand(5, 12, generator=generator(3))
    aim = begun(1, model.stack, x, warm_up=1, hops=3)
    place = place_of(model, x, 1, epoch=1)
    ends = walk(torch.tensor(GRAPH), 3, place.generator("walk", torch.device("cpu")))
    assert ends.tolist() != list(range(5))
    number = torch.tensor([4, 0, 3])
    with torch.no_grad():
        h = model.encode(x[number])
        found = aim.losses(model.stack, h, Batch(x[number], None, number), place)["loss"]
        by_hand = (model.decode(h) - x[ends[number]]).square().sum(dim=1).mean()
    assert found.item() == pytest.approx(by_hand.item(), rel=1e-6)


@pytest.mark.parametrize("epoch", [0, None], ids=["warm-up", "validation"])
def test_samples_themselves_are_rebuilt(epoch):
    model, x = tiny_model().eval(), torch.rand(5, 12, generator=generator(3))
    aim = begun(0 if epoch == 0 else 1, model.stack, x, warm_up=1)
    batch, place = Batch(x, None, torch.arange(5)), place_of(model, x, epoch=epoch)
    with torch.no_grad():
        h = model.encode(x)
        found = aim.losses(model.stack, h, batch, place)["loss"]
        by_hand = (model.decode(h) - x).square().sum(dim=1).mean()
    assert found.item() == pytest.approx(by_hand.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("warm_up", "refresh", "made"),
    [(2, None, [2]), (0, None, [0]), (1, 2, [1, 3, 5]), (3, 1, [3, 4, 5])],
)
def test_when_the_graph_is_made(warm_up, refresh, made):
    aim, found = Neighbours(k=2, warm_up=warm_up, refresh=refresh), []
    x = torch.rand(5, 12, generator=generator())
    for epoch in range(6):
        samples = TrainingSet(5, lambda: found.append(epoch) or CODES, lambda number: x[number])  # noqa: B023
        aim.begin_epoch(None, epoch, samples, place_of(tiny_model(), x, epoch, epoch=epoch))
    assert found == made


def test_batches_without_numbers_are_refused():
    model, x = tiny_model(), torch.rand(5, 12, generator=generator())
    aim = begun(0, model.stack, x)
    with pytest.raises(InputError, match="expected batches whose samples have numbers"):
        aim.losses(model.stack, model.encode(x), Batch(x), place_of(model, x, epoch=0))


# In a run


def trained(monkeypatch, burst: bool, **options) -> tuple[TrainingModule, list[list[int]]]:
    """12→6→3 trained on tiny samples, and the ends of its walks."""
    ends = []

    def spied(*args):
        ends.append(walk(*args))
        return ends[-1]

    monkeypatch.setattr(neighbours, "walk", spied)
    if not burst:
        monkeypatch.setattr("sae.training.pretrain.steps_at_once", lambda *_: 1)
    data, model = tiny_data(), tiny_model(objective={"kind": "neighbours", "k": 3, **options})
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}

    def trainer(phase, module):
        made = Trainer(max_epochs=phase.recipe.epochs, accelerator="cpu", **quiet)
        assert steps_at_once(made, module, 16) > 1
        return made

    recipe = Recipe(epochs=4, lr=0.01)
    GreedyPretrainer([Recipe(epochs=0)] * 2, recipe, trainer, seed=1).fit(
        model, data.train_dataloader(), data.val_dataloader()
    )
    return model, [each.tolist() for each in ends]


def test_bursts_have_the_same_walks_and_bits(monkeypatch):
    one, its = trained(monkeypatch, burst=True)
    two, others = trained(monkeypatch, burst=False)
    assert its == others
    assert len(its) == 2  # after a warm-up of two epochs
    assert its[0] != its[1]
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    assert all(a.equal(b) for a, b in pairs)
    plain, _ = trained(monkeypatch, burst=True, warm_up=3)
    assert not plain.stack[0].weight.equal(one.stack[0].weight)
    assert one.objective._rows is one.objective._graph is None  # nothing is held on to


def test_samples_come_by_their_numbers_in_all(monkeypatch):
    """The second of two processes has the later half of a batch: its numbers are those."""
    as_process(monkeypatch, 1, 2)
    data = tiny_data()
    batch = next(iter(data.train_dataloader()))
    assert data.train.x[batch.number].float().div(255).allclose(batch.x)


@pytest.mark.parametrize(
    ("epochs", "n", "message"),
    [
        (5, 10, "objective.k: expected 11 to 500,000 training samples for k = 10, found 10"),
        (5, MOST_SAMPLES + 1, "found 500,001, of which each is compared with each; train on fewer"),
        (2, 50, "objective.warm_up: expected less than the 2 epochs of finetune"),
    ],
)
def test_what_makes_no_graph_is_refused(epochs, n, message):
    with pytest.raises(InputError, match=message):
        Neighbours().check_training(n, epochs)
    Neighbours().check_training(11, 3)


@pytest.mark.parametrize("option", ["k", "hops", "refresh"])
def test_options_are_checked(option):
    with pytest.raises(InputError, match=f"^{option}: expected an integer of 1 or more, found 0"):
        Neighbours(**{option: 0})


CONFIG = ["fit", "--config", str(ROOT / "configs" / "digits.yaml"), "--model.sizes", "[784, 12, 4]"]
CONFIG += ["--model.objective", "{kind: neighbours, warm_up: 1, hops: 4, refresh: 2}"]
CONFIG += ["--pretrain.epochs", "0", "--finetune.epochs", "5", "--finetune.lr", "0.002"]
CONFIG += ["--pictures_every", "-1"]
FOLDER = Path("lightning_logs/digits/version_0")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    where = tmp_path_factory.mktemp("unbroken")
    assert run(CONFIG, where) == 0, (where / "err.txt").read_text()
    return where / FOLDER


@pytest.mark.parametrize("epoch", [3, 4], ids=["as a graph is made", "with a graph of before"])
def test_killed_and_gone_on_with(epoch, unbroken, tmp_path, capfd):
    """Graphs are made at the begin of epochs 1 and 3; 4 walks on that of 3."""
    plan = at_call(Neighbours, "begin_epoch", epoch + 1)
    assert run(CONFIG, tmp_path, plan) == -signal.SIGKILL, (tmp_path / "err.txt").read_text()
    assert run([*CONFIG, "--resume", "auto"], tmp_path) == 0, (tmp_path / "err.txt").read_text()
    said = capfd.readouterr().out
    assert f"continues after epoch {epoch}" in said
    assert "the weights of the last epoch are kept" in said
    assert not differences(outcome(unbroken), outcome(tmp_path / FOLDER))


def test_the_last_epoch_goes_on_though_validation_would_choose_another(unbroken):
    kept = torch.load(unbroken / "finetune" / "checkpoints" / "best.ckpt", weights_only=True)
    assert kept["epoch"] == 4


def test_patience_is_refused(capsys):
    words = [*CONFIG, "--finetune.patience", "2"]
    assert refusal(capsys, *words).startswith("finetune.patience: expected null for Neighbours")
