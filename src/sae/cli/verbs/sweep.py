"""``sweep``: search for the settings with the best validation figure."""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from sae.cli import strict_yaml
from sae.cli.sentences import check_not_of_trials
from sae.cli.verbs.verb import Verb
from sae.errors import DivergedError, InputError, check_integer, show
from sae.figure import Measured
from sae.files import write_atomically
from sae.sweep.space import with_values
from sae.sweep.study import Settings, Study, read_settings
from sae.text import program, shown_path, typed_path

if TYPE_CHECKING:
    from optuna.trial import Trial

CONFIG, BEST, PLOT, RUNS, OUTPUT = "sweep.yaml", "best.yaml", "sweep.png", "runs", "output.txt"


class Sweep(Verb):
    """Run trials one after another, stop bad ones early, and write the best config."""

    help = "Search for the best settings by validation; the config has a section `sweep`."
    example = "--config CONFIG [--folder FOLDER] [--trials N]"

    def add_options(self, parser: ArgumentParser) -> None:
        """Add the config, the folder and the number of trials."""
        parser.add_argument(
            "--config",
            type=str,
            required=True,
            help="A config for fit with a section `sweep`, such as configs/sweeps/digits.yaml.",
        )
        parser.add_argument(
            "--folder",
            type=str | None,
            default=None,
            help="Folder of the search; an existing search continues. null: sweeps/NAME, after the "
            "config.",
        )
        parser.add_argument(
            "--trials",
            type=int | None,
            default=None,
            help="Number of runs in all, instead of that in the config.",
        )

    def check_words(self, words: list[str]) -> None:
        """Refuse options of single trials: what they share belongs into the config.

        Raises:
            InputError: There is one.
        """
        check_not_of_trials(words)

    def run(self, options: Namespace) -> None:
        """Search, and print the best trial.

        Raises:
            InputError: The config, the section `sweep` or the folder is wrong.
        """
        config = _read(Path(options.config))
        settings = read_settings(config.pop("sweep", None))
        if options.trials is not None:
            check_integer("trials", options.trials, 1, "give the number of runs", high=100_000)
            settings = replace(settings, trials=options.trials)
        named = options.folder
        folder = Path("sweeps") / Path(options.config).stem if named is None else Path(named)
        there = folder.exists()
        search = _Search(folder, config, settings)
        try:
            search.go_on()
        except (KeyboardInterrupt, SystemExit, InputError) as stop:
            if _is_signal(stop):
                print("\ninterrupted; the same command goes on", file=sys.stderr, flush=True)
                sys.exit(stop.code if isinstance(stop, SystemExit) else 130)
            if not there and not search.study.done:
                shutil.rmtree(folder)
            raise
        finally:
            search.study.close()


