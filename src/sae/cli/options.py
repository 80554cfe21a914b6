"""The options of the training verbs, and the checks before any work is done.

A LightningCLI: all options of the model, the data and the Trainer are options here, and one YAML
file describes an experiment.
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning import LightningDataModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from sae import kinds
from sae.cli.data_options import add_data_options, check_arguments, make_data, set_up
from sae.cli.described import describe
from sae.cli.help_page import trainer_page
from sae.cli.sentences import TRAINING_VERBS, check_words
from sae.cli.verbs.verb import ROOM, Verb, parser_of
from sae.data import SampleDataModule, TableDataModule
from sae.data.rows import are_pixels
from sae.errors import InputError, check_choice, check_integer, error_prefix, show
from sae.nets import sizes
from sae.pictures.gallery import with_own
from sae.run.start import StartingWeights, read_start
from sae.terms.corruption import Corruption
from sae.terms.sparsity import Sparsity
from sae.training.callback_options import check_callbacks, check_device_stats, check_kinds
from sae.training.handover import CACHES
from sae.training.module import logged
from sae.training.pretrain import (
    check_augments,
    check_head,
    check_recipes,
    check_values,
    fitted,
)
from sae.training.recipe import PretrainRecipe, Recipe, recipe, stage_recipes
from sae.training.stacked import StackedAutoencoder
from sae.training.trainer_options import check_trainer, check_trainer_options


class OptionsCLI(LightningCLI):
    """The options of all verbs; :class:`sae.cli.command.SAECLI` has the verbs themselves."""

    model: StackedAutoencoder
    datamodule: SampleDataModule

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._words = list(sys.argv[1:] if kwargs.get("args") is None else kwargs["args"])
        super().__init__(*args, **kwargs)

    # The options

    def add_core_arguments_to_parser(self, parser: Any) -> None:
        """The options, ours first: the Trainer's fill pages."""
        parser.add_argument(
            "--name",
            type=str | None,
            default=None,
            help="Name of the run and of its folder in lightning_logs; null: that of the config.",
        )
        if self._verb == "fit":
            parser.add_argument(
                "--resume",
                type=str | None,
                default=None,
                help="Resume a run that was interrupted: its folder, or auto for the newest "
                "unfinished run of this name. It must have begun with this very config, except "
                "device, logging and pictures. auto starts a new run if there is none.",
            )
        parser.add_argument(
            "--start_from",
            type=str | None,
            default=None,
            help="Folder of a finished run of the same network: begin with its weights, and train "
            "no stages. null: pretrain.",
        )
        parser.add_argument(
            "--pictures_every",
            type=int,
            default=10,
            help="Draw pictures in TensorBoard every so many epochs and at the end of each phase; "
            "0: only at the end; -1: never.",
        )
        parser.add_argument(
            "--pictures",
            type=list[kinds.Settings] | None,
            default=None,
            help="A list of your own pictures, drawn with the others: [my_package.MyPicture].",
        )
        parser.add_argument(
            "--projector",
            type=bool,
            default=False,
            help="Put the codes of 2,000 validation images, with classes and images, into the "
            "projector of TensorBoard.",
        )
        parser.add_lightning_class_args(self._model_class, "model")
        parser.add_class_arguments(PretrainRecipe, "pretrain", instantiate=False)
        parser.add_class_arguments(Recipe, "head", instantiate=False)
        parser.add_class_arguments(Recipe, "finetune", instantiate=False)
        add_data_options(parser)
        parser.add_lightning_class_args(self.trainer_class, "trainer")
        parser.add_argument("--trainer.help", action=_TrainerHelp)
        # A summary would be printed in each phase; the data are checked before.
        defaults = {"enable_model_summary": False, "num_sanity_val_steps": 0}
        parser.set_defaults({f"trainer.{key}": value for key, value in defaults.items()})
        parser.set_defaults({"head.epochs": 0})

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> Any:
        self._verb = subcommand  # whose options are added next
        if self._needs_options(subcommand):
            return super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        self._subcommand_method_arguments[subcommand] = []
        return self.init_parser(**kwargs)

    def _needs_options(self, verb: str) -> bool:
        """Whether the options of a verb are needed: collecting all of them takes a while."""
        named = [word for word in self._words if word in TRAINING_VERBS]
        if not named:  # a config may name it
            return self._words not in ([], ["--help"], ["-h"])
        return verb in named

    def setup_parser(self, *args: Any, **kwargs: Any) -> None:
        """Add the verbs that are one file each, too."""
        super().setup_parser(*args, **kwargs)
        verbs: Any = self.parser._subcommands_action
        for name in kinds.names(ROOM, Verb):
            verbs.add_subcommand(name, parser_of(name))

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The verbs, and the arguments of the Trainer's methods that are no options."""
        loaders = {"model", "datamodule", "dataloaders", "train_dataloaders", "val_dataloaders"}
        return {
            # A run has several trainings, so one checkpoint cannot resume it.
            "fit": loaders | {"ckpt_path", "weights_only"},
            "validate": loaders | {"weights_only", "verbose"},
            "test": loaders | {"weights_only", "verbose"},
            "predict": loaders | {"weights_only", "return_predictions"},
        }

    def _option(self, key: str) -> Any:
        return self._get(self.config_init, key)

    # Everything is checked before any work is done

    def _parse_ckpt_path(self) -> None:
        """Leave the config alone: LightningCLI lets a checkpoint's values beat the YAML's."""

    def _set_seed(self) -> None:
        """Seed the run: with a number, so that it can be repeated, and resumed."""
        seed = self._get(self.config, "seed_everything")
        if seed is None or isinstance(seed, bool) or not 0 <= seed < 2**32:
            remedy = "give such a number"
            raise InputError("seed_everything", "an integer in [0, 2^32)", show(seed), remedy)
        super()._set_seed()

    def before_instantiate_classes(self) -> None:
        """Make wrong values name their group of options."""
        for key, kind in (("model", StackedAutoencoder), ("data", LightningDataModule)):
            self.parser.add_instantiator(self._instantiator(key), kind, subclasses=True)
        # These stay settings until their recipe is built, which knows its key.
        for plain in (Corruption, Sparsity):
            self.parser.add_instantiator(_as_mapping, plain)

    def instantiate_classes(self) -> None:
        """Build the objects of the options; wrong values are refused here, before any training."""
        for key in ("model", "data", "pretrain", "head", "finetune", "trainer"):
            group = self._get(self.config, key)
            if not isinstance(group, Namespace):
                remedy = f"write options below `{key}:`, or take it out"
                raise InputError(key, "a group of options", show(group), remedy)
        self._launchers: list[Any] = []  # of processes, by the Trainers
        check_trainer_options(self._get(self.config, "trainer"))
        self._wrong: Exception | None = None
        self._early_data: SampleDataModule | None = None
        self._settle_sizes()
        try:
            super().instantiate_classes()
        except Exception as error:
            # Our own message is hidden in the parser's report of all the types it tried. All other
            # errors come from the Trainer's options: callbacks, loggers, the Trainer.
            wrong = self._wrong or (
                error if isinstance(error, InputError) else trainer_error(error)
            )
            raise wrong from None
        check_integer("pictures_every", self._option("pictures_every"), -1, "give epochs, 0 or -1")
        self.pictures = with_own(self._option("pictures"))
        self._check_projector()
        self._read_recipes()
        self._check_callbacks()

    def _settle_sizes(self) -> None:
        """Take open sizes of the model from the data, and put them into the config."""
        self._chosen: list[int] | None = None
        model = self._get(self.config, "model")
        if not sizes.are_open(model):
            return
        self._early_data = data = make_data(self._get(self.config, "data"))
        set_up(data)
        with error_prefix("model"):
            settled = sizes.settled(model, data.n_features, data.image_shape)
        if not isinstance(model.sizes, list):
            self._chosen = settled.get("sizes")
        model.update(Namespace(settled))

    @rank_zero_only
    def _say_sizes(self) -> None:
        """Print the sizes that were chosen, if the user left out all of them."""
        if self._chosen is not None:
            path = "→".join(map(str, self._chosen))
            print(f"model: sizes {path}, chosen: {sizes.RULE}", flush=True)

    def _check_callbacks(self) -> None:
        check_trainer(self.trainer)
        named = as_list(self._option("trainer").callbacks)
        check_kinds(named, logged(self.model, self.stages, self.finetune, self.head))
        check_callbacks(named)
        if self.subcommand == "fit":
            check_device_stats(named, self.trainer.strategy.root_device.type)

    def _check_projector(self) -> None:
        """Refuse a projector that would show nothing."""
        logger = self._option("trainer").logger
        if self._option("projector") and (logger is False or self._option("pictures_every") < 0):
            remedy = "leave out --trainer.logger false and --pictures_every -1, or the projector"
            expected = "TensorBoard and pictures to be on"
            raise InputError("projector", expected, "one of them switched off", remedy)

    def _instantiator(self, key: str) -> Any:
        def make(kind: type, /, *args: Any, **kwargs: Any) -> Any:
            if key == "data" and self._early_data is not None:
                return self._early_data
            try:
                with error_prefix(key):
                    check_arguments(kind, *args, **kwargs)
                    return kind(*args, **kwargs)
            except Exception as error:
                self._wrong = error
                raise

        return make

    def parse_arguments(self, parser: Any, args: Any) -> None:
        """Read command line and config."""
        check_words(sys.argv[1:] if args is None else args)
        try:
            super().parse_arguments(parser, args)
        except UnicodeDecodeError as error:
            found = f"other bytes ({error.reason}, byte {error.start + 1})"
            raise InputError("config", "a file in UTF-8", found, "save it as UTF-8") from None

    def _read_recipes(self) -> None:
        self.seed: int = self._option("seed_everything")
        with error_prefix("pretrain"):
            options = self._option("pretrain").as_dict()
            check_choice("cache", options.get("cache"), CACHES)
            self.stages = stage_recipes(options, len(self.model.stack))
        with error_prefix("finetune"):
            self.finetune = recipe(self._option("finetune").as_dict())
            fitted(self.finetune, self.model.objective)
        with error_prefix("head"):
            head = recipe(self._option("head").as_dict())
        self.head = head if head.epochs > 0 else None
        self.start: StartingWeights | None = None
        named = self._option("start_from")
        if named is not None and self.subcommand == "fit":
            self.start = read_start(Path(named), self.model.stack)
            self.stages = [replace(stage, epochs=0) for stage in self.stages]
        check_recipes(self.model.stack, self.stages, self.finetune, self.head)
        self.model.recipe, self.model.seed = self.finetune, self.seed

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A Trainer of the options and ``kwargs``, with fresh copies of the user's callbacks.

        A callback keeps state from one training: a shared EarlyStopping would end the next one
        after its first epoch. The same holds for a profiler or a strategy. Errors of the Trainer
        are errors of the options.
        """
        named = as_list(self._option("trainer").callbacks)
        if kwargs.get("enable_progress_bar") is False:
            named = [each for each in named if not isinstance(each, ProgressBar)]
        for key in ("profiler", "strategy"):
            kwargs.setdefault(key, copy.deepcopy(self._option("trainer")[key]))
        closing = kwargs.pop("closing", [])
        callbacks = [*kwargs.pop("callbacks", []), *copy.deepcopy(named), *closing]
        try:
            trainer = super().instantiate_trainer(callbacks=callbacks, **kwargs)
        except (MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
            raise trainer_error(error) from None
        if trainer.strategy.launcher is not None:
            self._launchers.append(trainer.strategy.launcher)
        return trainer

    def _load_data(self) -> SampleDataModule:
        """Read and split the data, and check that they fit the model."""
        data = self.datamodule
        set_up(data)
        self._check_size(data)
        self.model.suit(data.preparation)
        recipes = {"pretrain": self.stages[0], "finetune": self.finetune}
        check_augments(recipes, data.n_features, data.image_shape)
        if self.model.objective.needs_labels:
            data.check_labels()
        self.model.objective.attach(self.model.stack, data.n_classes)
        if self.finetune.epochs:
            n = len(
                data.labelled_dataloader().x if self.model.objective.needs_labels else data.train
            )
            with error_prefix("model"):
                self.model.objective.check_training(n, self.finetune.epochs)
        check_head(self.model.objective, self.head)
        self._check_range(data)
        return data

    def _check_size(self, data: SampleDataModule) -> None:
        """Check that the network takes samples of this size, or of this shape."""
        found = self.model.stack.in_shape
        words = data.preparation.words
        of = f"{'an image' if words is str else 'a sample'} of {data.name}"
        if self.model.hparams["layers"] is None:
            if found != (data.n_features,):
                remedy = f"write [{data.n_features}, …]"
                expected = words(f"{data.n_features} first, the pixels of ") + of
                if isinstance(data, TableDataModule):
                    expected = f"{data.n_features} first, {data.inputs_in_words}"
                raise InputError("model.sizes", expected, str(found[0]), remedy)
            return
        shape = tuple(data.image_shape)
        if found not in ((data.n_features,), shape, (*shape, 1)):
            expected = f"{list(shape)} or [{data.n_features}], {of}"
            raise InputError("model.input_shape", expected, str(list(found)), "write one of these")

    def _check_range(self, data: SampleDataModule) -> None:
        """Check the range: a sigmoid output stays in [0, 1]. Training samples are checked later."""
        loaders = {"validation": data.val_dataloader(), "test": data.test_dataloader()}
        for part, loader in loaders.items():
            if not are_pixels(loader.x):
                seen = loader.survey()
                data.check_finite(seen)
                check_values(self.model.stack, seen, f"{part} samples of {data.name}")


class _TrainerHelp(argparse.Action):
    """``--trainer.help``: the options of the Trainer, which fill a page."""

    def __init__(self, option_strings: list[str], dest: str, **_: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS)

    def __call__(self, parser: Any, *_: Any) -> None:
        print(trainer_page(describe(parser, ())), end="")
        parser.exit()


def as_list(value: Any) -> list[Any]:
    """An option of none, one or several values, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, Sequence) else [value]


def trainer_error(error: Exception) -> InputError:
    """An error of the Trainer, as a sentence about its options."""
    if (missing := _missing_package(str(error))) is not None:
        return missing
    found = f"a clash ({' '.join(str(error).split())})"
    remedy = "correct the trainer options"
    return InputError("trainer", "options that fit each other and this machine", found, remedy)


def _missing_package(message: str) -> InputError | None:
    """Say which package to install, if the error is a missing package; else None.

    Lightning names it in the middle of a list of all types that its parser tried.
    """
    wanted = re.search(r"pip install (?:-U )?['\"]?([\w.-]+(?:[<>=!~]=?[\w.]+)?)", message)
    module = wanted or re.search(r"No module named '(\w+)", message)
    if module is None:
        return None
    package, path = module.group(1), re.search(r"class_path '[\w.]*?(\w+)'", message)
    expected = f"the package {package}" + (f", which {path.group(1)} needs" if path else "")
    return InputError("trainer", expected, "none", f"run: pip install '{package}'")


def _as_mapping(_: type, /, **kwargs: Any) -> dict[str, Any]:
    return kwargs
