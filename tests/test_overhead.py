"""Several steps in a row come to the same as one after another through the Trainer."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers import clone_state, fit, loader, same_state, tiny_model
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import (
    EarlyStopping,
    GradientAccumulationScheduler,
    LambdaCallback,
    LearningRateMonitor,
    ModelCheckpoint,
    StochasticWeightAveraging,
    TQDMProgressBar,
)

from sae import overhead, pretrain
from sae.callbacks.checkpoints import PhaseCheckpoint
from sae.corruption import Corruption
from sae.overhead import MOST_STEPS, no_search_for_gpus, steps_at_once
from sae.pretrain import GreedyPretrainer
from sae.recipe import Recipe
from sae.sparsity import Sparsity

NET = torch.nn.Linear(10, 10, bias=False)


class AtEachStep(Callback):
    def on_train_batch_end(self, *args) -> None:
        pass


class AtEachEpoch(Callback):
    looks_at_epochs_only = True

    def on_train_epoch_end(self, *args) -> None:
        pass


class SaysNothing(Callback):
    """Could change how steps are taken, as GradientAccumulationScheduler does."""

    def on_train_epoch_start(self, *args) -> None:
        pass


def trainer(*callbacks, **options) -> Trainer:
    quiet = {"logger": False, "enable_checkpointing": bool(callbacks), "accelerator": "cpu"}
    return Trainer(callbacks=list(callbacks), **(quiet | options))


def one_at_a_time(monkeypatch) -> None:
    monkeypatch.setattr(pretrain, "steps_at_once", lambda *_: 1)


RECIPES = {
    "plain": Recipe(epochs=2, lr=0.01),
    "noise": Recipe(epochs=3, corruption=Corruption("gaussian", 0.3), schedule="one_cycle"),
    "sparse": Recipe(epochs=2, sparsity=Sparsity(0.1, 1.0), schedule="cosine", optimizer="sgd"),
}


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_weights_are_those_of_single_steps_bit_for_bit(recipe, precision, monkeypatch):
    """With a last burst, and a last batch, smaller than the others."""
    found = []
    monkeypatch.setattr(pretrain, "Trainer", partial(Trainer, precision=precision))
    monkeypatch.setattr(overhead, "MOST_STEPS", 4)
    for single in (False, True):
        if single:
            one_at_a_time(monkeypatch)
        model, trainers = tiny_model(), []

        def plain(phase, module, trainers=trainers):
            trainers.append(pretrain.plain_trainer(phase, module))
            return trainers[-1]

        data = loader(n=83, shuffle=True)  # 11 batches of 8
        results = GreedyPretrainer([recipe] * 2, recipe, plain, seed=3).fit(model, data, loader(9))
        steps = [each.global_step for each in trainers]
        rates = [each.optimizers[0].param_groups[0]["lr"] for each in trainers]
        found.append((clone_state(model), [r.loss for r in results], steps, rates))
    assert same_state(found[0][0], found[1][0])
    assert found[0][1:] == found[1][1:]
    assert found[0][2] == [11 * recipe.epochs] * 3


def test_a_module_that_was_trained_so_trains_on_in_any_trainer():
    model, data = tiny_model(), loader(n=80)
    GreedyPretrainer([Recipe(epochs=1)] * 2, Recipe(epochs=1)).fit(model, data, data)
    assert model.automatic_optimization
    before = clone_state(model)
    trainer(max_epochs=1).fit(model, loader(n=80), loader(n=8))
    assert not same_state(before, clone_state(model))


def test_a_default_run_takes_several_at_once(monkeypatch):
    """All that the command line adds to a Trainer is at ease."""
    found = []

    def told(*args):
        found.append(steps_at_once(*args))
        return found[-1]

    monkeypatch.setattr(pretrain, "steps_at_once", told)
    fit("--data.batch_size", "500", "--finetune.patience", "3", "--pretrain.schedule", "one_cycle")
    assert found == [MOST_STEPS] * len(found)


def test_the_trainer_is_asked_less_often(monkeypatch):
    asked = []

    class Counts(Callback):
        looks_at_epochs_only = True

        def on_train_batch_end(self, *args) -> None:
            asked.append(args[0].global_step)

    def counting(phase, module):
        return trainer(Counts(), max_epochs=1, enable_checkpointing=False)

    data = loader(n=8 * 20)
    GreedyPretrainer([Recipe(epochs=1)] * 2, Recipe(epochs=0), counting).fit(
        tiny_model(), data, data
    )
    assert asked == [16, 20] * 2


def test_where_nothing_is_missed_several_steps_are_taken(tmp_path):
    calm = [AtEachEpoch(), TQDMProgressBar(), LearningRateMonitor("epoch")]
    calm += [PhaseCheckpoint(tmp_path), EarlyStopping("val/loss")]
    assert steps_at_once(trainer(*calm), NET, 8) == MOST_STEPS
    assert steps_at_once(trainer(precision="bf16-mixed"), NET, 8) == MOST_STEPS
    assert steps_at_once(trainer(), NET, 2**31 // 300) == 3
    assert steps_at_once(trainer(), NET, 2**31) == 1


@pytest.mark.parametrize(
    "callback",
    [
        *(AtEachStep(), SaysNothing(), LambdaCallback(on_train_batch_end=print)),
        *(LearningRateMonitor("step"), ModelCheckpoint(every_n_train_steps=5)),
        *(GradientAccumulationScheduler({0: 2}), StochasticWeightAveraging(0.1)),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_who_looks_at_steps_sees_each(callback):
    assert steps_at_once(trainer(callback), NET, 8) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"gradient_clip_val": 1.0},
        {"accumulate_grad_batches": 2},
        {"limit_train_batches": 5},
        {"limit_train_batches": 1},
        {"limit_train_batches": 0.5},
        {"max_steps": 7},
        {"max_time": "00:01:00:00"},
        {"val_check_interval": 10},
        {"val_check_interval": 0.5},
        {"fast_dev_run": 2},
        {"precision": "bf16-true"},
        {"devices": 2, "strategy": "ddp"},
    ],
    ids=str,
)
def test_options_that_count_or_change_steps_have_each_through_the_trainer(options):
    assert steps_at_once(trainer(**options), NET, 8) == 1


def test_a_run_goes_on_in_the_other_way_with_its_steps_counted(monkeypatch):
    """As where a second process is added."""
    few = ["--data.batch_size", "500", "--pictures_every", "-1"]
    whole = fit(*few, "--name", "whole")

    class BrokenOffError(Exception):
        pass

    def breaks_off(self, trainer, *args) -> None:
        if trainer.current_epoch == 1:
            raise BrokenOffError

    with monkeypatch.context() as patch:
        from sae.callbacks import MetricsCSV

        patch.setattr(MetricsCSV, "on_train_epoch_start", breaks_off)
        with pytest.raises(BrokenOffError):
            fit(*few, "--name", "whole2")
    one_at_a_time(monkeypatch)
    resumed = fit(*few, "--name", "whole2", "--resume", "auto")
    rows = [(folder / "metrics.csv").read_text() for folder in (whole, resumed)]
    assert rows[0] == rows[1]
    assert Path(resumed).name == "version_0"


def test_the_drivers_library_is_not_looked_for_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    with no_search_for_gpus():
        assert "PYTORCH_NVML_BASED_CUDA_CHECK" not in os.environ
    assert os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == "1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with no_search_for_gpus():
        assert os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == "1"
