"""Trackers (MLflow, Weights & Biases, …): all phases of a run are one run of theirs.

A tracker is any Logger that the user names below ``trainer.logger``. Each phase has a Trainer of
its own, which counts its steps from zero and says at its end that all is over. So a tracker's steps
begin with those of the phases before, and the end is told once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from sae.errors import InputError

# Options by which a logger takes up a run of its own again: the first one that it has.
_AGAIN = ("run_id", "experiment_key", "version")
_KEY = "trainer.logger"


class Tracker:
    """A logger through all phases of a run.

    The logger stays the user's own object, so that a callback that asks for a WandbLogger finds
    one; what it is told goes through here. A logger that fails while the run is under way is told
    nothing more: no training is lost for the sake of its figures, which are in ``metrics.csv``.

    Args:
        logger: The logger.
        tell: Told in a line what is wrong.
    """

    def __init__(self, logger: Logger, tell: Callable[[str], None]) -> None:
        self.logger, self.tell = logger, tell
        self.steps_before, self.works = 0, True
        self._last = 0
        self._told: set[str] = set()  # options of the model
        # As attributes of the object they hide the methods of its class.
        for name in ("log_metrics", "log_hyperparams", "save", "finalize"):
            setattr(logger, name, getattr(self, f"_{name}"))

    @property
    def name(self) -> str:
        """What the logger is called."""
        return type(self.logger).__name__

    @rank_zero_only
    def begin(self, settings: Mapping[str, Any], config: Path) -> dict[str, Any]:
        """Begin its run, or take it up again, and tell it the options.

        Args:
            settings: Dotted options and their values.
            config: ``config.yaml`` of the run.

        Returns:
            What it takes to take it up again.

        Raises:
            InputError: It fails.
        """
        try:
            experiment: Any = getattr(self.logger, "experiment", None)  # which begins it
            if isinstance(self.logger, MLFlowLogger):
                experiment.update_run(self.logger.run_id, "RUNNING")  # it may have been broken off
            given = {key: value for key, value in settings.items() if value is not None}
            self._real("log_hyperparams")(given)
            self._told = {key.split(".")[1] for key in settings if key.startswith("model.")}
            self._send(config, config.parent)
            version = self.logger.version
        except Exception as error:  # whatever its package raises
            remedy = "mend its options, see to its server, or leave it out"
            found = f"{self.name}, which fails ({_in_a_line(error)})"
            raise InputError(_KEY, "trackers that work", found, remedy) from None
        return {"class_path": _path(self.logger), "version": version}

    @rank_zero_only
    def end(self, status: str, figures: Mapping[str, float], folder: Path) -> None:
        """Tell it what came of the run, and that it is over.

        Args:
            status: ``success`` or ``failed``.
            figures: By name, such as ``test/sse``.
            folder: Of the run; its pictures and figures are sent where the logger takes files.
        """

        def tell_all() -> None:
            if figures:
                self._real("log_metrics")(dict(figures), self._last)
            for path in [*sorted(folder.glob("*.json")), *sorted(folder.glob("metrics.csv"))]:
                self._send(path, folder)
            for path in sorted(folder.rglob("*.png")):
                self._show(path, folder)

        if status == "success":
            self._guarded(tell_all)
        self._guarded(lambda: self._real("finalize")(status))
        if isinstance(self.logger, WandbLogger):
            experiment = self.logger.experiment
            self._guarded(lambda: experiment.finish(0 if status == "success" else 1))

    # What a Trainer and its callbacks say

    def _log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        overall = None if step is None else self.steps_before + step
        self._last = max(self._last, overall or 0)
        self._guarded(lambda: self._real("log_metrics")(metrics, overall))

    def _log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """What a callback wants logged. The Trainer tells of the model, which is told already."""
        new = {
            key: value
            for key, value in dict(params).items()
            if key not in self._told and value is not None
        }
        if new:
            self._guarded(lambda: self._real("log_hyperparams")(new, *args, **kwargs))

    def _save(self) -> None:
        self._guarded(self._real("save"))

    def _finalize(self, status: str = "success") -> None:
        """The end of a phase is not that of the run."""
        self._guarded(self._real("save"))

    # What goes on to the logger

    def _real(self, name: str) -> Callable[..., Any]:
        """A method of the logger's own."""
        method: Callable[..., Any] = getattr(type(self.logger), name).__get__(self.logger)
        return method

    def _guarded(self, call: Callable[[], object]) -> None:
        if not self.works:
            return
        try:
            call()
        except Exception as error:  # whatever its package raises
            self.works = False
            self.tell(
                f"warning: {self.name} fails and is told nothing more ({_in_a_line(error)}); "
                "all figures are in metrics.csv"
            )

    def _send(self, path: Path, folder: Path) -> None:
        """Send a file of the run, where the logger takes files."""
        inside = path.relative_to(folder)
        if isinstance(self.logger, MLFlowLogger):
            where = None if len(inside.parts) == 1 else str(inside.parent)
            self.logger.experiment.log_artifact(self.logger.run_id, str(path), where)
        elif isinstance(self.logger, WandbLogger):
            self.logger.experiment.save(str(path), base_path=str(folder), policy="now")

    def _show(self, path: Path, folder: Path) -> None:
        """Show a picture of the run, where the logger can."""
        log_image = getattr(self.logger, "log_image", None)
        if log_image is None:
            self._send(path, folder)
            return
        log_image(str(path.relative_to(folder).with_suffix("")), [str(path)])


