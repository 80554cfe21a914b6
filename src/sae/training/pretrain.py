"""Greedy layer-wise pretraining: AE1 on x, AE2 on the code of AE1, …, then the stack as one.

Pure orchestration: who trains (the Trainer) and what is noted down are handed in.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import (
    EarlyStopping,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from torch import Tensor

from sae.data.convert import Samples, as_loader
from sae.data.labels import check_labels
from sae.data.loader import Survey, TensorLoader
from sae.devices import fast_products, placed
from sae.errors import InputError, error_prefix
from sae.look.health import check
from sae.nets.activations import PIXELS
from sae.nets.layer import Autoencoder
from sae.nets.stack import Stack
from sae.objectives.objective import Objective
from sae.seeding import derive_generator, derive_seed
from sae.training.callback_options import check_callbacks
from sae.training.handover import Codes, CodesInMemory, StageInputs
from sae.training.module import TrainingModule
from sae.training.plan import Journal, Phase, PhaseResult, plan
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder
from sae.training.stage import Stage
from sae.training.steps import bursts, no_search_for_gpus, steps_at_once
from sae.training.trainer_options import check_trainer
from sae.training.waiting import adapted

# Codes that the initial weights of a stage are fitted to.
START_SAMPLES = 4096


# A fresh Trainer for a phase; it is given the module so that callbacks can look at it.
TrainerFactory = Callable[[Phase, TrainingModule], Trainer]


def check_recipes(
    stack: Stack, stages: Sequence[Recipe], finetune: Recipe, head: Recipe | None = None
) -> None:
    """Raise :class:`~sae.errors.InputError` where a recipe does not fit what it trains."""
    if len(stages) != len(stack):
        expected = f"{len(stack)} recipes, one for each layer"
        raise InputError("stages", expected, str(len(stages)), "give as many")
    for k, (layer, recipe) in enumerate(zip(stack, stages, strict=True)):
        with error_prefix(f"pretrain (stage {k + 1})"):
            recipe.check_fits(layer, stack.below(k).code_range, above=k > 0)
    with error_prefix("finetune"):
        finetune.check_fits(stack, PIXELS)
    if head is not None:
        with error_prefix("head"):
            head.check_fits(stack, stack.code_range, above=True)
            found = {"sparsity": head.sparsity is not None, "terms": bool(head.terms)}
            for key, is_set in {**found, "target": head.target != "input"}.items():
                if is_set:
                    expected = "none, since a head is trained on codes that do not change"
                    raise InputError(key, expected, "one", "leave it out, or set it below finetune")


def check_augments(
    recipes: Mapping[str, Recipe], pixels: int, image_shape: tuple[int, ...] | None
) -> None:
    """Raise :class:`~sae.errors.InputError` where samples cannot be augmented as they are to be.

    Args:
        recipes: By the option that they stand in.
        pixels: Values of a sample.
        image_shape: Height and width, and 3 where there are colours; None where nobody knows.
    """
    for option, recipe in recipes.items():
        if recipe.epochs and recipe.augmentation is not None:
            with error_prefix(option):
                recipe.augmentation.check_fits(pixels, image_shape)


def check_head(objective: Objective, head: Recipe | None) -> None:
    """Raise :class:`~sae.errors.InputError` for a head that the attached objective lacks."""
    if head is not None and head.epochs and not list(objective.parameters()):
        found = f"{type(objective).__name__}, which has none"
        remedy = "leave out head, or choose another objective"
        raise InputError("head", "an objective with a head of its own", found, remedy)


def fitted(recipe: Recipe, objective: Objective) -> Recipe:
    """The recipe of the fine-tuning, with the last epoch going on where no figure names a better.

    Raises:
        InputError: It is to stop early by such a figure.
    """
    if objective.validation_chooses:
        return recipe
    if recipe.patience is not None:
        name = type(objective).__name__
        expected = f"null for {name}, whose validation loss is not what it minimises"
        raise InputError("patience", expected, str(recipe.patience), "leave it out")
    return replace(recipe, keep="last")


def check_values(stack: Stack, seen: Survey, of: str) -> None:
    """Refuse samples that no output unit of ``stack`` can rebuild.

    Args:
        stack: What is to rebuild them.
        seen: What has been seen of all of them.
        of: Which they are.

    Raises:
        InputError: Some are not finite, or lie outside of [0, 1] where the output is a sigmoid.
    """
    low, high = seen.low, seen.high
    if not math.isfinite(low) or not math.isfinite(high):
        found = f"some that are not among the {of}"
        raise InputError("data", "finite numbers", found, "take these samples out")
    if stack.output == "sigmoid" and not 0 <= low <= high <= 1:
        remedy = "scale them, or choose --model.output linear"
        found = f"{low:.4g} to {high:.4g} among the {of}"
        raise InputError("data", "values in [0, 1] for a sigmoid output", found, remedy)


class GreedyPretrainer:
    """Train the stages one after another on successive codes, then fine-tune the stack.

    Each phase gets a fresh Trainer, a fresh module and a seed of its own. A stage trains on the
    clean codes of the frozen layers below it, in eval mode. The weights that the
    Trainer leaves go on (those of the command line leave the best ones). The stack shares the
    layers of the stages, so there is nothing to copy and nothing to get wrong.

    Args:
        stages: Recipe of each stage; one of zero epochs leaves its layer at its initial weights.
        finetune: Recipe of the fine-tuning.
        make_trainer: Makes the Trainer of a phase.
        seed: Seed of the run: initial weights, order and noise are functions of it.
        journal: What has been done before; told the result of each phase.
        codes: How the codes of a stage are handed on; in memory if left out.
        head: Recipe of what the model's objective owns (the head of a classifier), trained alone on
            the codes of the pretrained stack, before the fine-tuning; None leaves that out.
        start: Weights to begin with in place of drawn ones, by their names in the stack; then all
            stages are of zero epochs. None draws them.
    """

    def __init__(
        self,
        stages: Sequence[Recipe],
        finetune: Recipe,
        make_trainer: TrainerFactory | None = None,
        seed: int = 0,
        journal: Journal | None = None,
        codes: Codes | None = None,
        head: Recipe | None = None,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.head, self.start = head, start
        self.stages, self.finetune_recipe, self.seed = list(stages), finetune, seed
        self.make_trainer = make_trainer or plain_trainer
        self.journal = journal or Journal()
        self.codes = codes or CodesInMemory()

    @fast_products()
    def fit(
        self,
        model: StackedAutoencoder,
        train: Samples,
        val: Samples,
        labelled: Samples | None = None,
        n_classes: int | None = None,
    ) -> list[PhaseResult]:
        """Pretrain and fine-tune ``model`` in place.

        Args:
            model: The stack; its weights are drawn anew from the seed. The first layer starts at
                the mean of the inputs, and each stage above it, when it is trained, fits its own
                to the codes it trains on.
            train: Training inputs, (n, features): a TensorLoader, a tensor, a Dataset or a
                DataLoader; see :func:`sae.data.convert.as_loader`.
            val: Validation inputs, likewise; they are taken as they are stored.
            labelled: What the model's objective trains on, where it needs labels; the training
                inputs if left out.
            n_classes: How many classes the labels have; counted if left out.

        Returns:
            The result of each phase, in order. Afterwards the model lies on the CPU.
        """
        samples = as_loader(train, "train", model.sizes[0], shuffle=True)
        held_out = as_loader(val, "val", model.sizes[0], shuffle=False)
        with adapted():
            own = samples
            if labelled is not None:
                own = as_loader(labelled, "labelled", model.sizes[0], shuffle=True)
            return self._fit(model, samples, held_out, own, n_classes)

    def _fit(
        self,
        model: StackedAutoencoder,
        train: TensorLoader,
        val: TensorLoader,
        own: TensorLoader,
        n_classes: int | None,
    ) -> list[PhaseResult]:
        check_recipes(model.stack, self.stages, self.finetune_recipe, self.head)
        if self.start is not None and any(stage.epochs for stage in self.stages):
            found, remedy = "some of more", "leave start out, or train no stage"
            raise InputError("start", "stages of 0 epochs beside it", found, remedy)
        recipes = {"pretrain": self.stages[0], "finetune": self.finetune_recipe}
        check_augments(recipes, model.stack.n_in, model.image_shape)
        model.cpu()  # its weights are drawn there; each Trainer takes it to its device and back
        self._attach(model, own, val, n_classes)
        for k, layer in enumerate(model.stack):
            layer.reset_parameters(derive_generator(self.seed, "init", k))
        seen = train.survey()
        check_values(model.stack, seen, "training samples")
        check_values(model.stack, val.survey(), "validation samples")
        model.stack[0].start_at_mean(seen.mean)
        model.pixel_range = seen.pixel_range
        if self.start is not None:
            model.stack.load_state_dict(self.start)
        phases = {phase.name: phase for phase in self.plan(model)}
        try:
            results = self._fit_stages(model, phases, train, val)
            if "head" in phases:
                results.append(self._fit_head(model, phases["head"], own, val))
        finally:
            self.codes.close()
        model.requires_grad_(True)
        model.recipe, model.seed = self.finetune_recipe, self.seed
        if "finetune" in phases:
            results.append(self._train(phases["finetune"], model, model, lambda _: (own, val)))
        return results

    def _attach(
        self,
        model: StackedAutoencoder,
        own: TensorLoader,
        val: TensorLoader,
        n_classes: int | None,
    ) -> None:
        """Have the objective make its own parameters, and draw them."""
        objective = model.objective
        if n_classes is None:
            labels = [loader.y for loader in (own, val) if loader.y is not None]
            n_classes = max((int(y.max()) + 1 for y in labels if len(y)), default=0)
        if objective.needs_labels:
            for of, y in (("training", own.y), ("validation", val.y)):
                if y is None:
                    remedy = "give labels, or choose another objective"
                    raise InputError("data", f"labels of the {of} samples", "none", remedy)
                check_labels(y, n_classes, of)
        objective.attach(model.stack, n_classes)
        if self.finetune_recipe.epochs:
            objective.check_training(len(own.x), self.finetune_recipe.epochs)
        check_head(objective, self.head)
        objective.reset_parameters(derive_generator(self.seed, "init", "objective"))

    def plan(self, model: StackedAutoencoder) -> list[Phase]:
        """The phases that :meth:`fit` runs."""
        path = model.objective.path(model.sizes)
        finetune = fitted(self.finetune_recipe, model.objective)
        return plan(model.sizes, self.stages, finetune, self.head, path)

    def _fit_stages(
        self,
        model: StackedAutoencoder,
        phases: dict[str, Phase],
        train: TensorLoader,
        val: TensorLoader,
    ) -> list[PhaseResult]:
        results, inputs = [], StageInputs(model.stack, self.codes, train, val)
        for k, recipe in enumerate(self.stages):
            stage = Stage(model.stack, k, recipe, self.seed, val)
            stage.pixel_range, stage.image_shape = model.pixel_range, model.image_shape
            stage.words = model.words
            if stage.phase in phases:
                its = partial(self._inputs_of_stage, inputs, stage, train)
                results.append(self._train(phases[stage.phase], stage, model, its))
        inputs.forget()
        return results

    def _fit_head(
        self, model: StackedAutoencoder, phase: Phase, own: TensorLoader, val: TensorLoader
    ) -> PhaseResult:
        """Train what the objective owns, on the codes of the whole stack, which stays as it is."""
        assert self.head is not None
        model.stack.requires_grad_(False)
        model.stack.eval()
        head = TrainingModule(
            Stack(), model.stack, self.head, phase.name, self.seed, model.objective
        )

        def inputs(device: torch.device) -> tuple[TensorLoader, TensorLoader]:
            codes = [
                self.codes.hand_on(model.stack, loader, f"{phase.name}.{part}", device)
                for part, loader in (("train", own), ("val", val))
            ]
            return codes[0], codes[1]

        result = self._train(phase, head, model, inputs)
        self.codes.forget(phase.name)
        return result

    @staticmethod
    def _inputs_of_stage(
        inputs: StageInputs, stage: Stage, images: TensorLoader, device: torch.device
    ) -> tuple[TensorLoader, TensorLoader]:
        """What a stage trains on; one that trains on codes gets initial weights that fit them."""
        k = len(stage.below)
        train, val = inputs.of(k, device)
        if k > 0:
            some = torch.cat(list(train.sample(START_SAMPLES).whole()))
            inputs.stack[k].fit_start(some.cpu(), train.survey().mean)
        return (train.beside(images.x) if stage.rebuilds_pixels else train), val

    def _train(
        self,
        phase: Phase,
        module: TrainingModule,
        model: StackedAutoencoder,
        inputs: Callable[[torch.device], tuple[TensorLoader, TensorLoader]],
    ) -> PhaseResult:
        """Train one module with one fresh Trainer, unless it has been.

        ``inputs`` gives what to train on and to validate, to a device that computes codes.
        """
        trainer = self.make_trainer(phase, module)
        check_trainer(trainer)
        check_callbacks(trainer.callbacks, phase.name)  # type: ignore[attr-defined]
        device = trainer.strategy.root_device
        done = self.journal.recall(phase, module, model)
        if done is not None:
            return done
        train, val = inputs(device)
        started = self.journal.begin(phase)
        order = derive_seed(self.seed, phase.name)
        samples = train.reseeded(order).on(device)
        if module.val_images is not None:
            module.val_images = module.val_images.on(device)
        samples.burst = steps_at_once(trainer, module, train.batch_size)
        module.train()  # the stage before left shared layers in eval mode
        start = time.perf_counter()
        with no_search_for_gpus(), bursts(trainer, module, samples.burst):
            trainer.fit(
                module,
                samples,
                val.on(device),
                ckpt_path=started.checkpoint,
                weights_only=True,
            )
        seconds = started.seconds + time.perf_counter() - start
        health = None
        if phase.name != "head":  # which has no code of its own
            with placed(module, device):
                net, seen = _to_check(module, model.stack, val)
                health = check(net, phase.recipe, seen, module.objective.reconstructs)
        best = _best_weights(trainer)
        warnings = [] if health is None else health.warnings(phase.subject)
        result = PhaseResult(
            phase=phase,
            seconds=seconds,
            epochs=trainer.current_epoch,
            loss=_loss_that_goes_on(trainer, best, phase, module.objective.monitor),
            checkpoint=None if best is None else best.best_model_path,
            health={} if health is None else health.as_dict(),
            warnings=[model.words(line) for line in warnings],
            steps=trainer.global_step,
        )
        self.journal.note(result, module, model)
        return result


def _best_weights(trainer: Trainer) -> ModelCheckpoint | None:
    """Who keeps the best weights, where they went on: a user's checkpoints alone change nothing."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set from afar
    keeper = trainer.checkpoint_callback
    loaded = any(getattr(each, "loads_best_weights", False) for each in callbacks)
    if loaded and isinstance(keeper, ModelCheckpoint) and keeper.best_model_path:
        return keeper
    return None


