"""How one network is trained: the settings of a stage, and of the fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from sae import kinds
from sae.augment.augmentation import Augmentation
from sae.errors import InputError, check_choice, check_integer, check_number, error_prefix, show
from sae.nets.layer import Autoencoder
from sae.terms.corruption import Corruption
from sae.terms.sparsity import Sparsity
from sae.terms.term import Term

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "one_cycle", "cosine")
TARGETS = ("input", "pixels")
KEEP = ("best", "last")


@dataclass(frozen=True)
class Recipe:
    """How to train one autoencoder. Without corruption, sparsity and terms it is a plain one.

    Args:
        epochs: Passes over the training data; 0 leaves this training out.
        lr: Learning rate, above 0; with one_cycle and cosine the highest one.
        optimizer: adam, adamw or sgd (with momentum 0.9).
        schedule: constant; one_cycle (rises for a share of the steps, then falls to nearly zero);
            cosine (falls to zero).
        rise: Share of the steps in which one_cycle rises, above 0 and below 1.
        weight_decay: Weight decay of the optimiser, 0 or more.
        patience: Stop early after this many validations, one per epoch, without a lower loss (for a
            classifier, a lower error); null for never.
        keep: Which weights to keep. best: those of the epoch with the lowest validation loss (for a
            classifier, the lowest error). last: those of the last epoch, so that validation samples
            choose nothing.
        corruption: Noise on the input, with the clean input as target; null for none.
        sparsity: Penalty on the mean activity of the code's units; null for none.
        target: What to rebuild. input: the input of this training, which is a code above the first
            stage. pixels: the image, through the frozen decoders below; slower, but better for
            narrow stages. Both are the same for the first stage and the fine-tuning.
        terms: A list of more penalties on the code, such as {kind: l1, weight: 0.01}, or the
            class_path and init_args of your own class; null for none.
        augment: Random changes of the samples at each step of the training, such as shift: a name
            or a mapping; null for none. Only for the first stage and the fine-tuning.

    Raises:
        InputError: A value is out of range.
    """

    epochs: int = 10
    lr: float = 0.001
    optimizer: str = "adam"
    schedule: str = "constant"
    rise: float = 0.3
    weight_decay: float = 0.0
    patience: int | None = None
    keep: str = "best"
    corruption: Corruption | None = None
    sparsity: Sparsity | None = None
    target: str = "input"
    terms: list[kinds.Settings] | None = None
    augment: kinds.Settings | None = None

    def __post_init__(self) -> None:
        check_integer("epochs", self.epochs, 0, "give the number of passes over the data")
        check_number(
            "lr", self.lr, 0.0, float("inf"), "give a learning rate such as 0.001", low_open=True
        )
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("schedule", self.schedule, SCHEDULES)
        remedy = "give a share of the steps such as 0.1"
        check_number("rise", self.rise, 0.0, 1.0, remedy, low_open=True, high_open=True)
        if self.rise != Recipe.rise and self.schedule != "one_cycle":
            remedy = "write schedule: one_cycle, or leave rise out"
            raise InputError("rise", "a schedule of one_cycle, which rises", self.schedule, remedy)
        check_choice("target", self.target, TARGETS)
        check_choice("keep", self.keep, KEEP)
        check_number(
            "weight_decay", self.weight_decay, 0.0, float("inf"), "give 0 or a little more"
        )
        if self.patience is not None:
            check_integer("patience", self.patience, 1, "give a number of epochs, or null")
        if self.terms is not None:
            if not isinstance(self.terms, (list, tuple)):
                remedy = "write [{kind: l1, weight: 0.01}]"
                raise InputError("terms", "a list of penalties", show(self.terms), remedy)
            built = [
                kinds.build(settings, "sae.terms", Term, f"terms[{k}]")
                for k, settings in enumerate(self.terms)
            ]
            for k, term in enumerate(built):
                if not hasattr(term, "name"):
                    found, remedy = "none", 'write name = "…" in the body of its class'
                    raise InputError(f"terms[{k}]", "a name for its value in logs", found, remedy)
            object.__setattr__(self, "terms", built)
        if self.augment is not None:
            augment = kinds.build(self.augment, "sae.augment", Augmentation, "augment")
            object.__setattr__(self, "augment", augment)

    @property
    def penalties(self) -> list[Term]:
        """All penalties on the code."""
        terms = [*([] if self.sparsity is None else [self.sparsity]), *(self.terms or [])]
        return cast("list[Term]", terms)  # built by __post_init__

    @property
    def augmentation(self) -> Augmentation | None:
        """Random changes of the samples at each step; None for none."""
        return cast("Augmentation | None", self.augment)

    @property
    def denoises(self) -> bool:
        """Whether it trains to restore corrupted samples: noise above 0, at least one epoch."""
        return self.corruption is not None and self.corruption.level > 0 and self.epochs > 0

    def check_fits(
        self, net: Autoencoder, input_range: tuple[float, float], above: bool = False
    ) -> None:
        """Raise :class:`InputError` if the noise or a penalty is not defined on ``net``.

        Args:
            net: The network to train.
            input_range: Smallest and largest value of its inputs.
            above: Whether the inputs are codes of layers below.
        """
        if self.corruption is not None:
            with error_prefix("corruption"):
                self.corruption.check_input(input_range)
        for term in self.penalties:
            term.check_fits(net)
        if self.augment is not None and above:
            remedy = "name it for the first stage alone, by pretrain.stages, or for finetune"
            raise InputError("augment", "a training that sees pixels", "one on codes", remedy)


@dataclass(frozen=True)
class PretrainRecipe(Recipe):
    """How to train the stages, one after another; the settings are the same for every stage.

    Args:
        stages: Settings of single stages: a list with a mapping for each stage, the first stage
            first. An empty mapping ({}) changes nothing. null changes nothing for all stages.
        cache: Where to keep the codes that the next stage trains on. memory. disk: in the run's
            folder, for codes larger than memory; deleted when no longer needed. none: computed
            again for each batch. The weights are the same in all three cases.
    """

    # This class only declares the options; :func:`stage_recipes` reads their values.
    stages: list[dict[str, Any]] | None = None
    cache: str = "memory"


def recipe(settings: Mapping[str, Any], defaults: Recipe | None = None) -> Recipe:
    """Return a recipe from settings as in YAML.

    Args:
        settings: Field names to values; ``corruption`` and ``sparsity`` as mappings.
        defaults: A recipe with the values of all other fields.

    Raises:
        InputError: A field is unknown, or a value is out of range.
    """
    names = [field.name for field in fields(Recipe)]
    for key in settings:
        if key not in names:
            remedy = "correct the name or take it out"
            raise InputError(str(key), f"one of {', '.join(names)}", "this name", remedy)
    values = {name: getattr(defaults or Recipe(), name) for name in names} | dict(settings)
    values["corruption"] = _build(Corruption, "corruption", values["corruption"])
    values["sparsity"] = _build(Sparsity, "sparsity", values["sparsity"])
    return Recipe(**values)


def stage_recipes(settings: Mapping[str, Any], n_stages: int) -> list[Recipe]:
    """Return the recipe of each stage from settings as in YAML.

    Args:
        settings: Settings of :class:`PretrainRecipe`, by name.
        n_stages: Number of stages.

    Raises:
        InputError: ``stages`` does not have ``n_stages`` entries, or a setting is wrong.
    """
    settings = dict(settings)
    settings.pop("cache", None)  # it says nothing about a stage; see sae.training.handover
    overrides = settings.pop("stages", None)
    shared = recipe(settings)
    if overrides is None:
        return [shared] * n_stages
    if not isinstance(overrides, list) or len(overrides) != n_stages:
        expected = f"a list of {n_stages} mappings, one for each layer of the model"
        found = f"{len(overrides)}" if isinstance(overrides, list) else show(overrides)
        raise InputError("stages", expected, found, "write {} for a stage without changes")
    recipes = []
    for k, override in enumerate(overrides):
        if not isinstance(override, Mapping):
            raise InputError(f"stages[{k}]", "a mapping", show(override), "write {key: value}")
        with error_prefix(f"stages[{k}]"):
            recipes.append(recipe(override, shared))
    return recipes


def _build(cls: type, key: str, value: Any) -> Any:
    """Return an instance of ``cls`` from a mapping of its fields; None stays None."""
    if value is None or isinstance(value, cls):
        return value
    names = [field.name for field in fields(cls)]
    if not isinstance(value, Mapping) or not set(value) <= set(names):
        remedy = f"write {{{', '.join(f'{name}: …' for name in names)}}}"
        raise InputError(key, f"a mapping with the keys {', '.join(names)}", show(value), remedy)
    try:
        with error_prefix(key):
            return cls(**value)
    except TypeError:
        remedy = "give all of them"
        found = f"only {', '.join(value) or 'an empty mapping'}"
        raise InputError(key, f"the keys {', '.join(names)}", found, remedy) from None