class _Search:
    """A running search.

    Args:
        folder: Of the search.
        config: The options that all trials share.
        settings: The search.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], settings: Settings) -> None:
        self.folder, self.config, self.settings = folder, config, settings
        with_values(
            config, {each.key: None for each in settings.space}
        )  # refuses a key that leads nowhere
        self.study = Study(folder, settings)
        try:
            self._check_same()
        except BaseException:
            self.study.close()
            raise

    def _check_same(self) -> None:
        """Refuse to continue the search of another config; more trials are allowed."""
        path = self.folder / CONFIG
        space = [repr(each) for each in self.settings.space]
        chosen = [self.settings.figure, self.settings.seed, self.settings.prune]
        now = {"config": self.config, "space": space, "search": chosen}
        text = yaml.safe_dump(json.loads(json.dumps(now)), sort_keys=False, allow_unicode=True)
        if not path.exists():
            write_atomically(path, text)
        elif path.read_text(encoding="utf-8") != text:
            remedy = "name another with --folder, or change the config back"
            found = f"another search in {shown_path(self.folder)}"
            raise InputError("config", "the config with which the search began", found, remedy)

    def go_on(self) -> None:
        """Run the missing trials; write and print the results of all."""
        before = len(self.study.done)
        if before:
            print(f"{before} of {self.settings.trials} trials were done before", flush=True)
        while len(self.study.done) < self.settings.trials:
            self._trial()
        self._conclude()

    # A trial

    def _trial(self) -> None:
        number = len(self.study.done)
        trial, values = self.study.ask()
        start = time.perf_counter()
        more: dict[str, Any] = {}
        figure: tuple[str, Measured] | None = None
        try:
            figures, more["run"] = self._run(trial, number, values)
            figure = self._figure(figures)
        except _Stop as stop:
            more["why"] = stop.why
        except (InputError, SystemExit) as error:
            if not _is_signal(error):
                self.study.give_up(trial)
            raise
        more["seconds"] = round(time.perf_counter() - start, 2)
        if figure is not None:
            name, measured = figure
            label = measured.figure.label.format(part="validation")
            higher = measured.figure.better == "higher"
            more |= {"figure": name, "label": label, "higher": higher}
        value = None if figure is None else figure[1].value
        self.study.note(trial, values, value, **more)
        self._tell(number, values, figure, more)

    def _run(
        self, trial: Trial, number: int, values: Mapping[str, Any]
    ) -> tuple[dict[str, Measured], str]:
        """Run a trial; return its figures, and its folder relative to the search."""
        from sae.cli.trial import run_trial  # it imports all verbs
        from sae.experiment import PrunedError

        def report(stage: int, error: float) -> None:
            trial.report(error, stage)
            if trial.should_prune():
                raise PrunedError(f"stage {stage}: SSE {error:.4g} is worse than the median")

        where = self.folder / RUNS
        where.mkdir(exist_ok=True)
        path = where / f"trial_{number}.yaml"
        write_atomically(path, _dumped(with_values(self.config, values)))
        words = ["--config", str(path), "--name", f"trial_{number}", "--resume", "auto"]
        words += ["--trainer.default_root_dir", str(where), "--pictures_every", "-1"]
        try:
            output = where / f"trial_{number}.txt"
            with output.open("w", encoding="utf-8") as file, redirect_stdout(file):
                figures, run = run_trial(words, report)
        except PrunedError as error:
            raise _Stop(str(error)) from None
        except DivergedError as error:
            raise _Stop(f"diverged: {error.key}: {error.found}") from None
        return figures, str(run.relative_to(self.folder.resolve()))

    def _figure(self, figures: Mapping[str, Measured]) -> tuple[str, Measured]:
        """The figure that the search improves."""
        name = self.settings.figure or next(iter(figures))
        if name not in figures:
            expected = f"one of {', '.join(figures)}"
            raise InputError("sweep.figure", expected, show(name), "choose one of these")
        measured = figures[name]
        if not measured.figure.better:
            expected = "a figure that can be better or worse"
            raise InputError("sweep.figure", expected, show(name), "choose another")
        if not math.isfinite(measured.value):
            raise _Stop(f"its {name} is not finite")
        return name, measured

    def _tell(
        self,
        number: int,
        values: Mapping[str, Any],
        figure: tuple[str, Measured] | None,
        more: Mapping[str, Any],
    ) -> None:
        shown = ", ".join(f"{key} {_shown(value)}" for key, value in values.items())
        if figure is None:
            came = f"given up ({more['why']})"
        else:
            label, value = figure[1].line()
            came = f"{label} {value}"
            best = self.study.best
            if best is not None and best.user_attrs["values"] == dict(values):
                came += ", the best so far"
        of = self.settings.trials
        print(
            f"trial {number} ({number + 1}/{of}): {came}; {shown}; {more['seconds']:.1f} s",
            flush=True,
        )

    # The end

    def _conclude(self) -> None:
        from sae.pictures.style import render
        from sae.sweep.plot import draw

        best = self.study.best
        if best is None:
            found = (
                f"{len(self.study.done)} that were given up; {self.folder / 'trials.csv'} says why"
            )
            remedy = "search lower rates, or with prune: false, in another folder"
            raise InputError("sweep", "a trial that finished", found, remedy)
        about = best.user_attrs
        values, name, label = about["values"], about["figure"], about["label"]
        number = self.study.done.index(best)
        text = _dumped(with_values(self.config, values))
        came = f"trial {number}, {label} {about['value']:.6g}"
        head = [f"The best of {len(self.study.done)} trials: {came}"]
        head += [f"  {key}: {_shown(value)}" for key, value in values.items()]
        head += ["", f"  {program()} fit --config {typed_path(self.folder / BEST)}"]
        lines = "".join(f"# {line}".rstrip() + "\n" for line in head)
        write_atomically(self.folder / BEST, lines + text)
        figure = draw(self.study.done, self.settings.space, label, bool(about["higher"]))
        write_atomically(self.folder / PLOT, render(figure).content)
        print(f"\nbest: {came} (val.{name})")
        print(f"plot: {shown_path(self.folder / PLOT)}")
        print(f"all trials: {shown_path(self.folder / 'trials.csv')}")
        print(f"train it: {program()} fit --config {typed_path(self.folder / BEST)}", flush=True)


class _Stop(Exception):  # noqa: N818  # not an error
    """A trial stops early.

    Args:
        why: The reason.
    """

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


def _is_signal(stop: BaseException) -> bool:
    """Whether a signal stopped the process, not an error."""
    if isinstance(stop, SystemExit):
        return isinstance(stop.code, int) and stop.code >= 128
    return isinstance(stop, KeyboardInterrupt)


def _read(path: Path) -> dict[str, Any]:
    """Read a config file."""
    remedy = "give a config for fit with a section `sweep`, such as configs/sweeps/digits.yaml"
    try:
        content = strict_yaml.load(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not in UTF-8"
        found = f"none that can be read at {show(str(path))} ({why})"
        raise InputError("config", "a file", found, remedy) from None
    except yaml.YAMLError as error:
        raise InputError("config", "valid YAML", f"a mistake ({error})", remedy) from None
    if not isinstance(content, dict):
        raise InputError("config", "options in groups", show(content), remedy)
    return content


def _dumped(config: Mapping[str, Any]) -> str:
    """A config; short lists and groups take one line each."""
    style: Any = None
    return yaml.safe_dump(
        dict(config), sort_keys=False, allow_unicode=True, default_flow_style=style
    )


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)
