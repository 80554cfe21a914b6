"""Several steps in a row come to the same as one after another through the Trainer."""

from __future__ import annotations

import inspect
import os
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers import clone_state, fit, loader, randomised, same_state, tiny_data, tiny_model
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    EarlyStopping,
    GradientAccumulationScheduler,
    LambdaCallback,
    LearningRateMonitor,
    ModelCheckpoint,
    ModelSummary,
    ProgressBar,
    StochasticWeightAveraging,
    TQDMProgressBar,
)
from lightning.pytorch.core.hooks import CheckpointHooks, DataHooks, ModelHooks
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import sae.callbacks
from sae.callbacks.checkpoints import PhaseCheckpoint
from sae.pictures.scene import Probe, Scene
from sae.terms.corruption import Corruption
from sae.terms.sparsity import Sparsity
from sae.training import pretrain
from sae.training import steps as overhead
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder
from sae.training.steps import MOST_STEPS, no_search_for_gpus, steps_at_once

MODULE = tiny_model()
WEIGHTS = sum(parameter.numel() for parameter in MODULE.net.parameters())


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
        # By these the learning rates are logged.
        steps += [each.fit_loop.epoch_loop._batches_that_stepped for each in trainers]
        rates = [each.optimizers[0].param_groups[0]["lr"] for each in trainers]
        found.append((clone_state(model), [r.loss for r in results], steps, rates))
    assert same_state(found[0][0], found[1][0])
    assert found[0][1:] == found[1][1:]
    assert found[0][2] == [11 * recipe.epochs] * 6


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
    assert steps_at_once(trainer(*calm), MODULE, 8) == MOST_STEPS
    assert steps_at_once(trainer(precision="bf16-mixed"), MODULE, 8) == MOST_STEPS
    assert steps_at_once(trainer(), MODULE, 2**31 // (3 * WEIGHTS)) == 3
    assert steps_at_once(trainer(), MODULE, 2**31) == 1


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
    assert steps_at_once(trainer(callback), MODULE, 8) == 1


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
        {"profiler": "simple"},
    ],
    ids=str,
)
def test_options_that_count_or_change_steps_have_each_through_the_trainer(options):
    assert steps_at_once(trainer(**options), MODULE, 8) == 1


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
        from sae.callbacks.metrics_csv import MetricsCSV

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


# Whoever is not known is shown each step: by every hook there is, as often and in the same order.


def spying(kind: type, names: list[str], calls: list[str]) -> type:
    """A subclass that notes each call of the hooks named, and is otherwise the same."""

    def noting(name: str):
        def hook(self, *args, **kwargs):
            calls.append(name)
            return getattr(super(spy, self), name)(*args, **kwargs)

        return hook

    spy = type(f"Spying{kind.__name__}", (kind,), {name: noting(name) for name in names})
    return spy


def functions_of(*kinds: type) -> list[str]:
    found = {name for kind in kinds for name, _ in inspect.getmembers(kind, inspect.isfunction)}
    return sorted(name for name in found if not name.startswith("_"))


FUNCTIONS_OF_MODULES = [
    *functions_of(ModelHooks, DataHooks, CheckpointHooks),
    *("training_step", "validation_step", "configure_optimizers", "configure_callbacks"),
    *("configure_gradient_clipping", "optimizer_step", "optimizer_zero_grad", "backward"),
    *("lr_scheduler_step", "log", "log_dict", "manual_backward", "clip_gradients"),
    *("toggle_optimizer", "untoggle_optimizer", "all_gather", "optimizers", "lr_schedulers"),
]
# Lightning takes these for another way to come by data or layers, whoever defines them.
ANOTHER_WAY = {"prepare_data", "configure_sharded_model"}
ANOTHER_WAY |= {name for name in FUNCTIONS_OF_MODULES if name.endswith("_dataloader")}
HOOKS_OF_MODULES = [name for name in FUNCTIONS_OF_MODULES if name not in ANOTHER_WAY]
HOOKS_OF_CALLBACKS = functions_of(Callback)


