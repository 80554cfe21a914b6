from __future__ import annotations

import pytest
import torch
from helpers import loader, tiny_stack
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, GradientAccumulationScheduler

from sae.errors import InputError
from sae.training.optim import n_steps, optimizer
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


def test_groups_have_their_rates():
    a, b = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
    for kind in ("adam", "adamw", "sgd"):
        recipe = Recipe(lr=0.1, optimizer=kind)
        groups = optimizer([([a], 1.0), ([b], 0.25)], recipe, None).param_groups
        assert [group["lr"] for group in groups] == [0.1, 0.025]
        assert groups[1]["params"] == [b]


def test_a_step_of_each_optimizer_against_hand_values():
    """From weight 1 with gradient 2, at rate 0.1 and weight decay 0.5."""
    expected = {
        "sgd": 1 - 0.1 * (2 + 0.5),
        "adam": 1 - 0.1,  # the first step is as long as the rate
        "adamw": 1 - 0.1 * 0.5 - 0.1,
    }
    for kind, wanted in expected.items():
        weight = torch.nn.Parameter(torch.ones(1))
        recipe = Recipe(lr=0.1, optimizer=kind, weight_decay=0.5)
        found = optimizer([([weight], 1.0)], recipe, None)
        weight.grad = torch.tensor([2.0])
        found.step()
        assert weight.item() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("clip", [None, 1.0])
def test_adam_is_fused_unless_gradients_are_clipped(clip):
    weight = torch.nn.Parameter(torch.ones(1))
    trainer = Trainer(gradient_clip_val=clip, **QUIET)
    found = optimizer([([weight], 1.0)], Recipe(), trainer)
    assert found.param_groups[0]["fused"] is (clip is None)


@pytest.mark.parametrize(
    "options", [{}, {"accumulate_grad_batches": 2}, {"limit_train_batches": 3}]
)
def test_a_cosine_ends_at_zero_with_the_last_step(options):
    stage = Stage(tiny_stack(), 0, Recipe(schedule="cosine", lr=0.1))
    trainer = Trainer(max_epochs=3, **QUIET, **options)
    trainer.fit(stage, loader(n=40), loader())
    assert n_steps(trainer) == trainer.global_step
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("rise", [0.2, 0.6])
def test_one_cycle_is_at_its_highest_after_the_share_of_steps_asked_for(rise):
    stage = Stage(tiny_stack(), 0, Recipe(schedule="one_cycle", rise=rise, lr=0.1))
    rates = []

    class Note(Callback):
        def on_train_batch_start(self, trainer, *args):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    Trainer(max_epochs=4, callbacks=[Note()], **QUIET).fit(stage, loader(n=40), loader())
    assert len(rates) == 4 * 5
    assert rates.index(max(rates)) == round(rise * len(rates)) - 1


def test_a_rise_is_of_one_cycle_alone():
    with pytest.raises(
        InputError, match="rise: expected a schedule of one_cycle, which rises, found cosine"
    ):
        Recipe(rise=0.1, schedule="cosine")
    with pytest.raises(InputError, match="rise"):
        Recipe(rise=1.0, schedule="one_cycle")
