"""A run of a search: ``fit`` in this process, judged by validation only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sae.callbacks.metrics_csv import read_metrics
from sae.cli.command import SAECLI, command_line
from sae.errors import InputError
from sae.experiment import Extras
from sae.figure import Measured
from sae.run.folder import Run
from sae.run.journal import METRICS
from sae.training.plan import PhaseResult

# Called with the number of a stage, from 1, and its error.
Report = Callable[[int, float], None]


class TrialCLI(SAECLI):
    """``fit`` that never uses the test images, and reports after each stage.

    Args:
        report: Called after each stage; an exception that it raises ends the run.
    """

    def __init__(self, *args: Any, report: Report, **kwargs: Any) -> None:
        self.report = report
        super().__init__(*args, **kwargs)

    def _extras(self, run: Run) -> Extras:
        def after(result: PhaseResult) -> None:
            name = result.phase.name
            error = error_of_stage(run.folder, result)
            if name.startswith("stage") and error is not None:
                self.report(int(name.removeprefix("stage")), error)

        return replace(super()._extras(run), test=False, progress_bar=False, after_phase=after)

    def _open_run(self, data: Any) -> Run:
        if self.trainer.world_size > 1:
            found, remedy = str(self.trainer.world_size), "add --trainer.devices 1 to the config"
            raise InputError("trainer.devices", "1 in a sweep", found, remedy)
        self.run = super()._open_run(data)
        return self.run

    def _say_how_to_go_on(self, run: Run | None) -> None:
        """Print nothing: the search continues, not this run."""


def error_of_stage(folder: Path, result: PhaseResult) -> float | None:
    """The squared error in pixels of the weights that a phase kept, on the validation images.

    This is the figure that can be compared between networks: it goes through all layers up to the
    stage and back.

    Args:
        folder: Of the run.
        result: Of the phase.

    Returns:
        SSE per image; None if the phase has none, or it is not finite.
    """
    figures = [
        row
        for (phase, _), row in read_metrics(folder / METRICS).items()
        if phase == result.phase.name
    ]
    figures = [row for row in figures if math.isfinite(row.get("val/image_sse", math.nan))]
    if not figures:
        return None
    if result.phase.recipe.keep == "best":
        return min(figures, key=lambda row: row["val/loss"])["val/image_sse"]
    return figures[-1]["val/image_sse"]


def run_trial(words: Sequence[str], report: Report) -> tuple[dict[str, Measured], Path]:
    """Run ``fit``.

    Args:
        words: Its options.
        report: See :class:`TrialCLI`.

    Returns:
        Figures on the validation samples, with labels for these data, and the folder of the run.
    """
    cli = command_line(["fit", *words], TrialCLI, report=report)
    assert isinstance(cli, TrialCLI)
    words_on = cli.model.words  # samples that are not images have other labels
    figures = {
        name: replace(each, figure=replace(each.figure, label=words_on(each.figure.label)))
        for name, each in cli.figures.items()
    }
    return figures, cli.run.folder
