"""``score``: how far the samples of a file are from what a run makes of them, and which are odd."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace
from numpy.typing import NDArray

from sae.cli.on_files import FILES, OnFiles
from sae.data.sinks.sink import Layout
from sae.errors import check_number
from sae.run.model import TrainedRun
from sae.run.sample_files import SampleFile


class Score(OnFiles):
    """The squared error of each sample, and whether it lies above a threshold.

    The threshold is an error that such a part of the run's own validation samples does not go
    beyond.
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
        """``score``; ``odd``, 0 or 1; then ``error_NAME`` of each feature."""
        self._threshold = self._per_feature = None
        self._flagged, self._n, self._quantile = 0, samples.n, options.quantile
        if options.quantile is not None:
            remedy = "give a fraction such as 0.99"
            check_number("quantile", options.quantile, 0.0, 1.0, remedy, low_open=True)
            self._threshold = run.threshold(options.quantile)
        self._per_feature = options.per_feature
        names = ["score", *(["odd"] if self._threshold is not None else [])]
        if options.per_feature:
            names += [f"error_{name}" for name in run.names_of("errors")]
        return Layout(names, samples.n, samples.id_name)

    def parts(self, run: TrainedRun, chunk: NDArray, first: int) -> Sequence[NDArray]:
        """Score and flag, and the errors of features."""
        more: list[NDArray] = []
        if self._per_feature:
            more = [run.apply("errors", chunk, first)]
            scores = torch.from_numpy(more[0]).sum(dim=1).numpy()
        else:
            scores = run.apply("score", chunk, first)
        if self._threshold is None:
            return [scores[:, None], *more]
        odd = scores > self._threshold
        self._flagged += int(odd.sum())
        return [scores[:, None], odd[:, None].astype(np.int8), *more]

    def end(self) -> None:
        """How many are odd."""
        if self._threshold is not None:
            part = 100 * self._flagged / self._n
            print(
                f"odd: {self._flagged:,} samples ({part:.1f} %) with an error above "
                f"{self._threshold:.4g}, the {self._quantile:g} quantile of the validation samples",
                flush=True,
            )
