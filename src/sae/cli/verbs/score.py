"""``score``: the reconstruction error of each sample in a file, and which samples are odd."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from numpy.typing import NDArray

from sae.cli.on_files import FILES, OnFiles
from sae.data.sinks.sink import Layout
from sae.errors import check_number
from sae.run.model import TrainedRun
from sae.run.sample_files import SampleFile
from sae.run.unseen import Unseen

# With fewer validation samples, a high quantile is nearly their largest error.
FEW = 300


class Score(OnFiles):
    """Write the squared error of each sample, and whether it is above a threshold.

    The threshold is a quantile of the errors of the run's own validation samples. A row without
    any value is odd.
    """

    help = "Write the error of each sample in a file, and which samples are odd."
    example = f"{FILES} [--quantile 0.99] [--per_feature true]"
    what = "score"
    done = "scores"

    def add_options(self, parser: ArgumentParser) -> None:
        """Add the threshold, and whether to write the error of each feature."""
        super().add_options(parser)
        parser.add_argument(
            "--quantile",
            type=float | None,
            default=0.99,
            help="Flag the samples with a larger error than this part of the validation samples, "
            "in (0, 1]; null flags none.",
        )
        parser.add_argument(
            "--per_feature", type=bool, default=False, help="Also write the error of each feature."
        )

    def layout(self, run: TrainedRun, samples: SampleFile, options: Namespace) -> Layout:
        """``score``; ``odd``, 0 or 1; ``missing``, a count; then ``error_NAME`` of each feature."""
        self._threshold = self._per_feature = None
        self._flagged, self._n, self._quantile = 0, samples.n, options.quantile
        self._empty = 0
        if options.quantile is not None:
            remedy = "give a fraction such as 0.99"
            check_number("quantile", options.quantile, 0.0, 1.0, remedy, low_open=True)
            self._threshold = run.threshold(options.quantile)
            self._of = run.n_validation
        self._per_feature = options.per_feature
        names = ["score", *(["odd"] if self._threshold is not None else [])]
        names += ["missing"] if run.may_miss else []
        if options.per_feature:
            names += [f"error_{name}" for name in run.names_of("errors")]
        return Layout(names, samples.n, samples.id_name)

    def parts(self, run: TrainedRun, chunk: NDArray, first: int) -> Sequence[NDArray]:
        """The score, the flag, the number of missing values, and the errors of features."""
        scores = run.apply("score", chunk, first, self.unseen)
        self._empty += int(np.isnan(scores).sum())
        parts = [scores[:, None]]
        if self._threshold is not None:
            odd = ~(scores <= self._threshold)  # also NaN
            self._flagged += int(odd.sum())
            parts.append(odd[:, None].astype(np.int8))
        counted = Unseen(run.preparation)  # counted above
        if run.may_miss:
            parts.append(run.apply("missing", chunk, first, counted)[:, None])
        if self._per_feature:
            parts.append(run.apply("errors", chunk, first, counted))
        return parts

    def end(self) -> None:
        """Print how many are odd, and by which threshold."""
        if self._empty:
            end = ", and odd" if self._threshold is not None else ""
            which = "samples have" if self._empty > 1 else "sample has"
            print(f"empty: {self._empty:,} {which} no values: no score{end}", flush=True)
        if self._threshold is not None:
            part = 100 * self._flagged / self._n
            print(
                f"odd: {self._flagged:,} samples ({part:.1f} %) with an error above "
                f"{self._threshold:.4g}, the {self._quantile:g} quantile of the {self._of:,} "
                "validation samples",
                flush=True,
            )
            if self._of < FEW:
                print(
                    f"note: {self._of:,} validation samples are too few for a reliable "
                    f"{self._quantile:g} quantile; it needs {FEW:,} or more: train with a larger "
                    "val_size",
                    flush=True,
                )
