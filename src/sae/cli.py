"""``fit`` trains the whole path; ``validate``, ``test`` and ``predict`` work on what it left.

A LightningCLI: every option of the model, the data and the Trainer is an option here, and one YAML
file holds an experiment.
"""

from __future__ import annotations

import copy
import inspect
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unicodedata import category

import torch
import yaml
from jsonargparse import Namespace
from lightning import LightningDataModule, Trainer
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from sae import faults, predictions, resume, summary
from sae.checkpoints import WholeFileIO, check_same_data, load_checkpoint
from sae.corruption import Corruption
from sae.data import ImageDataModule
from sae.errors import InputError, check_integer, error_prefix, exit_with, show
from sae.evaluate import figures_on_test, validation_sse
from sae.experiment import Experiment, Extras
from sae.modules import StackedAutoencoder
from sae.pretrain import check_recipes
from sae.recipe import PretrainRecipe, Recipe, recipe, stage_recipes
from sae.run import Run, new_version, surroundings
from sae.sparsity import Sparsity
from sae.summary import shown_path, typed_path
from sae.trainer_options import check_trainer_options
from sae.usage import OneSentenceParser, check_words

VERBS = {
    "fit": "Train the stages, fine-tune the stack, test it and draw it.",
    "validate": "Figures of a finished run on the validation images.",
    "test": "Figures of a finished run on the test images.",
    "predict": "Codes of the test images, as CSV.",
}


