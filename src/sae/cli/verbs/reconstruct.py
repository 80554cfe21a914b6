"""``reconstruct``: write the reconstructions of the samples in a file."""

from __future__ import annotations

from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace
from numpy.typing import NDArray

from sae.cli.on_files import FILES, OnFiles
from sae.data.sinks.sink import Layout
from sae.run.filling import Filling
from sae.run.model import TrainedRun
from sae.run.sample_files import SampleFile


class Reconstruct(OnFiles):
    """Write the reconstructions of samples, or a table with its missing values filled in."""

    help = "Reconstruct the samples in a file, or fill in the missing values of a table."
    example = f"{FILES} [--fill true]"
    what = "reconstruct"
    done = "reconstructions"
    gives_images = True

    def add_options(self, parser: ArgumentParser) -> None:
        """Add whether only missing values are replaced."""
        super().add_options(parser)
        parser.add_argument(
            "--fill",
            type=bool,
            default=False,
            help="For a table: replace only the missing values, and keep all others as they are.",
        )

    def layout(self, run: TrainedRun, samples: SampleFile, options: Namespace) -> Layout:
        """The layout of reconstructions, or of the table that is filled in."""
        self._filling = Filling(run, samples) if options.fill else None
        if self._filling is None:
            return super().layout(run, samples, options)
        return self._filling.layout

    def parts(self, run: TrainedRun, chunk: NDArray, first: int) -> Sequence[NDArray]:
        """The reconstructions, or the rows with their missing values filled in."""
        if self._filling is None:
            return super().parts(run, chunk, first)
        return self._filling.parts(chunk, first)

    def end(self) -> None:
        """Print what was filled in."""
        if self._filling is not None:
            print(self._filling.line(), flush=True)
