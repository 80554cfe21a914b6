"""Greedy layer-wise pretraining: AE1 on x, AE2 on the code of AE1, …, then the whole stack.

This module only sets the order of the work. The Trainer trains, and the journal keeps the results;
both are arguments.
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

# Number of codes that the initial weights of a stage are fitted to.
START_SAMPLES = 4096


# Makes a new Trainer for a phase. It gets the module, so that callbacks can use it.
TrainerFactory = Callable[[Phase, TrainingModule], Trainer]


def check_recipes(
    stack: Stack, stages: Sequence[Recipe], finetune: Recipe, head: Recipe | None = None
) -> None:
    """Raise :class:`~sae.errors.InputError` if a recipe does not fit the layer that it trains."""
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
    """Raise :class:`~sae.errors.InputError` if an augmentation does not fit the samples.

    Args:
        recipes: Recipes, by the name of their option.
        pixels: Number of values of a sample.
        image_shape: Height and width, and 3 if there are colours; None if unknown.
    """
    for option, recipe in recipes.items():
        if recipe.epochs and recipe.augmentation is not None:
            with error_prefix(option):
                recipe.augmentation.check_fits(pixels, image_shape)


def check_head(objective: Objective, head: Recipe | None) -> None:
    """Raise :class:`~sae.errors.InputError` for head options if the objective has no head."""
    if head is not None and head.epochs and not list(objective.parameters()):
        found = f"{type(objective).__name__}, which has none"
        remedy = "leave out head, or choose another objective"
        raise InputError("head", "an objective with a head of its own", found, remedy)


def fitted(recipe: Recipe, objective: Objective) -> Recipe:
    """Return the recipe of the fine-tuning; it keeps the last weights if no figure can choose.

    Raises:
        InputError: The recipe has early stopping, but no figure can decide when to stop.
    """
    if objective.validation_chooses:
        return recipe
    if recipe.patience is not None:
        name = type(objective).__name__
        expected = f"null for {name}, whose validation loss is not what it minimises"
        raise InputError("patience", expected, str(recipe.patience), "leave it out")
    return replace(recipe, keep="last")


def check_values(stack: Stack, seen: Survey, of: str) -> None:
    """Check that the output unit of ``stack`` can rebuild the samples.

    Args:
        stack: The stack.
        seen: Range of all samples.
        of: Name of the samples in messages.

    Raises:
        InputError: A value is not finite, or is outside [0, 1] and the output is a sigmoid.
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

    Each phase gets a new Trainer, a new module and its own seed. A stage trains on the clean codes
    of the frozen layers below it, in eval mode. The next phase starts from the weights that the
    Trainer leaves (on the command line these are the best ones). The stack and the stages share
    their layers, so no weights are copied.

    Args:
        stages: Recipe of each stage; with zero epochs a layer keeps its initial weights.
        finetune: Recipe of the fine-tuning.
        make_trainer: Makes the Trainer of a phase.
        seed: Seed of the run: initial weights, order and noise depend on it.
        journal: Knows which phases are finished, and gets the result of each phase.
        codes: How the codes of a stage are passed to the next one; in memory if left out.
        head: Recipe of the head of a classifier, which is trained alone on the codes of the
            pretrained stack, before the fine-tuning; None for no such training.
        start: Initial weights, by their names in the stack, instead of random ones; then all stages
            must have zero epochs. None for random weights.
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
            model: The stack; its weights are drawn again from the seed. The first layer starts at
                the mean of the inputs. Each other layer fits its initial weights to its training
                codes, before it is trained.
            train: Training inputs, (n, features): a TensorLoader, a tensor, a Dataset or a
                DataLoader; see :func:`sae.data.convert.as_loader`.
            val: Validation inputs, of the same types; they are not shuffled.
            labelled: Training samples with labels, for an objective that needs them; ``train`` if
                left out.
            n_classes: Number of classes; counted if left out.

        Returns:
            The result of each phase, in order. Afterwards the model is on the CPU.

        Raises:
            InputError: Data, recipes and model do not fit together.
            DivergedError: A loss is not finite.
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
            raise InputError("start", "stages of 0 epochs", found, remedy)
        recipes = {"pretrain": self.stages[0], "finetune": self.finetune_recipe}
        check_augments(recipes, model.stack.n_in, model.image_shape)
        model.cpu()  # weights are drawn there; each Trainer moves the model to its device and back
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
        """Let the objective create its parameters, and draw their initial values."""
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
        """Return the phases that :meth:`fit` runs."""
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
        """Train the objective's own parameters on the codes of the frozen stack."""
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
        """Return training and validation inputs of a stage; fit its initial weights to codes."""
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
        """Train one module with a new Trainer, unless the journal knows its result.

        ``inputs`` returns the training and validation samples; its argument is the device that
        computes codes.
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
        module.train()  # the previous stage left shared layers in eval mode
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
        if phase.name != "head":  # the head has no code
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
    """Return the callback with the best weights, if they were loaded at the end; else None."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set from afar
    keeper = trainer.checkpoint_callback
    loaded = any(getattr(each, "loads_best_weights", False) for each in callbacks)
    if loaded and isinstance(keeper, ModelCheckpoint) and keeper.best_model_path:
        return keeper
    return None


def _loss_that_goes_on(
    trainer: Trainer, best: ModelCheckpoint | None, phase: Phase, monitor: str
) -> float | None:
    """Return the validation loss or error of the weights that are kept: the best or the last."""
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
    """Return the network to check and its inputs; with target pixels, all layers and images."""
    if module.rebuilds_pixels and module.val_images is not None:
        return stack.below(len(module.below) + 1), module.val_images
    return module.net, val


def plain_trainer(phase: Phase, module: TrainingModule) -> Trainer:
    """Return a Trainer that writes no files, for use from Python."""
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
