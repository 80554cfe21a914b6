from __future__ import annotations

import pytest
from helpers import loader, tiny_stack
from lightning import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler

from sae.training.recipe import Recipe
from sae.training.stage import Stage

QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def fit(module, train, epochs=2):
    trainer = Trainer(max_epochs=epochs, **QUIET)
    trainer.fit(module, train, train)
    return trainer


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["constant", "one_cycle", "cosine"])
def test_every_optimizer_and_schedule_lowers_the_loss(optimizer, schedule):
    stage = Stage(tiny_stack(), 0, Recipe(optimizer=optimizer, schedule=schedule, lr=0.02))
    data = loader()
    before = stage.net.reconstruction_loss(stage.encode(data.x), data.x).item()
    trainer = fit(stage, data, epochs=5)
    assert trainer.callback_metrics["stage1/val/loss"] < before
    if schedule != "constant":
        assert trainer.optimizers[0].param_groups[0]["lr"] < 1e-3


def test_the_recipe_reaches_the_optimizer():
    adam = Stage(tiny_stack(), 0, Recipe(weight_decay=0.3)).configure_optimizers()
    assert adam.param_groups[0]["weight_decay"] == 0.3
    sgd = Stage(tiny_stack(), 0, Recipe(optimizer="sgd", weight_decay=0.2)).configure_optimizers()
    assert (sgd.param_groups[0]["momentum"], sgd.param_groups[0]["weight_decay"]) == (0.9, 0.2)


def test_a_schedule_ends_with_the_training_however_many_batches_make_a_step():
    stage = Stage(tiny_stack(), 0, Recipe(schedule="one_cycle", lr=0.1))
    scheduler = GradientAccumulationScheduler({0: 4, 1: 1})
    trainer = Trainer(max_epochs=3, callbacks=[scheduler], **QUIET)
    trainer.fit(stage, loader(n=40), loader())
    schedule = trainer.lr_scheduler_configs[0].scheduler
    assert trainer.global_step == schedule.total_steps == schedule.last_epoch == 2 + 5 + 5