def test_all_hooks_of_a_module_are_known_here():
    """What a later Lightning adds is to be placed: a hook, or a plain method."""
    placed = {*functions_of(nn.Module), *FUNCTIONS_OF_MODULES}
    plain = {"freeze", "unfreeze", "print", "predict_step", "test_step", "to_onnx", "to_tensorrt"}
    plain |= {"to_torchscript", "save_hyperparameters", "load_from_checkpoint"}
    plain |= {"toggled_optimizer", "remove_ignored_hparams"}
    assert set(functions_of(LightningModule)) - placed <= plain


def calls_in_both_ways(run, monkeypatch) -> list[list[str]]:
    """What a spy notes where several steps at once are permitted, and where they are not."""
    found = []
    for single in (False, True):
        calls: list[str] = []
        with monkeypatch.context() as patch:
            if single:
                one_at_a_time(patch)
            run(calls)
        found.append(calls)
    return found


RECIPE = Recipe(epochs=2, schedule="cosine")


def test_a_modules_hooks_are_all_called_as_without_bursts(monkeypatch):
    def run(calls) -> None:
        model = spying(StackedAutoencoder, HOOKS_OF_MODULES, calls)([12, 6, 3])
        GreedyPretrainer([Recipe(epochs=0)] * 2, RECIPE, seed=3).fit(model, loader(n=80), loader())

    with_bursts, without = calls_in_both_ways(run, monkeypatch)
    assert with_bursts == without
    for name in ("on_before_zero_grad", "on_after_backward", "optimizer_step", "training_step"):
        assert with_bursts.count(name) == 20


BY_NAME = {
    "EarlyStopping": lambda kind, _: kind("finetune/val/loss"),
    "LearningRateMonitor": lambda kind, _: kind("epoch"),
    "PhaseCheckpoint": lambda kind, _: kind("checkpoints", monitor="finetune/val/loss"),
    "Snapshot": lambda kind, _: kind(lambda epochs, seconds: {"seconds": seconds}),
    "MetricsCSV": lambda kind, _: kind(Path("metrics.csv")),
    "WholePath": lambda kind, _: kind(0),
    "StageProgressBar": lambda kind, _: kind("finetune", "fine-tune", 0, 2),
    "PhasePictures": lambda kind, module: kind(
        Scene(module, module.stack, Probe(tiny_data(), 12), "fine-tune", [1, 2]), Path(), 1
    ),
}
AT_EASE = [
    *overhead.CALLBACKS,
    LearningRateMonitor,
    PhaseCheckpoint,
    *(
        kind
        for _, kind in inspect.getmembers(sae.callbacks, inspect.isclass)
        if issubclass(kind, Callback) and vars(kind).get("looks_at_epochs_only")
    ),
]


@pytest.mark.parametrize("kind", AT_EASE, ids=lambda kind: kind.__name__)
def test_a_callbacks_hooks_are_all_called_as_without_bursts(kind, monkeypatch):
    """In a subclass; the class itself is at ease."""
    make = BY_NAME.get(kind.__name__, lambda kind, _: kind())

    def run(calls) -> None:
        spy = spying(kind, HOOKS_OF_CALLBACKS, calls)

        def spied(phase, module):
            bar = issubclass(kind, ProgressBar)
            return Trainer(
                max_epochs=2,
                callbacks=[make(spy, module)],
                logger=CSVLogger("logs"),
                enable_checkpointing=issubclass(kind, ModelCheckpoint),
                enable_progress_bar=bar,
                enable_model_summary=issubclass(kind, ModelSummary),
                accelerator="cpu",
            )

        GreedyPretrainer([Recipe(epochs=0)] * 2, RECIPE, spied, seed=3).fit(
            tiny_model(), loader(n=80), loader()
        )

    with_bursts, without = calls_in_both_ways(run, monkeypatch)
    assert with_bursts == without
    assert with_bursts.count("on_before_optimizer_step") == 20
    assert overhead._looks_at_epochs_only(make(kind, MODULE))


