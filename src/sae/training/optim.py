"""The optimiser and the schedule of a recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from sae.data.loader import TensorLoader
from sae.training.recipe import Recipe

Groups = Sequence[tuple[Sequence[nn.Parameter], float]]


def optimizer(groups: Groups, recipe: Recipe, trainer: Trainer | None) -> Optimizer:
    """Return the optimiser of a recipe.

    Args:
        groups: Parameters, each group with the factor on the recipe's learning rate.
        recipe: How to train them.
        trainer: The Trainer, if known.
    """
    found: list[dict[str, Any]] = [
        {"params": list(parameters), "lr": recipe.lr * factor} for parameters, factor in groups
    ]
    if recipe.optimizer == "sgd":
        return SGD(found, recipe.lr, momentum=0.9, weight_decay=recipe.weight_decay)
    # Fused Adam is one kernel for all parameters instead of a dozen small ones for each. It cannot
    # be combined with gradient clipping in mixed precision.
    clips = trainer is not None and bool(trainer.gradient_clip_val)
    devices = {p.device.type for group in found for p in group["params"]}
    kind = Adam if recipe.optimizer == "adam" else AdamW
    fused = not clips and devices <= {"cpu", "cuda"}
    return kind(found, recipe.lr, weight_decay=recipe.weight_decay, fused=fused)


def schedule(optimizer: Optimizer, recipe: Recipe, trainer: Trainer) -> LRScheduler:
    """Return the schedule of a recipe that is not constant; it changes at each step."""
    steps = n_steps(trainer)
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    highest = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(
        optimizer, highest, total_steps=steps, pct_start=recipe.rise, cycle_momentum=False
    )


def n_steps(trainer: Trainer) -> int:
    """Return the number of the optimiser's steps in the whole training."""
    steps = max(1, int(trainer.estimated_stepping_batches))
    epochs = range(trainer.max_epochs or 1)
    loader = trainer.train_dataloader
    if isinstance(loader, TensorLoader) and loader.burst > 1:  # the Trainer counted bursts
        steps = loader.n_batches * len(epochs)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set from afar
        if isinstance(
            callback, GradientAccumulationScheduler
        ):  # the Trainer counts with its first factor only
            batches = trainer.num_training_batches
            each = (callback.get_accumulate_grad_batches(epoch) for epoch in epochs)
            steps = sum(math.ceil(batches / n) for n in each)
    return steps