class Trackers:
    """All trackers of a run.

    Args:
        loggers: They.
        tell: Told in a line what is wrong.
    """

    def __init__(self, loggers: Iterable[Logger], tell: Callable[[str], None]) -> None:
        self.all = [Tracker(logger, tell) for logger in loggers]

    def begin(self, settings: Mapping[str, Any], config: Path) -> list[dict[str, Any]]:
        """Begin them; see :meth:`Tracker.begin`. Empty on all but the main process."""
        noted = [tracker.begin(settings, config) for tracker in self.all]
        return [entry for entry in noted if entry is not None]

    def of_phase(self, steps_before: int) -> list[Logger]:
        """The loggers for a phase, which begins after so many steps of the run."""
        for tracker in self.all:
            tracker.steps_before = steps_before
        return [tracker.logger for tracker in self.all]

    def end(self, status: str, figures: Mapping[str, float], folder: Path) -> None:
        """End them; see :meth:`Tracker.end`."""
        for tracker in self.all:
            tracker.end(status, figures, folder)


def is_tracker(logger: Logger) -> bool:
    """Whether a logger counts the steps of the whole run."""
    return isinstance(getattr(vars(logger).get("log_metrics"), "__self__", None), Tracker)


def taken_up(
    loggers: Sequence[Logger], settings: Sequence[Any], noted: Iterable[Mapping[str, Any]]
) -> list[Logger]:
    """The loggers of a run that goes on: each takes up its own run, where it can.

    A CSVLogger cannot: it would delete the file that is there.

    Args:
        loggers: As the config describes them, not begun.
        settings: The description of each: ``class_path`` and ``init_args``.
        noted: What :meth:`Trackers.begin` gave when the run began.
    """
    left, found = [dict(entry) for entry in noted], []
    for logger, described in zip(loggers, settings, strict=True):
        same = [entry for entry in left if entry.get("class_path") == _path(logger)]
        parameters = inspect.signature(type(logger)).parameters
        option = next((name for name in _AGAIN if name in parameters), None)
        if not same or option is None or isinstance(logger, CSVLogger):
            found.append(logger)
            continue
        left.remove(same[0])
        given = dict(described.get("init_args") or {})
        given[option] = same[0].get("version")
        found.append(_made({"class_path": described["class_path"], "init_args": given}))
    return found


def _made(described: Mapping[str, Any]) -> Logger:
    """A logger of its description."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Logger, "logger")
    config = parser.parse_object({"logger": dict(described)})
    logger: Logger = parser.instantiate_classes(config).logger
    return logger


def _path(logger: Logger) -> str:
    return f"{type(logger).__module__}.{type(logger).__qualname__}"


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
