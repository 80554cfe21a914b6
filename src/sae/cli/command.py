"""The training verbs: ``fit``, and ``validate``, ``test`` and ``predict`` on a finished run."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unicodedata import category

import yaml
from jsonargparse import Namespace
from lightning import Trainer
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from sae import kinds
from sae.callbacks.codes_csv import CodesCSV
from sae.cli import faults
from sae.cli.config_text import written
from sae.cli.described import EXAMPLES, page_of
from sae.cli.help_page import main_page
from sae.cli.options import OptionsCLI, as_list, trainer_error
from sae.cli.ready_made import with_ready_made
from sae.cli.sentences import TRAINING_VERBS
from sae.cli.usage import OneSentenceParser
from sae.cli.utf8 import print_whatever_comes, restart_in_utf8
from sae.cli.verbs.verb import helps, is_verb
from sae.cli.verbs.verb import run as run_verb
from sae.data import SampleDataModule
from sae.devices import fast_products
from sae.errors import InputError, exit_with, show
from sae.experiment import Experiment, Extras
from sae.figure import Measured
from sae.run import resume, summary
from sae.run.checkpoint_io import WholeFileIO, check_is_file, check_same_data, load_checkpoint
from sae.run.folder import Run, new_version, surroundings
from sae.run.nodes import leave
from sae.run.trackers import taken_up
from sae.text import program, shown_path, typed_path
from sae.training.evaluate import figures_on_test, figures_on_validation
from sae.training.stacked import StackedAutoencoder
from sae.training.steps import imports_set_aside


class SAECLI(OptionsCLI):
    """The command line of sae: its verbs."""

    def fit(self, model: StackedAutoencoder, datamodule: SampleDataModule) -> None:
        """Train the stages, fine-tune the stack, test it, and print the figures."""
        with imports_set_aside():
            self._fit(model)

    def _fit(self, model: StackedAutoencoder) -> None:
        data = self._load_data()
        self._say_sizes()
        self._resolve_data(data)
        run: Run | None = None
        try:
            with faults.signals_interrupt():
                run = Run.claim(self.trainer, lambda: self._open_run(data))
                with self._all_processes_end():
                    self.figures = self._experiment(model, data, run).start()
        except faults.Interrupted as error:
            self._say_how_to_go_on(run)
            sys.exit(128 + error.signum)
        except MisconfigurationException as error:
            if run is not None:
                run.discard_if_untouched()
            raise trainer_error(error) from None
        except InputError:
            if run is not None:
                run.discard_if_untouched()
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

    def _open_run(self, data: SampleDataModule) -> Run:
        """The run to resume, or a new one."""
        root, name = Path(self.trainer.default_root_dir), self._run_name()
        named = self.config.fit.pop("resume")
        self.config.fit.name = name
        if self.start is not None:  # it is resumed from any folder
            self.config.fit.start_from = str(self.start.folder)
        config = written(self._parser("fit"), self.config.fit)
        settings = resume.settings(yaml.safe_load(config))
        if self.start is not None:  # compare its weights, not its path
            settings["start_from"] = self.start.sha256
        run = None
        about = data.summary()
        if named is not None:
            run = resume.open_run(named, root, name, settings, about)
        if run is None:
            run = Run.create(root, name)
            if named is not None:
                line = f"resume: no unfinished run of {name!r} and this config; this is a new one"
                print(line, flush=True)
            run.update_manifest(
                status="running",
                name=name,
                data=about,
                settings=settings,
                surroundings=surroundings(self.trainer),
                phases=[],
                **({} if self.start is None else {"start_from": self.start.summary()}),
            )
            run.write_text("config.yaml", config)
        else:
            print(f"resume: {shown_path(run.folder)}", flush=True)
            if not (run.folder / "config.yaml").exists():  # it was interrupted that early
                run.write_text("config.yaml", config)
            changed = resume.changed_surroundings(run, surroundings(self.trainer))
            if changed:
                print(f"resume: {changed}: the last bits of the weights may differ", flush=True)
        return run

    @contextmanager
    def _all_processes_end(self) -> Iterator[None]:
        """If this process fails, end those that Lightning launched, which would wait for it."""
        try:
            yield
        except BaseException:
            for launcher in self._launchers:
                launcher.kill(signal.SIGTERM)
            raise

    @rank_zero_only
    def _say_how_to_go_on(self, run: Run | None) -> None:
        line = "interrupted"
        if run is not None and _can_go_on(run):
            line += f"; resume it with: {program()} fit --resume {typed_path(run.folder)}"
        print(f"\n{line}", file=sys.stderr, flush=True)

    def _extras(self, run: Run) -> Extras:
        options = self._option("trainer")
        dry = bool(options.fast_dev_run)
        return Extras(
            pictures_every=self._option("pictures_every"),
            pictures=self.pictures,
            # A bar among the user's callbacks replaces ours: a Trainer has only one.
            progress_bar=options.enable_progress_bar is not False
            and not any(isinstance(each, ProgressBar) for each in as_list(options.callbacks)),
            checkpoints=options.enable_checkpointing is not False and not dry,
            tensorboard=options.logger is not False and not dry,
            projector=self._option("projector"),
            step_losses_every=options.log_every_n_steps or 0,
            cache=self._option("pretrain").cache,
            trackers=[] if dry else self._trackers(run),
        )

    def _experiment(
        self, model: StackedAutoencoder, data: SampleDataModule, run: Run
    ) -> Experiment:
        return Experiment(
            model,
            data,
            self.stages,
            self.finetune,
            self.seed,
            run,
            self._run_trainer,
            self._extras(run),
            self.head,
            self.start,
        )

    def _resolve_data(self, data: SampleDataModule) -> None:
        """Write the data that are really used into the config: $SAE_DATA may change later.

        Also the output unit that suits them.
        """
        named = self.config.fit.data
        init_args = named.get("init_args", Namespace()).as_dict()
        class_path, init_args = data.resolved(named.class_path, init_args)
        self.config.fit.data = Namespace(class_path=class_path, init_args=Namespace(init_args))
        self.config.fit.model.output = self.model.hparams["output"]

    def _run_trainer(self, logger: Any, **kwargs: Any) -> Trainer:
        """A Trainer of a run."""
        plugins = as_list(self._option("trainer").plugins)
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins = [*plugins, WholeFileIO()]
        return self.instantiate_trainer(logger=logger, plugins=plugins, **kwargs)

    def _trackers(self, run: Run) -> list[Logger]:
        """The loggers that the config names; a resumed run continues its old ones."""
        named = self._option("trainer").logger
        if named in (None, True, False):
            return []
        described = as_list(self.config.fit.trainer.logger)
        return taken_up(as_list(named), described, run.manifest.get("trackers", []))

    def _run_name(self) -> str:
        name = self._option("name")
        if name is None:
            configs = self._get(self.config, "config") or []
            name = Path(str(configs[-1])).stem if configs else "sae"
        # File systems count bytes, and a line break in a path breaks the lines that print it.
        odd = len(os.fsencode(name)) > 200 or any(category(letter) == "Cc" for letter in name)
        if Path(name).name != name or name in ("", ".", "..") or odd:
            remedy = "leave out slashes and line breaks, and stay below 200 bytes"
            raise InputError("name", "the name of a folder", show(name), remedy)
        return name

    def validate(
        self, model: StackedAutoencoder, datamodule: SampleDataModule, ckpt_path: str | None = None
    ) -> None:
        """Print the figures of a finished run on the validation images."""
        checkpoint, data = self._finished_run(ckpt_path)
        figures = figures_on_validation(self._verb_trainer(), model, data, checkpoint)
        self._print_figures(data, figures)

    def test(
        self, model: StackedAutoencoder, datamodule: SampleDataModule, ckpt_path: str | None = None
    ) -> None:
        """Print the figures of a finished run on the test images, as fit does."""
        checkpoint, data = self._finished_run(ckpt_path)
        self._print_figures(data, figures_on_test(self._verb_trainer(), model, data, checkpoint))

    def predict(
        self, model: StackedAutoencoder, datamodule: SampleDataModule, ckpt_path: str | None = None
    ) -> None:
        """Write the codes of the test images as CSV, with the squared error of each."""
        checkpoint, data = self._finished_run(ckpt_path)
        if self.trainer.world_size > 1:
            remedy, found = "add --trainer.devices 1", str(self.trainer.world_size)
            raise InputError("trainer.devices", "1 for predict", found, remedy)
        logs = Path(self.trainer.default_root_dir) / "lightning_logs"
        table = CodesCSV(new_version(logs / self._run_name() / "predict"), data.class_names)
        self._verb_trainer(callbacks=[table]).predict(
            model,
            data.predict_dataloader(),
            return_predictions=False,
            ckpt_path=checkpoint,
            weights_only=True,
        )
        if figures := table.measured(model):
            self._print_figures(data, figures)
        print(f"codes: {shown_path(table.path)}", flush=True)

    def _finished_run(self, ckpt_path: str | None) -> tuple[str, SampleDataModule]:
        """A checkpoint that fits the model, and the data of its run."""
        check_is_file(ckpt_path)
        data = self._load_data()
        checkpoint = load_checkpoint(ckpt_path, self.model)
        check_same_data(checkpoint, data.name)
        return checkpoint, data

    def _verb_trainer(self, **kwargs: Any) -> Trainer:
        return self.instantiate_trainer(logger=False, enable_progress_bar=False, **kwargs)

    @rank_zero_only
    def _print_figures(self, data: SampleDataModule, figures: Mapping[str, Measured]) -> None:
        network = self.model.objective.path(self.model.sizes)
        heading = summary.heading(data.description, network, self.seed)
        print(summary.table(heading, figures, words=self.model.words), flush=True)


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


def _can_go_on(run: Run) -> bool:
    """Whether a run can be resumed: from a finished phase, or the last state of a phase."""
    kept = any(entry["weights"] is not None for entry in run.manifest.get("phases", []))
    return kept or any(run.folder.glob("*/checkpoints/last.ckpt"))


def _metric_error(error: Exception) -> InputError:
    """An EarlyStopping of the config's own, on a metric that this phase does not log."""
    remedy = "take one of these, or set pretrain.patience and finetune.patience instead"
    found = " ".join(str(error).split())
    return InputError("trainer.callbacks", "metrics that exist", found, remedy)


