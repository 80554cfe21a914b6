from __future__ import annotations

import pytest
import torch
from helpers import clone_state, corrupted, loader, same_state, tiny_stack
from lightning import Trainer

from sae.terms.corruption import Corruption
from sae.training.handover import CodesInMemory
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


def test_training_a_stage_leaves_the_stages_below_as_they_are():
    """Contract 3."""
    stack = tiny_stack()
    below, own = clone_state(stack[0]), clone_state(stack[1])
    stage = Stage(stack, 1, Recipe(lr=0.1, corruption=Corruption("gaussian", 0.1)))
    fit(stage, loader(features=6))
    assert same_state(clone_state(stack[0]), below)
    assert not same_state(clone_state(stack[1]), own)


def test_a_stage_trains_the_layer_of_the_stack_itself():
    stack = tiny_stack()
    assert Stage(stack, 0, Recipe()).net is stack[0]


def test_the_optimizer_holds_the_parameters_of_the_layer_alone():
    stage = Stage(tiny_stack(), 1, Recipe())
    optimizer = stage.configure_optimizers()
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in stage.net.parameters()}


def test_pictures_of_a_stage_go_through_the_stages_below_down_to_pixels():
    stack = tiny_stack(sizes=[12, 8, 3])
    stage = Stage(stack, 1, Recipe(corruption=Corruption("gaussian", 0.2)))
    x = torch.rand(5, 12)
    given, restored = stage.reconstruct_corrupted(x)
    h1 = stack[0].encode(x)
    h1_tilde = corrupted(stage, h1, "picture")
    assert torch.equal(given, stack[0].decode(h1_tilde))
    assert torch.equal(restored, stack[0].decode(stack[1](h1_tilde)))
    assert Stage(stack, 1, Recipe()).reconstruct_corrupted(x) is None


def test_the_error_in_pixels_is_that_of_the_whole_path(tmp_path):
    stack, images = tiny_stack(), loader(n=20)
    plain = Recipe(lr=0.01)
    stage = Stage(stack, 1, plain, val_images=images)
    codes = CodesInMemory().hand_on(stack[0], images, "stage1.val", "cpu")
    trainer = Trainer(max_epochs=1, logger=False, enable_checkpointing=False)
    trainer.fit(stage, codes, codes)
    with torch.no_grad():
        by_hand = (stack(images.x) - images.x).square().sum(dim=1).mean().item()
    assert trainer.callback_metrics["stage2/val/image_sse"].item() == pytest.approx(by_hand)
    first = Stage(stack, 0, plain, val_images=images)
    trainer = Trainer(max_epochs=1, logger=False, enable_checkpointing=False)
    trainer.fit(first, images, images)
    metrics = trainer.callback_metrics
    assert metrics["stage1/val/image_sse"] == metrics["stage1/val/sse"]


def test_the_layers_below_are_frozen_and_its_own_is_not():
    stack = tiny_stack().requires_grad_(False).train()
    stage = Stage(stack, 1, Recipe())
    assert not any(p.requires_grad for p in stack[0].parameters())
    assert all(p.requires_grad for p in stage.net.parameters())
    assert not stage.below.training
    below = tiny_stack()
    Stage(below, 1, Recipe())
    assert not any(p.requires_grad for p in below[0].parameters())
