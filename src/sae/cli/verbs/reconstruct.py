"""``reconstruct``: what a run makes of the samples of a file."""

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
    """What a finished run makes of the samples of a file, or the file with its gaps filled in."""

    help = "What a finished run makes of the samples of a file: a file, or a folder of images."
    example = f"{FILES} [--fill true]"
    what = "reconstruct"
    done = "reconstructions"
    gives_images = True

    def add_options(self, parser: ArgumentParser) -> None:
        """Also whether known values are kept."""
        super().add_options(parser)
        parser.add_argument(
            "--fill",
            type=bool,
            default=False,
            help="Of a table, replace missing values alone; all else stays as it is in the input.",
        )

    def layout(self, run: TrainedRun, samples: SampleFile, options: Namespace) -> Layout:
        """That of reconstructions; of a table that is filled in, its own."""
        self._filling = Filling(run, samples) if options.fill else None
        if self._filling is None:
            return super().layout(run, samples, options)
        return self._filling.layout

    def parts(self, run: TrainedRun, chunk: NDArray, first: int) -> Sequence[NDArray]:
        """The reconstructions, or the rows filled in."""
        if self._filling is None:
            return super().parts(run, chunk, first)
        return self._filling.parts(chunk, first)

    def end(self) -> None:
        """What was filled in."""
        if self._filling is not None:
            print(self._filling.line(), flush=True)