class SAECLI(LightningCLI):
    """The command line of sae."""

    model: StackedAutoencoder
    datamodule: ImageDataModule

    # The options

    def add_core_arguments_to_parser(self, parser: Any) -> None:
        """The options, ours first: the Trainer's fill pages."""
        parser.add_argument(
            "--name",
            type=str | None,
            default=None,
            help="Name of the run, its folder in lightning_logs; null: that of the config file.",
        )
        if self._verb == "fit":
            parser.add_argument(
                "--resume",
                type=str | None,
                default=None,
                help="Go on with a run that was broken off: its folder, or auto for the newest "
                "unfinished run of this name. It must have begun with this very config, but for "
                "device, logging and pictures. auto starts a new run where there is none.",
            )
        parser.add_argument(
            "--pictures_every",
            type=int,
            default=5,
            help="Draw pictures into TensorBoard after every so many epochs, and at the end of "
            "each phase; 0 at the end only, -1 never.",
        )
        parser.add_lightning_class_args(self._model_class, "model")
        parser.add_class_arguments(PretrainRecipe, "pretrain", instantiate=False)
        parser.add_class_arguments(Recipe, "finetune", instantiate=False)
        parser.add_lightning_class_args(self._datamodule_class, "data", subclass_mode=True)
        parser.add_lightning_class_args(self.trainer_class, "trainer")
        # A summary would come once a phase, and the data are checked before.
        defaults = {"enable_model_summary": False, "num_sanity_val_steps": 0}
        parser.set_defaults({f"trainer.{key}": value for key, value in defaults.items()})

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> Any:
        self._verb = subcommand  # whose options come next
        return super()._prepare_subcommand_parser(klass, subcommand, **kwargs)

    def setup_parser(self, *args: Any, **kwargs: Any) -> None:
        """Say in the list of verbs what they do here, not what the Trainer's methods do."""
        super().setup_parser(*args, **kwargs)
        for action in self.parser._actions:
            for verb in getattr(action, "_choices_actions", []):
                verb.help = VERBS[verb.dest]

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The verbs, and what they do not take of the Trainer's methods."""
        loaders = {"model", "datamodule", "dataloaders", "train_dataloaders", "val_dataloaders"}
        return {
            # A run is several trainings: no single checkpoint can resume it.
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
        """Seed the run: with a number, so that it can be repeated, and gone on with."""
        seed = self._get(self.config, "seed_everything")
        if seed is None or isinstance(seed, bool) or not 0 <= seed < 2**32:
            remedy = "give such a number"
            raise InputError("seed_everything", "an integer in [0, 2^32)", show(seed), remedy)
        super()._set_seed()

    def before_instantiate_classes(self) -> None:
        """Have wrong values name their group of options."""
        for key, kind in (("model", StackedAutoencoder), ("data", LightningDataModule)):
            self.parser.add_instantiator(self._instantiator(key), kind, subclasses=True)
        # These stay plain settings until their recipe, which knows their place, is built.
        for plain in (Corruption, Sparsity):
            self.parser.add_instantiator(_as_mapping, plain)

    def instantiate_classes(self) -> None:
        """Build what the options describe; a wrong value ends here, before any training."""
        for key in ("model", "data", "pretrain", "finetune", "trainer"):
            group = self._get(self.config, key)
            if not isinstance(group, Namespace):
                remedy = f"write options below `{key}:`, or take it out"
                raise InputError(key, "a group of options", show(group), remedy)
        self._launchers: list[Any] = []  # of processes, by the Trainers
        check_trainer_options(self._get(self.config, "trainer"))
        self._wrong: Exception | None = None
        try:
            super().instantiate_classes()
        except Exception as error:
            # What our class said is buried in the parser's report of all the types it tried. The
            # rest comes from what the Trainer's options build: callbacks, loggers, the Trainer.
            wrong = self._wrong or (
                error if isinstance(error, InputError) else _trainer_error(error)
            )
            raise wrong from None
        check_integer("pictures_every", self._option("pictures_every"), -1, "give epochs, 0 or -1")
        self._read_recipes()

    def _instantiator(self, key: str) -> Any:
        def make(kind: type, /, *args: Any, **kwargs: Any) -> Any:
            try:
                with error_prefix(key):
                    _check_arguments(kind, *args, **kwargs)
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
            self.stages = stage_recipes(options, len(self.model.stack))
        with error_prefix("finetune"):
            self.finetune = recipe(self._option("finetune").as_dict())
        check_recipes(self.model.stack, self.stages, self.finetune)
        self.model.recipe, self.model.seed = self.finetune, self.seed

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A Trainer of the options and ``kwargs``, with fresh copies of the user's callbacks.

        A callback that has seen one training is spent: a shared EarlyStopping would end the next
        one after its first epoch. What the Trainer finds wrong is wrong in the options.
        """
        named = _as_list(self._option("trainer").callbacks)
        closing = kwargs.pop("closing", [])
        callbacks = [*kwargs.pop("callbacks", []), *copy.deepcopy(named), *closing]
        try:
            trainer = super().instantiate_trainer(callbacks=callbacks, **kwargs)
        except (MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
            raise _trainer_error(error) from None
        if trainer.strategy.launcher is not None:
            self._launchers.append(trainer.strategy.launcher)
        return trainer

    def _load_data(self) -> ImageDataModule:
        """The data, read and split, and known to fit the model."""
        data = self.datamodule
        data.prepare_data()
        with error_prefix("data"):
            data.setup()
        if data.n_features != self.model.sizes[0]:
            raise InputError(
                "model.sizes",
                f"{data.n_features} first, the pixels of an image of {data.name}",
                str(self.model.sizes[0]),
                f"write [{data.n_features}, …]",
            )
        return data

    # The verbs

    def fit(self, model: StackedAutoencoder, datamodule: ImageDataModule) -> None:
        """Train the stages, fine-tune the stack, test it, and say how it went."""
        data = self._load_data()
        self._resolve_data(data)
        run: Run | None = None
        try:
            with faults.signals_interrupt():
                run = Run.claim(self.trainer, lambda: self._open_run(data))
                with self._all_processes_end():
                    self._experiment(model, data, run).start()
        except faults.Interrupted as error:
            self._say_how_to_go_on(run)
            sys.exit(128 + error.signum)
        except MisconfigurationException as error:
            raise _trainer_error(error) from None
        except InputError:
            raise
        except Exception as error:
            folder = self._option("resume") or "auto" if run is None else typed_path(run.folder)
            fault = faults.as_fault(error, folder)
            if fault is None and "conditioned on metric" in str(error):
                raise _metric_error(error) from None
            if fault is None:
                self._say_how_to_go_on(run)
                raise
            raise fault from None
        finally:
            if run is not None:
                run.release()

    def _open_run(self, data: ImageDataModule) -> Run:
        """The run to go on with, or a new one."""
        root, name = Path(self.trainer.default_root_dir), self._run_name()
        named = self.config.fit.pop("resume")
        self.config.fit.name = name
        config = self._parser("fit").dump(self.config.fit, skip_unset=True)
        settings = resume.settings(yaml.safe_load(config))
        run = None
        if named is not None:
            run = resume.open_run(named, root, name, settings, data.summary())
        if run is None:
            run = Run.create(root, name)
            if named is not None:
                line = f"resume: no unfinished run of {name!r} and this config; this is a new one"
                print(line, flush=True)
            run.update_manifest(
                status="running",
                name=name,
                data=data.summary(),
                settings=settings,
                surroundings=surroundings(self.trainer),
                phases=[],
            )
            run.write_text("config.yaml", config)
        else:
            print(f"resume: {shown_path(run.folder)}", flush=True)
            changed = resume.changed_surroundings(run, surroundings(self.trainer))
            if changed:
                print(f"resume: {changed}: the last bits of the weights may differ", flush=True)
        return run

    @contextmanager
    def _all_processes_end(self) -> Iterator[None]:
        """Where this process fails, end those that Lightning launched: they would wait for it."""
        try:
            yield
        except BaseException:
            for launcher in self._launchers:
                launcher.kill(signal.SIGTERM)
            raise

    @rank_zero_only
    def _say_how_to_go_on(self, run: Run | None) -> None:
        line = "broken off"
        if run is not None and self._option("trainer").enable_checkpointing is not False:
            line += f"; go on with: python cli.py fit --resume {typed_path(run.folder)}"
        print(f"\n{line}", file=sys.stderr, flush=True)

    def _experiment(self, model: StackedAutoencoder, data: ImageDataModule, run: Run) -> Experiment:
        options = self._option("trainer")
        dry = bool(options.fast_dev_run)
        extras = Extras(
            pictures_every=self._option("pictures_every"),
            progress_bar=options.enable_progress_bar is not False,
            checkpoints=options.enable_checkpointing is not False and not dry,
            tensorboard=options.logger is not False and not dry,
        )
        return Experiment(
            model,
            data,
            self.stages,
            self.finetune,
            self.seed,
            run,
            self._run_trainer,
            extras,
        )

    def _resolve_data(self, data: ImageDataModule) -> None:
        """Have the config name the data really used: $SAE_DATA may point elsewhere tomorrow."""
        named = self.config.fit.data
        init_args = named.get("init_args", Namespace()).as_dict()
        class_path, init_args = data.resolved(named.class_path, init_args)
        self.config.fit.data = Namespace(class_path=class_path, init_args=Namespace(init_args))

    def _run_trainer(self, logger: Any, **kwargs: Any) -> Trainer:
        """A Trainer of a run: whatever loggers the config names log beside ours."""
        plugins = _as_list(self._option("trainer").plugins)
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins = [*plugins, WholeFileIO()]
        named = self._option("trainer").logger
        if logger and named not in (None, True):
            logger = [*logger, *_as_list(named)]
        return self.instantiate_trainer(logger=logger, plugins=plugins, **kwargs)

    def _run_name(self) -> str:
        name = self._option("name")
        if name is None:
            configs = self._get(self.config, "config") or []
            name = Path(str(configs[-1])).stem if configs else "sae"
        # A file system counts bytes, and a line break in a path breaks the lines that show it.
        odd = len(os.fsencode(name)) > 200 or any(category(letter) == "Cc" for letter in name)
        if Path(name).name != name or name in ("", ".", "..") or odd:
            remedy = "leave out slashes and line breaks, and stay below 100 letters"
            raise InputError("name", "the name of a folder", show(name), remedy)
        return name

    def validate(
        self, model: StackedAutoencoder, datamodule: ImageDataModule, ckpt_path: str | None = None
    ) -> None:
        """Figures of a finished run on the validation images."""
        checkpoint, data = self._finished_run(ckpt_path)
        sse = validation_sse(self._verb_trainer(), model, data, checkpoint)
        self._print_figures(data, {"val_sse": sse})

    def test(
        self, model: StackedAutoencoder, datamodule: ImageDataModule, ckpt_path: str | None = None
    ) -> None:
        """Figures of a finished run on the test images: those that fit printed."""
        checkpoint, data = self._finished_run(ckpt_path)
        self._print_figures(data, figures_on_test(self._verb_trainer(), model, data, checkpoint))

    def predict(
        self, model: StackedAutoencoder, datamodule: ImageDataModule, ckpt_path: str | None = None
    ) -> None:
        """Codes of the test images as CSV, with the squared error of each."""
        checkpoint, data = self._finished_run(ckpt_path)
        trainer = self._verb_trainer()
        if trainer.world_size > 1:
            remedy = "add --trainer.devices 1"
            raise InputError("trainer.devices", "1 for predict", str(trainer.world_size), remedy)
        logs = Path(self.trainer.default_root_dir) / "lightning_logs"
        folder = new_version(logs / self._run_name() / "predict")
        batches = trainer.predict(
            model, data.predict_dataloader(), ckpt_path=checkpoint, weights_only=True
        )
        path = predictions.write(batches, folder)
        self._print_figures(data, predictions.figures(batches, data.n_features))
        print(f"codes: {shown_path(path)}", flush=True)

    def _finished_run(self, ckpt_path: str | None) -> tuple[str, ImageDataModule]:
        """A checkpoint that fits the model, and the data its run trained on."""
        checkpoint = load_checkpoint(ckpt_path, self.model)
        data = self._load_data()
        check_same_data(checkpoint, data.name)
        return checkpoint, data

    def _verb_trainer(self) -> Trainer:
        return self.instantiate_trainer(logger=False, enable_progress_bar=False)

    @rank_zero_only
    def _print_figures(self, data: ImageDataModule, figures: dict[str, float]) -> None:
        sizes = self.model.sizes
        heading = summary.heading(data.description, sizes, self.seed)
        print(summary.table(heading, sizes[-1], figures), flush=True)


def _with_config_of_run(words: list[str]) -> list[str]:
    """``fit --resume FOLDER`` alone means the config.yaml of that run."""
    if words[:1] != ["fit"] or any(word.split("=")[0] in ("--config", "-c") for word in words):
        return words
    for k, word in enumerate(words):
        option, _, folder = word.partition("=")
        folder = folder or next(iter(words[k + 1 :]), "")
        if option == "--resume" and folder not in ("", resume.AUTO):
            return ["fit", "--config", str(Path(folder) / "config.yaml"), *words[1:]]
    return words


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, Sequence) else [value]


def _trainer_error(error: Exception) -> InputError:
    found = f"a clash ({' '.join(str(error).split())})"
    remedy = "mend the trainer options"
    return InputError("trainer", "options that fit each other and this machine", found, remedy)


def _check_arguments(kind: type, /, *args: Any, **kwargs: Any) -> None:
    """Refuse what a class does not take; jsonargparse lets ``dict_kwargs`` pass."""
    try:
        inspect.signature(kind).bind(*args, **kwargs)
    except TypeError as error:
        expected, found = f"options of {kind.__name__}", f"others ({error})"
        raise InputError("dict_kwargs", expected, found, "write them below init_args") from None


def _metric_error(error: Exception) -> InputError:
    """An EarlyStopping of the config's own, on a metric that this phase does not log."""
    remedy = "take one of these, or set pretrain.patience and finetune.patience instead"
    found = " ".join(str(error).split())
    return InputError("trainer.callbacks", "metrics that there are", found, remedy)


def _as_mapping(_: type, /, **kwargs: Any) -> dict[str, Any]:
    return kwargs


def _parser_kwargs() -> dict[str, Any]:
    kwargs: dict[str, Any] = {
        "description": "Stacked autoencoders: pretrain layer by layer, stack, fine-tune.",
        "usage": "python cli.py {fit,validate,test,predict} --config CONFIG [--OPTION VALUE ...]",
    }
    for verb, description in VERBS.items():
        checkpoint = "" if verb == "fit" else " --ckpt_path CHECKPOINT"
        usage = f"python cli.py {verb} --config CONFIG{checkpoint} [--OPTION VALUE ...]"
        kwargs[verb] = {"description": description, "usage": usage}
    return kwargs


# What Lightning warns of and we mean, with the reason.
_EXPECTED_WARNINGS = [
    (".*in eval mode at the start of training.*", "the frozen layers below a stage are"),
    (".*isinstance.treespec, LeafSpec.* is deprecated.*", "Lightning's own use of torch"),
    (".*smaller than the logging interval.*", "metrics are logged once an epoch"),
    (".*Be aware that when using `ckpt_path`, callbacks.*", "only the weights are read"),
    (".*args parameter is intended to run from within Python.*", "main has seen to the words"),
    (".*could not find the monitored key in the returned metrics.*", "not every epoch validates"),
    (".*Checkpoint directory.*exists and is not empty.*", "the phase's folder is ours"),
]


def _quiet() -> None:
    """Leave the screen to the run: Lightning would greet us once for every Trainer."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message, _reason in _EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: Its words; None takes those the program was started with.
    """
    _quiet()
    torch.set_float32_matmul_precision("high")
    try:
        SAECLI(
            StackedAutoencoder,
            ImageDataModule,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            save_config_callback=None,
            seed_everything_default=0,
            parser_class=OneSentenceParser,
            parser_kwargs=_parser_kwargs(),
            args=_with_config_of_run(list(sys.argv[1:] if args is None else args)),
        )
    except KeyboardInterrupt:
        print("\nbroken off; nothing was changed", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except InputError as error:
        exit_with(error, error.exit_code)