def test_a_method_set_on_one_object_is_seen(monkeypatch):
    def run(calls) -> None:
        model = tiny_model()
        model.on_after_backward = lambda: calls.append("module")

        def told(phase, module):
            stop = EarlyStopping("finetune/val/loss")
            stop.on_train_batch_end = lambda *_: calls.append("callback")
            return trainer(stop, max_epochs=2, enable_checkpointing=False)

        GreedyPretrainer([Recipe(epochs=0)] * 2, RECIPE, told).fit(model, loader(n=80), loader())

    with_bursts, without = calls_in_both_ways(run, monkeypatch)
    assert with_bursts == without == ["module", "callback"] * 20
    model = tiny_model()
    model.on_after_backward = print
    assert steps_at_once(trainer(), model, 8) == 1
    stop = EarlyStopping("val/loss")
    stop.on_train_batch_end = print
    assert steps_at_once(trainer(stop), MODULE, 8) == 1


def test_a_claim_is_not_inherited():
    class SubclassOfOne(AtEachEpoch):
        pass

    for kind, steps in ((AtEachEpoch, MOST_STEPS), (SubclassOfOne, 1)):
        its = trainer(kind(), enable_checkpointing=False)
        assert steps_at_once(its, MODULE, 8) == steps


def test_a_trainer_or_strategy_of_ones_own_gets_each_step():
    class OwnTrainer(Trainer):
        pass

    class OwnStrategy(SingleDeviceStrategy):
        pass

    options = {"logger": False, "enable_checkpointing": False, "accelerator": "cpu"}
    assert steps_at_once(OwnTrainer(**options), MODULE, 8) == 1
    assert steps_at_once(trainer(strategy=OwnStrategy(), accelerator="auto"), MODULE, 8) == 1


class EpochWise(StackedAutoencoder):
    """A schedule that steps once an epoch, as Lightning's default is."""

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), 0.01)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1)]


class OnPlateau(StackedAutoencoder):
    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), 0.01)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=1e9)
        config = {"scheduler": plateau, "monitor": "val/loss"}
        return {"optimizer": optimizer, "lr_scheduler": config}


class OwnStep(StackedAutoencoder):
    def training_step(self, batch, batch_idx):
        x = batch[0]
        return (self(x) - x).square().mean()


class OwnSteps(OwnStep):
    """And a validation step, and its own way to take a step of the optimiser."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        optimizer.step()

    def validation_step(self, batch, batch_idx):
        x = batch[0]
        self.log("finetune/val/loss", (self(x) - x).square().mean())


def fine_tune(model, epochs: int = 3) -> Trainer:
    made = []

    def plain(phase, module):
        made.append(pretrain.plain_trainer(phase, module))
        return made[-1]

    recipe = Recipe(epochs=epochs, lr=0.01)
    GreedyPretrainer([Recipe(epochs=0)] * 2, recipe, plain).fit(model, loader(n=80), loader())
    return made[-1]


@pytest.mark.parametrize("kind", [EpochWise, OnPlateau])
def test_schedules_of_ones_own_step_when_lightning_says(kind):
    done = fine_tune(kind([12, 6, 3]))
    assert done.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-5)


@pytest.mark.parametrize("kind", [OwnStep, OwnSteps])
def test_steps_of_ones_own_are_taken(kind):
    model = randomised(kind([12, 6, 3]))
    by_hand = model.automatic_optimization
    done = fine_tune(model)
    assert done.global_step == 30
    assert model.automatic_optimization is by_hand
    x = loader(n=80).x
    for data in (loader(n=80), DataLoader(TensorDataset(x), 8)):
        model = randomised(kind([12, 6, 3]))
        before = clone_state(model)
        plain = trainer(max_epochs=1)
        plain.fit(model, data, data)
        assert plain.global_step == 10
        assert not same_state(before, clone_state(model))
