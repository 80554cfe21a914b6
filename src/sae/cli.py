"""``fit`` trains the whole path; ``validate``, ``test`` and ``predict`` work on what it left.

A LightningCLI: every option of the model, the data and the Trainer is an option here, and one YAML
file holds an experiment.
"""

from __future__ import annotations

import copy
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningDataModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from sae import predictions, summary
from sae.callbacks import MetricsCSV, StageProgressBar, pictures
from sae.corruption import Corruption
from sae.data import ImageDataModule
from sae.errors import InputError, check_integer, error_prefix, show
from sae.evaluate import compare
from sae.modules import ReconstructionModule, StackedAutoencoder
from sae.pretrain import GreedyPretrainer, Phase, PhaseResult
from sae.recipe import PretrainRecipe, Recipe
from sae.run import Run, fingerprint, load_checkpoint, versions
from sae.sparsity import Sparsity
from sae.usage import OneSentenceParser, ParserError, one_sentence

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

    def add_core_arguments_to_parser(self, parser: Any) -> None:
        """The options, ours first: the Trainer's fill pages."""
        parser.add_argument(
            "--name",
            type=str | None,
            default=None,
            help="Name of the run, its folder in lightning_logs; null: that of the config file.",
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

    def _set_seed(self) -> None:
        """Seed the run; ``true`` draws a seed, which the saved config then names."""
        seed = self._get(self.config, "seed_everything")
        if seed is not True and (seed is False or not 0 <= seed < 2**32):
            remedy = "give such a number, or true to have one drawn"
            raise InputError("seed_everything", "an integer in [0, 2^32)", show(seed), remedy)
        super()._set_seed()

    def _parse_ckpt_path(self) -> None:
        """Leave the config alone: LightningCLI lets a checkpoint's values beat the YAML's."""

    # Checking everything before any work

    def before_instantiate_classes(self) -> None:
        """Have wrong values of the model and the data name their group of options."""
        for key, kind in (("model", StackedAutoencoder), ("data", LightningDataModule)):
            self.parser.add_instantiator(_instantiator(key), kind, subclasses=True)
        # These stay plain settings until their recipe, which knows their place, is built.
        for plain in (Corruption, Sparsity):
            self.parser.add_instantiator(_as_mapping, plain)

    def instantiate_classes(self) -> None:
        """Build what the options describe; a wrong value ends here, before any training."""
        self._check_trainer_options()
        try:
            super().instantiate_classes()
        except ValueError as error:
            # The parser reports all the types it tried; what our class said is in there.
            if isinstance(error, InputError) or "Union subtypes" not in str(error):
                raise
            raise ParserError(one_sentence(str(error))) from None
        check_integer("pictures_every", self._option("pictures_every"), -1, "give epochs, 0 or -1")
        self.seed: int = self._option("seed_everything")
        with error_prefix("pretrain"):
            pretrain = PretrainRecipe.from_options(self._option("pretrain").as_dict())
            stages = pretrain.for_stages(len(self.model.stack))
        with error_prefix("finetune"):
            finetune = Recipe.from_mapping(self._option("finetune").as_dict())
        self.pretrainer = GreedyPretrainer(
            stages, finetune, self._phase_trainer, self.seed, self._phase_done
        )
        self.pretrainer.check(self.model)
        self.model.recipe, self.model.seed = finetune, self.seed

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A Trainer; what it finds wrong is wrong in the options."""
        try:
            return super().instantiate_trainer(**kwargs)
        except (MisconfigurationException, TypeError, ValueError) as error:
            found = f"a clash ({' '.join(str(error).split())})"
            remedy = "mend the trainer options"
            raise InputError("trainer", "options that fit this machine", found, remedy) from None

    def _check_trainer_options(self) -> None:
        for key in ("max_epochs", "min_epochs"):
            value = self._get(self.config, "trainer").get(key)
            if value is not None:
                remedy = "use --pretrain.epochs and --finetune.epochs instead"
                raise InputError(
                    f"trainer.{key}", "nothing, for a run is several trainings", show(value), remedy
                )

    def _option(self, key: str) -> Any:
        return self._get(self.config_init, key)

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

    # fit

    def fit(self, model: StackedAutoencoder, datamodule: ImageDataModule) -> None:
        """Train the stages, fine-tune the stack, test it, and say how it went."""
        data = self._load_data()
        self.run = Run.claim(Path(self.trainer.default_root_dir), self._run_name())
        self._begin(data)
        try:
            results = self.pretrainer.fit(model, data.train_dataloader(), data.val_dataloader())
            figures, val_sse = self._evaluate(data)
        except BaseException:
            self.run.update_manifest(status="broken off")
            raise
        self._finish(data, results, figures, val_sse)

    def _run_name(self) -> str:
        name = self._option("name")
        if name is None:
            configs = self._get(self.config, "config") or []
            name = Path(str(configs[-1])).stem if configs else "sae"
        if Path(name).name != name or name in ("", ".", ".."):
            raise InputError("name", "the name of a folder", show(name), "leave out the slashes")
        return name

    def _begin(self, data: ImageDataModule) -> None:
        """Write down what is about to be done."""
        self.config.fit.name = self.run.name
        parser = self._parser("fit")
        self.run.write_text("config.yaml", parser.dump(self.config.fit, skip_none=True))
        self.run.update_manifest(
            status="running",
            name=self.run.name,
            data={
                "name": data.name,
                "description": data.description,
                "sha256": data.fingerprint(),
                "train": len(data.train),
                "val": len(data.val),
                "test": len(data.test),
            },
            seed=self.seed,
            sizes=self.model.sizes,
            versions=versions(),
            phases=[],
        )

    def _phase_trainer(self, phase: Phase, module: ReconstructionModule) -> Trainer:
        """A fresh Trainer with fresh callbacks for one phase."""
        options = self._option("trainer")
        folder = self.run.phase_folder(phase.name)
        callbacks: list[Callback] = []
        if options.enable_progress_bar is not False:
            callbacks.append(
                StageProgressBar(phase.name, phase.title, phase.epochs_before, phase.epochs_overall)
            )
        if options.enable_checkpointing is not False and not options.fast_dev_run:
            callbacks.append(_best_checkpoint(phase, folder))
        if phase.recipe.patience is not None:
            monitor = f"{phase.name}/val/loss"
            callbacks.append(EarlyStopping(monitor, patience=phase.recipe.patience))
        if self._option("pictures_every") >= 0:
            every = self._option("pictures_every")
            callbacks += pictures(phase.title, self.datamodule, folder, every)
        callbacks.append(MetricsCSV(self.run.folder / "metrics.csv"))
        loggers = self._loggers(phase.name)
        if loggers and phase.recipe.schedule != "constant":
            callbacks.append(LearningRateMonitor("epoch"))
        # Copies, for a callback that has seen one training is spent: an EarlyStopping would end
        # the next one after its first epoch.
        callbacks += copy.deepcopy(list(options.callbacks or []))
        return self.instantiate_trainer(
            max_epochs=phase.recipe.epochs, callbacks=callbacks, logger=loggers
        )

    def _loggers(self, phase: str) -> list[Logger]:
        """TensorBoard in the phase's folder, and whatever loggers the config names."""
        options = self._option("trainer")
        if options.logger is False or options.fast_dev_run:
            return []
        named = [] if options.logger in (None, True) else options.logger
        board = TensorBoardLogger(self.run.folder, name="", version=phase, default_hp_metric=False)
        return [board, *(named if isinstance(named, Sequence) else [named])]

    def _phase_done(self, result: PhaseResult) -> None:
        module = self.model.stack
        checkpoint = result.checkpoint and Path(result.checkpoint).relative_to(self.run.folder)
        self.run.add_phase(
            {
                "name": result.phase.name,
                "title": result.phase.title,
                "status": "done",
                "epochs": result.epochs,
                "seconds": round(result.seconds, 3),
                "checkpoint": None if checkpoint is None else str(checkpoint),
                "weights_sha256": fingerprint(module),
            }
        )

    def _evaluate(self, data: ImageDataModule) -> tuple[dict[str, float], float]:
        """Figures on the test images, and SSE per image on the validation images."""
        val = self._verb_trainer().validate(self.model, data.val_dataloader(), verbose=False)[0]
        trainer = self.instantiate_trainer(
            callbacks=[], logger=self._loggers("finetune"), enable_progress_bar=False
        )
        figures = self._test_figures(trainer, data)
        checkpoint = self._checkpoint_path()
        if not checkpoint.exists() and not self._option("trainer").fast_dev_run:
            trainer.save_checkpoint(checkpoint)
        return figures, val["finetune/val/sse"]

    def _test_figures(
        self, trainer: Trainer, data: ImageDataModule, ckpt_path: str | None = None
    ) -> dict[str, float]:
        loader = data.test_dataloader()
        logged = trainer.test(
            self.model, loader, ckpt_path=ckpt_path, verbose=False, weights_only=True
        )[0]
        figures = {key.removeprefix("test/"): value for key, value in logged.items()}
        if trainer.is_global_zero:
            figures |= compare(self.model, data)
        trainer.strategy.barrier()
        return summary.rounded(figures)

    def _checkpoint_path(self) -> Path:
        return self.run.phase_folder("finetune") / "checkpoints" / "best.ckpt"

    @rank_zero_only
    def _finish(
        self,
        data: ImageDataModule,
        results: Sequence[PhaseResult],
        figures: dict[str, float],
        val_sse: float,
    ) -> None:
        """Write the summary and print it."""
        seconds = {result.phase.name: result.seconds for result in results}
        seconds["total"] = sum(seconds.values())
        sizes = self.model.sizes
        self.run.write_json(
            "summary.json",
            {
                "name": self.run.name,
                "data": data.name,
                "data_description": data.description,
                "sizes": sizes,
                "code_size": sizes[-1],
                "seed": self.seed,
                "val": summary.rounded({"sse": val_sse}),
                "test": figures,
                "seconds": summary.rounded(seconds),
            },
        )
        self.run.update_manifest(status="finished")
        heading = summary.heading(data.description, sizes, self.seed)
        print()
        print(summary.table(heading, sizes[-1], figures | {"val_sse": val_sse}, seconds))
        print(summary.closing_lines(self.run.folder, self._checkpoint_path()), flush=True)

    # Verbs on a finished run

    def validate(
        self, model: StackedAutoencoder, datamodule: ImageDataModule, ckpt_path: str | None = None
    ) -> None:
        """Figures of a finished run on the validation images."""
        checkpoint = load_checkpoint(ckpt_path)
        data = self._load_data()
        logged = self._verb_trainer().validate(
            model, data.val_dataloader(), ckpt_path=checkpoint, verbose=False, weights_only=True
        )[0]
        sse = logged["finetune/val/sse"]
        figures = {"val_sse": sse, "val_mse": sse / data.n_features}
        self._print_figures(data, figures)

    def test(
        self, model: StackedAutoencoder, datamodule: ImageDataModule, ckpt_path: str | None = None
    ) -> None:
        """Figures of a finished run on the test images: those that fit printed."""
        checkpoint = load_checkpoint(ckpt_path)
        data = self._load_data()
        figures = self._test_figures(self._verb_trainer(), data, checkpoint)
        self._print_figures(data, figures)

    def predict(
        self, model: StackedAutoencoder, datamodule: ImageDataModule, ckpt_path: str | None = None
    ) -> None:
        """Codes of the test images as CSV, with the squared error of each."""
        checkpoint = load_checkpoint(ckpt_path)
        data = self._load_data()
        trainer = self._verb_trainer()
        if trainer.world_size > 1:
            remedy = "add --trainer.devices 1"
            raise InputError("trainer.devices", "1 for predict", str(trainer.world_size), remedy)
        batches = trainer.predict(
            model, data.predict_dataloader(), ckpt_path=checkpoint, weights_only=True
        )
        path = predictions.write(batches, Path(self.trainer.default_root_dir), self._run_name())
        figures = predictions.figures(batches, data.n_features)
        self._print_figures(data, figures)
        print(f"codes: {summary.shown_path(path)}", flush=True)

    def _verb_trainer(self) -> Trainer:
        return self.instantiate_trainer(callbacks=[], logger=False, enable_progress_bar=False)

    @rank_zero_only
    def _print_figures(self, data: ImageDataModule, figures: dict[str, float]) -> None:
        sizes = self.model.sizes
        heading = summary.heading(data.description, sizes, self.seed)
        print(summary.table(heading, sizes[-1], figures), flush=True)


def _instantiator(key: str) -> Any:
    def make(kind: type, /, *args: Any, **kwargs: Any) -> Any:
        with error_prefix(key):
            return kind(*args, **kwargs)

    return make


def _as_mapping(_: type, /, **kwargs: Any) -> dict[str, Any]:
    return kwargs


def _best_checkpoint(phase: Phase, folder: Path) -> ModelCheckpoint:
    """Keep the weights of the lowest validation loss, and the last ones."""
    return ModelCheckpoint(
        folder / "checkpoints",
        filename="best",
        monitor=f"{phase.name}/val/loss",
        save_last=True,
        enable_version_counter=False,
    )


# What Lightning warns of and we mean, with the reason.
_EXPECTED_WARNINGS = [
    (".*in eval mode at the start of training.*", "the frozen layers below a stage are"),
    (".*isinstance.treespec, LeafSpec.* is deprecated.*", "Lightning's own use of torch"),
    (".*smaller than the logging interval.*", "metrics are logged once an epoch"),
    (".*Be aware that when using `ckpt_path`, callbacks.*", "only the weights are read"),
    (".*Checkpoint directory.*exists and is not empty.*", "the phase's folder is ours"),
]


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
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            save_config_callback=None,
            seed_everything_default=0,
            parser_class=OneSentenceParser,
            parser_kwargs=_parser_kwargs(),
            args=None if args is None else list(args),
        )
    except (InputError, ParserError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
