"""``report``: one page about a run."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from sae.cli.verbs.verb import Verb
from sae.run import report
from sae.slow import said_if_slow
from sae.text import shown_path


class Report(Verb):
    """Write ``report.html`` into the folder of a run."""

    help = "Write one page about a run, report.html: figures, pictures, health, config."
    example = "--run FOLDER"

    def add_options(self, parser: ArgumentParser) -> None:
        """Add the run."""
        parser.add_argument("--run", type=str, required=True, help="The folder of the run.")

    def run(self, options: Namespace) -> None:
        """Write the page, and print its path."""
        folder = Path(options.run)
        with said_if_slow(f"report: collecting the pictures and figures of {shown_path(folder)}"):
            path = report.write(folder)
        print(f"report: {shown_path(path)}", flush=True)