def _parser_kwargs() -> dict[str, Any]:
    """How each parser shows its help."""
    kwargs: dict[str, Any] = {
        "page": lambda _: main_page({name: {"help": text} for name, text in helps().items()})
    }
    for verb, text in TRAINING_VERBS.items():
        kwargs[verb] = {"page": partial(page_of, verb, text, EXAMPLES[verb], ["data"])}
    return kwargs


# Warnings of Lightning that do not apply, each with the reason.
_EXPECTED_WARNINGS = [
    (".*in eval mode at the start of training.*", "the frozen layers below a stage are"),
    (".*isinstance.treespec, LeafSpec.* is deprecated.*", "Lightning's own use of torch"),
    (".*nn.functional.all_gather is deprecated.*", "the same"),
    (".*smaller than the logging interval.*", "metrics are logged once an epoch"),
    (".*Be aware that when using `ckpt_path`, callbacks.*", "only the weights are read"),
    (".*args parameter is intended to run from within Python.*", "main has seen to the words"),
    (".*could not find the monitored key in the returned metrics.*", "not every epoch validates"),
    (".*but loading a checkpoint outside the 'fit' stage.*", "it holds the averaged weights"),
    (r".*self\.log\('test/.*sync_dist=True.*", "they are means over all processes already"),
    (".*Checkpoint directory.*exists and is not empty.*", "the phase's folder is ours"),
]