def _loss_that_goes_on(
    trainer: Trainer, best: ModelCheckpoint | None, phase: Phase, monitor: str
) -> float | None:
    """What validation says of the best weights, where they went on, else of the last ones."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set from afar
    loss: Any
    if best is not None and best.monitor is not None:
        validated = (best.monitor or "").startswith((f"{phase.name}/val/", "val/"))
        loss = best.best_model_score if validated else None
    elif any(isinstance(each, StochasticWeightAveraging) for each in callbacks):
        loss = None  # its average comes after the last validation
    else:
        loss = trainer.callback_metrics.get(f"{phase.name}/{monitor}")
    return None if loss is None else float(loss)


def _to_check(
    module: TrainingModule, stack: Stack, val: TensorLoader
) -> tuple[Autoencoder, TensorLoader]:
    """What was trained with its inputs; where it was to rebuild images, the path down to them."""
    if module.rebuilds_pixels and module.val_images is not None:
        return stack.below(len(module.below) + 1), module.val_images
    return module.net, val


def plain_trainer(phase: Phase, module: TrainingModule) -> Trainer:
    """A Trainer that trains and leaves no files behind: for use from Python."""
    patience = phase.recipe.patience
    monitor = f"{phase.name}/{module.objective.monitor}"
    return Trainer(
        max_epochs=phase.recipe.epochs,
        callbacks=[] if patience is None else [EarlyStopping(monitor, patience=patience)],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
