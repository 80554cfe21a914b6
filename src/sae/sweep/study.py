"""A search kept in a folder: what was tried, what came of it, what to try next.

Trials are chosen by Optuna's TPE sampler: Bergstra et al. (2011), "Algorithms for Hyper-Parameter
Optimization". Its random state is a function of the seed and the number of the trial, so that a
search that was broken off goes on as if it had not been. Trials are given up where a stage does
worse than the median of the others: Golovin et al. (2017), "Google Vizier", section 3.2.1.
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
# What Optuna's states are called here.
STATES = {"COMPLETE": "finished", "PRUNED": "pruned"}


@dataclass(frozen=True)
class Settings:
    """The section ``sweep`` of a config.

    Attributes:
        space: What is searched.
        trials: How many runs in all.
        figure: The validation figure that is to be best; None for the first of the objective's.
        seed: Of the choices.
        prune: Give up trials whose stages do worse than the median.
        prune_after: Trials that are never given up, before any may be.
    """

    space: Sequence[Dimension]
    trials: int = 20
    figure: str | None = None
    seed: int = 0
    prune: bool = True
    prune_after: int = 5


def read_settings(section: Any) -> Settings:
    """The settings of a search.

    Args:
        section: What stands below ``sweep`` in a config.

    Raises:
        InputError: A name or value is wrong.
    """
    if not isinstance(section, Mapping):
        remedy = "write `sweep: {trials: 20, space: {pretrain.lr: {low: 0.001, high: 0.1}}}`"
        raise InputError("sweep", "a section of that name in the config", show(section), remedy)
    for field in section:
        check_choice(f"sweep.{field}", field, _FIELDS)
    found = Settings(
        read_space(section.get("space")), **{k: section[k] for k in section if k != "space"}
    )
    check_integer("sweep.trials", found.trials, 1, "give the number of runs", high=100_000)
    check_integer("sweep.seed", found.seed, 0, "give such a number", high=2**32 - 1)
    check_integer("sweep.prune_after", found.prune_after, 0, "give a number of runs")
    check_bool("sweep.prune", found.prune)
    if found.figure is not None and not isinstance(found.figure, str):
        remedy = "name one that a summary.json has below val, such as sse"
        raise InputError("sweep.figure", "the name of a figure", show(found.figure), remedy)
    return found


class Study:
    """A search in a folder, held against other processes until :meth:`close`.

    Args:
        folder: Where it is kept; made if it is not there.
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
            found, remedy = "one at work on it", "wait for it, or name another folder"
            raise InputError("folder", "no other process in it", found, remedy) from None
        except OSError as error:
            found, remedy = f"none ({error.strerror})", "name another folder"
            raise InputError("folder", "a folder to write into", found, remedy) from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        storage = JournalStorage(JournalFileBackend(str(folder / LOG)))
        pruner: Any = optuna.pruners.NopPruner()
        if settings.prune:
            pruner = optuna.pruners.MedianPruner(n_startup_trials=settings.prune_after)
        # A figure of which more is better counts as negative: stages are judged by errors.
        self._study = optuna.create_study(
            storage=storage, study_name="sweep", pruner=pruner, load_if_exists=True
        )
        self._try_again()

    def _try_again(self) -> None:
        """Have trials that were broken off done next."""
        from optuna.trial import TrialState

        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)
            self._study.enqueue_trial(trial.params)

    def close(self) -> None:
        """Let others have the folder."""
        self._lock.release()

    # Trials

    @property
    def done(self) -> list[FrozenTrial]:
        """The trials that came to an end, pruned ones too, in order."""
        return [
            trial for trial in self._study.get_trials(deepcopy=False) if trial.state.name in STATES
        ]

    def ask(self) -> tuple[Trial, dict[str, Any]]:
        """The next trial, and its values by option."""
        state = np.random.SeedSequence([self.settings.seed, len(self.done)]).generate_state(1)
        self._study.sampler = _optuna().samplers.TPESampler(seed=int(state[0]))
        trial = self._study.ask()
        return trial, {each.key: each.suggest(trial) for each in self.settings.space}

    def note(
        self, trial: Trial, values: Mapping[str, Any], value: float | None, **about: Any
    ) -> None:
        """Write down what came of a trial.

        Args:
            trial: Which.
            values: Its values by option.
            value: The figure; None where it was given up.
            about: What else to remember: ``higher``, whether more of the figure is better;
                ``figure``, ``label``, ``seconds``, ``run``, ``why``.
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
        """Forget a trial that could not be run at all."""
        from optuna.trial import TrialState

        self._study.tell(trial, state=TrialState.FAIL)

    @property
    def best(self) -> FrozenTrial | None:
        """The best of the trials that are finished; the first of equals."""
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