def _quiet() -> None:
    """Hide what Lightning prints for each Trainer.

    Its callbacks and profilers print only what the user asked for.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("lightning.pytorch.callbacks", "lightning.pytorch.profilers"):
        logging.getLogger(name).setLevel(logging.INFO)
    for message, _reason in _EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)


def command_line(words: Sequence[str], kind: type[SAECLI] = SAECLI, **kwargs: Any) -> SAECLI:
    """Parse a training verb with its options, and run it.

    Args:
        words: The verb and its options.
        kind: The class that runs it.
        kwargs: Arguments of this class.
    """
    return kind(
        StackedAutoencoder,
        SampleDataModule,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        save_config_callback=None,
        seed_everything_default=0,
        parser_class=OneSentenceParser,
        parser_kwargs=_parser_kwargs(),
        args=_with_config_of_run(list(words)),
        **kwargs,
    )


@fast_products()
def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: The words; None takes those of the process.
    """
    if args is None:
        restart_in_utf8()
    print_whatever_comes()
    _quiet()
    kinds.look_here()  # for data, callbacks and other classes of the user
    words = with_ready_made(sys.argv[1:] if args is None else args)
    try:
        if words and is_verb(words[0]):
            run_verb(words[0], words[1:])
            return
        command_line(words)
    except KeyboardInterrupt:
        print("\ninterrupted; nothing was changed", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except InputError as error:
        exit_with(error, error.exit_code)
    finally:
        leave()
