"""Trackers (MLflow, Weights & Biases, …): all phases of a run appear as one run of the tracker.

A tracker is any Logger that the user sets as ``trainer.logger``. Each phase has its own Trainer,
which counts steps from zero and closes its loggers at the end. Here the steps of earlier phases are
added, and a tracker is closed only at the end of the run.
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

# Options to continue a run of a logger: the first one that the logger has is used.
_AGAIN = ("run_id", "experiment_key", "version")
_KEY = "trainer.logger"


class Tracker:
    """A logger for all phases of a run.

    The logger stays the user's own object, so that a callback that needs a WandbLogger finds one;
    calls to it go through this class. If a logger fails during the run, it is not used any more,
    and the training goes on: all figures are also in ``metrics.csv``.

    Args:
        logger: The logger.
        tell: Called with a line if something is wrong.
    """

    def __init__(self, logger: Logger, tell: Callable[[str], None]) -> None:
        self.logger, self.tell = logger, tell
        self.steps_before, self.works = 0, True
        self._last = 0
        self._told: set[str] = set()  # options of the model
        # Attributes of the object hide the methods of its class.
        for name in ("log_metrics", "log_hyperparams", "save", "finalize"):
            setattr(logger, name, getattr(self, f"_{name}"))

    @property
    def name(self) -> str:
        """Name of the logger's class."""
        return type(self.logger).__name__

    @rank_zero_only
    def begin(self, settings: Mapping[str, Any], config: Path) -> dict[str, Any]:
        """Start or continue the logger's run, and log the options.

        Args:
            settings: Dotted options and their values.
            config: ``config.yaml`` of the run.

        Returns:
            What is needed to continue the logger's run later.

        Raises:
            InputError: The logger fails.
        """
        try:
            experiment: Any = getattr(self.logger, "experiment", None)  # this starts it
            if isinstance(self.logger, MLFlowLogger):
                experiment.update_run(self.logger.run_id, "RUNNING")  # after an interruption
            given = {key: value for key, value in settings.items() if value is not None}
            self._real("log_hyperparams")(given)
            self._told = {key.split(".")[1] for key in settings if key.startswith("model.")}
            self._send(config, config.parent)
            version = self.logger.version
        except Exception as error:  # whatever its package raises
            remedy = "correct its options, check its server, or leave it out"
            found = f"{self.name}, which fails ({_in_a_line(error)})"
            raise InputError(_KEY, "trackers that work", found, remedy) from None
        return {"class_path": _path(self.logger), "version": version}

    @rank_zero_only
    def end(self, status: str, figures: Mapping[str, float], folder: Path) -> None:
        """Log the results and close the logger.

        Args:
            status: ``success`` or ``failed``.
            figures: Figures by name, such as ``test/sse``.
            folder: Folder of the run; its pictures and figures are sent, if the logger takes files.
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

    # Called by a Trainer and its callbacks

    def _log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        overall = None if step is None else self.steps_before + step
        self._last = max(self._last, overall or 0)
        self._guarded(lambda: self._real("log_metrics")(metrics, overall))

    def _log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Log the options of a callback; the Trainer's options of the model are logged already."""
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
        """Only save: the end of a phase is not the end of the run."""
        self._guarded(self._real("save"))

    # Calls to the logger itself

    def _real(self, name: str) -> Callable[..., Any]:
        """Return a method of the logger's class."""
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
                f"warning: {self.name} fails and is not used any more ({_in_a_line(error)}); "
                "all figures are in metrics.csv"
            )

    def _send(self, path: Path, folder: Path) -> None:
        """Send a file of the run, if the logger takes files."""
        inside = path.relative_to(folder)
        if isinstance(self.logger, MLFlowLogger):
            where = None if len(inside.parts) == 1 else str(inside.parent)
            self.logger.experiment.log_artifact(self.logger.run_id, str(path), where)
        elif isinstance(self.logger, WandbLogger):
            self.logger.experiment.save(str(path), base_path=str(folder), policy="now")

    def _show(self, path: Path, folder: Path) -> None:
        """Log a picture of the run as an image, if the logger can; else send the file."""
        log_image = getattr(self.logger, "log_image", None)
        if log_image is None:
            self._send(path, folder)
            return
        log_image(str(path.relative_to(folder).with_suffix("")), [str(path)])


class Trackers:
    """All trackers of a run.

    Args:
        loggers: The loggers.
        tell: Called with a line if something is wrong.
    """

    def __init__(self, loggers: Iterable[Logger], tell: Callable[[str], None]) -> None:
        self.all = [Tracker(logger, tell) for logger in loggers]

    def begin(self, settings: Mapping[str, Any], config: Path) -> list[dict[str, Any]]:
        """Start all trackers; see :meth:`Tracker.begin`. Empty except on the main process."""
        noted = [tracker.begin(settings, config) for tracker in self.all]
        return [entry for entry in noted if entry is not None]

    def of_phase(self, steps_before: int) -> list[Logger]:
        """Return the loggers for a phase that begins after ``steps_before`` steps of the run."""
        for tracker in self.all:
            tracker.steps_before = steps_before
        return [tracker.logger for tracker in self.all]

    def end(self, status: str, figures: Mapping[str, float], folder: Path) -> None:
        """Close all trackers; see :meth:`Tracker.end`."""
        for tracker in self.all:
            tracker.end(status, figures, folder)


def is_tracker(logger: Logger) -> bool:
    """Return whether a logger counts the steps of the whole run."""
    return isinstance(getattr(vars(logger).get("log_metrics"), "__self__", None), Tracker)


def taken_up(
    loggers: Sequence[Logger], settings: Sequence[Any], noted: Iterable[Mapping[str, Any]]
) -> list[Logger]:
    """Return the loggers of a resumed run: each continues its own run, if it can.

    A CSVLogger cannot: it would delete the existing file.

    Args:
        loggers: Loggers as the config describes them, not started.
        settings: Description of each: ``class_path`` and ``init_args``.
        noted: Result of :meth:`Trackers.begin` when the run began.
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
    """Return a logger made from its description."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Logger, "logger")
    config = parser.parse_object({"logger": dict(described)})
    logger: Logger = parser.instantiate_classes(config).logger
    return logger


def _path(logger: Logger) -> str:
    return f"{type(logger).__module__}.{type(logger).__qualname__}"


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
