"""Several processes, one after another in this one, against a single one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers import as_process, corrupted, loader, tiny_model, tiny_stack
from torch.utils.data import DataLoader

from sae.terms.corruption import KINDS, Corruption
from sae.terms.sparsity import Sparsity
from sae.training.recipe import Recipe
from sae.training.stage import Stage

NOISES = [None, *(Corruption(kind, 0.3) for kind in KINDS)]
SPARSE = Sparsity(0.1, weight=2)
# A last batch of 3: odd shares for two processes, none for some of seven.
N, BATCH_SIZE, WORLDS = 21, 9, [2, 7]

# What the Trainer is doing in a step, and where it then names the loader.
DOING = {
    "training_step": ("training", "train_dataloader"),
    "validation_step": ("validating", "val_dataloaders"),
    "test_step": ("testing", "test_dataloaders"),
    "predict_step": ("predicting", "predict_dataloaders"),
}


def trainer_in(step: str, data, rank: int, world: int) -> SimpleNamespace:
    """What the modules ask of a Trainer."""
    flags = {flag: name == step for name, (flag, _) in DOING.items()}
    loaders = {key: data if name == step else None for name, (_, key) in DOING.items()}
    place = {"world_size": world, "global_rank": rank, "current_epoch": 1}
    return SimpleNamespace(**flags, **loaders, **place)


def steps(module, step: str, data, world: int, gathered: dict | None = None) -> list[list]:
    """What a step gives: for each process a list over the batches.

    Args:
        module: What does the step.
        step: Its name.
        data: A loader.
        world: Processes.
        gathered: What the processes send each other, by batch; noted down where it is missing.
    """
    results: list[list] = []
    gathered = {} if gathered is None else gathered
    for rank in range(world):
        results.append([])
        with pytest.MonkeyPatch.context() as patch:
            if world > 1:
                as_process(patch, rank, world)
            patch.setattr(module, "_trainer", trainer_in(step, data, rank, world))
            for batch_idx, batch in enumerate(data):
                sent = gathered.setdefault(batch_idx, {})

                def all_gather(tensor, sync_grads, sent=sent, rank=rank):
                    assert sync_grads
                    sent.setdefault(rank, tensor)
                    return torch.stack([*sent.values()])

                patch.setattr(module, "all_gather", all_gather)
                results[-1].append(getattr(module, step)(batch, batch_idx))
    return results


def together(module, step: str, data, world: int) -> list[list]:
    """As :func:`steps`, each process with what the others sent: for that they go twice."""
    gathered: dict = {}
    steps(module, step, data, world, gathered)
    for means in module._means.values():
        means.clear()
    return steps(module, step, data, world, gathered)


def means_of(module, split: str) -> dict[str, float]:
    """The logged means; the processes shared the sums, so these are added up already."""
    means = module._means[split].compute(SimpleNamespace(reduce=lambda t, reduce_op: t))
    module._means[split].clear()
    return {name: value.item() for name, value in means.items()}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("sparsity", [None, SPARSE], ids=["plain", "sparse"])
@pytest.mark.parametrize("corruption", NOISES, ids=["clean", *KINDS])
def test_the_mean_gradient_of_the_shares_is_that_of_the_batch(corruption, sparsity, world):
    """DDP takes the mean of the processes' gradients; the logged means agree too."""
    recipe = Recipe(corruption=corruption, sparsity=sparsity)
    stage = Stage(tiny_stack(activation="tanh"), 0, recipe).double()
    data = loader(n=N, batch_size=BATCH_SIZE, shuffle=True)
    data.x = data.x.double()

    (alone,) = steps(stage, "training_step", data, world=1)
    expected = means_of(stage, "train")
    shares = together(stage, "training_step", data, world)
    assert means_of(stage, "train") == pytest.approx(expected, rel=1e-5)
    assert [len(losses) for losses in shares] == [len(alone)] * world
    for whole, *parts in zip(alone, *shares, strict=True):
        mean = sum(parts) / world
        torch.testing.assert_close(mean, whole, rtol=1e-5, atol=0)
        parameters = list(stage.net.parameters())
        torch.testing.assert_close(
            torch.autograd.grad(mean, parameters, retain_graph=True),
            torch.autograd.grad(whole, parameters),
            rtol=1e-5,
            atol=1e-6,  # activities are taken in 32 bits
        )


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("sparsity", [None, SPARSE], ids=["plain", "sparse"])
@pytest.mark.parametrize("corruption", NOISES, ids=["clean", *KINDS])
def test_validation_on_shares_is_that_on_the_whole(corruption, sparsity, world):
    stage = Stage(tiny_stack(), 0, Recipe(corruption=corruption, sparsity=sparsity)).eval()
    data = loader(n=N, batch_size=BATCH_SIZE)
    steps(stage, "validation_step", data, world=1)
    expected = means_of(stage, "val")
    together(stage, "validation_step", data, world)
    assert means_of(stage, "val") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("kind", KINDS)
