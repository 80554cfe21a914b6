"""``report``: a run on one page."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from sae.cli.verbs.verb import Verb
from sae.run import report
from sae.slow import said_if_slow
from sae.text import shown_path


class Report(Verb):
    """Write ``report.html`` into the folder of a run."""

    help = "Write report.html: figures, pictures, health and config of a run on one page."
    example = "--run FOLDER"

    def add_options(self, parser: ArgumentParser) -> None:
        """The run."""
        parser.add_argument("--run", type=str, required=True, help="The run's folder.")

    def run(self, options: Namespace) -> None:
        """Write it, and say where."""
        folder = Path(options.run)
        with said_if_slow(f"report: collecting the pictures and figures of {shown_path(folder)}"):
            path = report.write(folder)
        print(f"report: {shown_path(path)}", flush=True)
