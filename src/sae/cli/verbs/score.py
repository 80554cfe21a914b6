"""``score``: how far the samples of a file are from what a run makes of them, and which are odd."""

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

# Of fewer validation samples a high quantile is their greatest error, or little less.
FEW = 300


class Score(OnFiles):
    """The squared error of each sample, and whether it lies above a threshold.

    The threshold is an error that such a part of the run's own validation samples does not go
    beyond. A row without any value is odd.
    """

    help = "The error of each sample of a file, and which are odd, as .npy, .csv or .parquet."
    example = f"{FILES} [--quantile 0.99] [--per_feature true]"
    what = "score"
    done = "scores"

    def add_options(self, parser: ArgumentParser) -> None:
        """Also the threshold, and whether features are told apart."""
        super().add_options(parser)
        parser.add_argument(
            "--quantile",
            type=float | None,
            default=0.99,
            help="Samples are flagged whose error is above that of such a part of the validation "
            "samples, in (0, 1]; null flags none.",
        )
        parser.add_argument(
            "--per_feature", type=bool, default=False, help="Add the error of each feature."
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
        """Score and flag, how many values are missing, and the errors of features."""
        scores = run.apply("score", chunk, first, self.unseen)
        self._empty += int(np.isnan(scores).sum())
        parts = [scores[:, None]]
        if self._threshold is not None:
            odd = ~(scores <= self._threshold)  # also what is not a number
            self._flagged += int(odd.sum())
            parts.append(odd[:, None].astype(np.int8))
        counted = Unseen(run.preparation)  # above already
        if run.may_miss:
            parts.append(run.apply("missing", chunk, first, counted)[:, None])
        if self._per_feature:
            parts.append(run.apply("errors", chunk, first, counted))
        return parts

    def end(self) -> None:
        """How many are odd, and what that rests on."""
        if self._empty:
            end = ", and odd" if self._threshold is not None else ""
            which = "samples have" if self._empty > 1 else "sample has"
            print(f"empty: {self._empty:,} {which} no value at all: no score{end}", flush=True)
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
                    f"note: {self._of:,} validation samples say little of the {self._quantile:g} "
                    f"quantile; it is steadier from {FEW:,} on: train with a larger val_size",
                    flush=True,
                )
