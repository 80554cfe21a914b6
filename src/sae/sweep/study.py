"""A search that is stored in a folder: its trials, their results, and the choice of the next.

Optuna's TPE sampler chooses the trials: Bergstra et al. (2011), "Algorithms for Hyper-Parameter
Optimization". Its random state depends only on the seed and the number of the trial, so an
interrupted search continues as if it had not been interrupted. A trial is stopped if one of its
stages is worse than the median of the others: Golovin et al. (2017), "Google Vizier", section
3.2.1.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from sae.errors import (
    InputError,
    check_bool,
    check_choice,
    check_integer,
    show,
)
from sae.files import write_atomically
from sae.sweep.space import Dimension, read_space

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

LOG, TABLE = "study.log", "trials.csv"
_FIELDS = ("space", "trials", "figure", "seed", "prune", "prune_after")
# Optuna's states and our names for them.
STATES = {"COMPLETE": "finished", "PRUNED": "pruned"}


@dataclass(frozen=True)
class Settings:
    """The section ``sweep`` of a config.

    Attributes:
        space: The options to search, with their values.
        trials: Total number of runs.
        figure: The validation figure to optimise; None for the first one of the objective.
        seed: Seed of the choices.
        prune: Whether to stop trials with a stage worse than the median.
        prune_after: Number of finished trials before any trial may be stopped.
    """

    space: Sequence[Dimension]
    trials: int = 20
    figure: str | None = None
    seed: int = 0
    prune: bool = True
    prune_after: int = 5


def read_settings(section: Any) -> Settings:
    """Read and check the settings of a search.

    Args:
        section: The section ``sweep`` of a config.

    Raises:
        InputError: A name or value is wrong.
    """
    if not isinstance(section, Mapping):
        remedy = "write `sweep: {trials: 20, space: {pretrain.lr: {low: 0.001, high: 0.1}}}`"
        raise InputError("sweep", "a section sweep in the config", show(section), remedy)
    for field in section:
        check_choice(f"sweep.{field}", field, _FIELDS)
    found = Settings(
        read_space(section.get("space")), **{k: section[k] for k in section if k != "space"}
    )
    check_integer("sweep.trials", found.trials, 1, "give the number of runs", high=100_000)
    check_integer("sweep.seed", found.seed, 0, "give an integer from 0", high=2**32 - 1)
    check_integer("sweep.prune_after", found.prune_after, 0, "give a number of runs")
    check_bool("sweep.prune", found.prune)
    if found.figure is not None and not isinstance(found.figure, str):
        remedy = "give a name below val in a summary.json, such as sse"
        raise InputError("sweep.figure", "the name of a figure", show(found.figure), remedy)
    return found


class Study:
    """A search in a folder, locked against other processes until :meth:`close`.

    Args:
        folder: The folder of the search; created if it is missing.
        settings: Of the search.

    Raises:
        InputError: Optuna is not installed, another process is at work on the folder, or it cannot
            be written.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        optuna = _optuna()
        self.folder, self.settings = folder, settings
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / ".lock")
            self._lock.acquire(timeout=0)
        except Timeout:
            found, remedy = "one that uses it now", "wait for it, or choose another folder"
            raise InputError("folder", "no other process in it", found, remedy) from None
        except OSError as error:
            found, remedy = f"none ({error.strerror})", "choose another folder"
            raise InputError("folder", "a folder to write into", found, remedy) from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        storage = JournalStorage(JournalFileBackend(str(folder / LOG)))
        pruner: Any = optuna.pruners.NopPruner()
        if settings.prune:
            pruner = optuna.pruners.MedianPruner(n_startup_trials=settings.prune_after)
        # Optuna minimises, because stages report errors. So a figure to maximise gets a minus.
        self._study = optuna.create_study(
            storage=storage, study_name="sweep", pruner=pruner, load_if_exists=True
        )
        self._try_again()

    def _try_again(self) -> None:
        """Queue interrupted trials again."""
        from optuna.trial import TrialState

        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)
            self._study.enqueue_trial(trial.params)

    def close(self) -> None:
        """Unlock the folder."""
        self._lock.release()

    # Trials

    @property
    def done(self) -> list[FrozenTrial]:
        """The finished and pruned trials, in order."""
        return [
            trial for trial in self._study.get_trials(deepcopy=False) if trial.state.name in STATES
        ]

    def ask(self) -> tuple[Trial, dict[str, Any]]:
        """Choose the next trial; return it with its values by option."""
        state = np.random.SeedSequence([self.settings.seed, len(self.done)]).generate_state(1)
        self._study.sampler = _optuna().samplers.TPESampler(seed=int(state[0]))
        trial = self._study.ask()
        return trial, {each.key: each.suggest(trial) for each in self.settings.space}

    def note(
        self, trial: Trial, values: Mapping[str, Any], value: float | None, **about: Any
    ) -> None:
        """Store the result of a trial.

        Args:
            trial: The trial.
            values: Its values by option.
            value: The validation figure; None if the trial was stopped early.
            about: Other facts to store: ``higher`` (whether a higher figure is better), ``figure``,
                ``label``, ``seconds``, ``run``, ``why``.
        """
        from optuna.trial import TrialState

        for key, content in {"values": dict(values), "value": value, **about}.items():
            trial.set_user_attr(key, content)
        if value is None:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, -value if about.get("higher") else value)
        write_atomically(self.folder / TABLE, self.table())

    def give_up(self, trial: Trial) -> None:
        """Mark a trial as failed, because it could not be run."""
        from optuna.trial import TrialState

        self._study.tell(trial, state=TrialState.FAIL)

    @property
    def best(self) -> FrozenTrial | None:
        """The best finished trial, the first one if several are equal; None without any."""
        finished = [trial for trial in self.done if trial.value is not None]
        finished = [trial for trial in finished if trial.state.name == "COMPLETE"]
        return min(finished, key=lambda trial: trial.value or 0.0, default=None)

    def table(self) -> str:
        """All trials as CSV."""
        keys = [each.key for each in self.settings.space]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["trial", "state", "figure", "value", "seconds", "why", "run", *keys])
        for number, trial in enumerate(self.done):
            about = trial.user_attrs
            cells = [about.get(key) for key in ("figure", "value", "seconds", "why", "run")]
            values = [_cell(about["values"].get(key)) for key in keys]
            writer.writerow([number, STATES[trial.state.name], *cells, *values])
        return text.getvalue()


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        remedy = "run: pip install 'optuna>=4.2'"
        raise InputError("sweep", "the package optuna", "none", remedy) from None
    return optuna