def test_test_figures_of_shares_are_those_of_the_whole(kind, world):
    model = tiny_model()
    model.recipe = Recipe(corruption=Corruption(kind, 0.3), sparsity=SPARSE)
    data = loader(n=N, batch_size=BATCH_SIZE)
    figures = []
    for processes in (1, world):
        steps(model, "test_step", data, processes)
        figures.append(means_of(model, "test"))
    assert set(figures[0]) >= {"sse", "mse", "activity", "corrupted_sse", "denoised_sse"}
    assert figures[1] == pytest.approx(figures[0], rel=1e-5)


@pytest.mark.parametrize("world", WORLDS)
def test_predictions_of_shares_hold_every_sample_once(world):
    model, data = tiny_model(), loader(n=N, batch_size=BATCH_SIZE)
    data.y = torch.arange(N)
    parts = steps(model, "predict_step", data, world)
    for key, whole in model.predict_step((data.x, data.y), 0).items():
        got = torch.cat([part[key] for batch in zip(*parts, strict=True) for part in batch])
        torch.testing.assert_close(got, whole)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_does_not_depend_on_the_number_of_processes(kind):
    stage = Stage(tiny_stack(), 0, Recipe(corruption=Corruption(kind, 0.3)))
    data = loader(n=N, batch_size=N)
    whole = corrupted(stage, data.x, 3, 0, 0)
    with pytest.MonkeyPatch.context() as patch:
        for rank in range(4):
            as_process(patch, rank, 4)
            share = data.share(0)
            x_tilde = stage.corrupt(data.x[share.rows], stage.place(3, 0, 0, share=share))
            assert torch.equal(x_tilde, whole[share.rows])


def test_other_loaders_count_as_equal_shares():
    stage = Stage(tiny_stack(), 0, Recipe())
    x = torch.rand(4, 12)
    stage._trainer = trainer_in("training_step", DataLoader(x, batch_size=4), 1, 3)
    share = stage._share(x, batch_idx=5)
    assert (share.rows, share.n, share.n_batch, share.weight) == (slice(4, 8), 4, 12, 1.0)
    assert share.fullness == 1


def test_a_loader_in_a_list_is_asked_too(monkeypatch):
    stage, data = Stage(tiny_stack(), 0, Recipe()), loader(n=1)
    as_process(monkeypatch, 0, 2)
    stage._trainer = trainer_in("validation_step", [data], 0, 2)
    assert stage._share(next(iter(data))[0], 0).n == 0


def test_batches_of_another_loader_than_the_trainer_names_are_refused(monkeypatch):
    stage, data = Stage(tiny_stack(), 0, Recipe()), loader(n=N, batch_size=BATCH_SIZE)
    as_process(monkeypatch, 0, 2)
    stage._trainer = trainer_in("validation_step", data, 0, 2)
    with pytest.raises(ValueError, match="a fresh Trainer"):
        stage._share(torch.rand(4, 12), batch_idx=2)
