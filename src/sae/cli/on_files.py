"""The base of the verbs that apply a finished run to a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import ClassVar

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from numpy.typing import NDArray

from sae.cli.verbs.verb import Verb
from sae.data.sinks.sink import Layout, check_output, sink_for
from sae.run.model import TrainedRun, load_run
from sae.run.sample_files import SampleFile, layout_of, write_result
from sae.run.unseen import Unseen
from sae.slow import said_if_slow
from sae.text import shown_path

FILES = "--run FOLDER --input FILE --output FILE"
FORMATS = "ends in .npy, .csv, .tsv or .parquet"


class OnFiles(Verb):
    """A verb that writes one row of results for each sample of a file.

    Attributes:
        what: The result for each sample; see :meth:`~sae.run.model.TrainedRun.apply`.
        done: Name of the result in the last line.
        gives_images: Whether the results can be images, for a folder of PNG files.
    """

    what: ClassVar[str]
    done: ClassVar[str]
    gives_images: ClassVar[bool] = False
    example = FILES

    def add_options(self, parser: ArgumentParser) -> None:
        """Add the run, the input and the output."""
        folder = "; a name without ending is a folder of PNG files" if self.gives_images else ""
        given = (
            "Codes, one in each row"
            if self.what == "decode"
            else "Samples like the data of the run"
        )
        parser.add_argument("--run", type=str, required=True, help="The folder of the run.")
        parser.add_argument(
            "--input",
            type=str,
            required=True,
            help=f"{given}: .npy, .npz, .csv, .parquet, .arrow or images.",
        )
        parser.add_argument(
            "--output", type=str, required=True, help=f"A new file that {FORMATS}{folder}."
        )
        parser.add_argument(
            "--overwrite", type=bool, default=False, help="Replace the output if it exists."
        )
        parser.add_argument(
            "--key", type=str | None, default=None, help="Name of the array in an .npz file."
        )
        parser.add_argument(
            "--device", type=str, default="cpu", help="Where to compute: cpu, cuda, ..."
        )

    def run(self, options: Namespace) -> None:
        """Read, compute, write, and print the path.

        Raises:
            InputError: The run, the input or the output is wrong.
        """
        output, given = Path(options.output).expanduser(), Path(options.input).expanduser()
        kind = sink_for(output)
        check_output(output, options.overwrite, [given, Path(options.run)])
        run = load_run(Path(options.run).expanduser(), options.device)
        run.check_can(self.what)
        samples = SampleFile(given, run, self.what == "decode", options.key)
        for line in samples.remarks:
            print(f"input: {line}", flush=True)
        layout = self.layout(run, samples, options)
        kind.check("output", layout)
        self.unseen = Unseen(run.preparation)
        self.begin(run, samples, options)
        with self._sign_of_life(samples, given):
            write_result(
                samples,
                lambda chunk, first: self.parts(run, chunk, first),
                output,
                layout,
                options.overwrite,
            )
        print(f"{self.done}: {shown_path(output)} ({samples.n:,} samples)", flush=True)
        self.end()
        if line := str(self.unseen):
            print(f"warning: {shown_path(given)}: {line}", file=sys.stderr, flush=True)

    def _sign_of_life(self, samples: SampleFile, given: Path) -> AbstractContextManager[None]:
        """A line about long work, where no terminal shows the bar."""
        if sys.stderr.isatty():
            return nullcontext()
        return said_if_slow(f"{self.what}: {samples.n:,} samples of {shown_path(given)}")

    def layout(self, run: TrainedRun, samples: SampleFile, options: Namespace) -> Layout:
        """The layout of the output."""
        return layout_of(run, self.what, samples)

    def begin(self, run: TrainedRun, samples: SampleFile, options: Namespace) -> None:
        """Prepare for the first chunk."""

    def parts(self, run: TrainedRun, chunk: NDArray, first: int) -> Sequence[NDArray]:
        """Return the values for the rows of a chunk, (rows, k) each.

        Args:
            run: The finished run.
            chunk: Samples, (rows, columns).
            first: Number of its first sample.
        """
        made = run.apply(self.what, chunk, first, self.unseen)
        return [np.reshape(made, (len(made), -1))]

    def end(self) -> None:
        """Print more lines after the last one."""
