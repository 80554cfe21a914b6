"""``denoise``: restore the corrupted samples in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace
from numpy.typing import NDArray

from sae.cli.on_files import FILES, OnFiles
from sae.errors import InputError
from sae.look.restoration import Comparison, are_images
from sae.run import summary
from sae.run.model import TrainedRun, check_units
from sae.run.reference import read_pca
from sae.run.sample_files import Chunk, SampleFile


class Denoise(OnFiles):
    """Restore corrupted samples. With the clean samples, also print how well."""

    help = "Restore the corrupted samples in a file, with a run that was trained to denoise."
    example = f"{FILES} [--clean FILE]"
    what = "denoise"
    done = "restorations"
    gives_images = True

    def add_options(self, parser: ArgumentParser) -> None:
        """Add the clean samples, too."""
        super().add_options(parser)
        parser.add_argument(
            "--clean",
            type=str | None,
            default=None,
            help="The same images without noise: prints PSNR and SSIM, compared with a median "
            "filter and PCA.",
        )

    def begin(self, run: TrainedRun, samples: SampleFile, options: Namespace) -> None:
        """Open the clean images.

        Raises:
            InputError: They are not images, or there are more or fewer.
        """
        self._clean: Iterator[Chunk] | None = None
        if options.clean is None:
            return
        clean = SampleFile(Path(options.clean).expanduser(), run, key=options.key)
        if clean.n != samples.n:
            expected, found = f"{samples.n:,} samples, as in the input", f"{clean.n:,}"
            raise InputError("clean", expected, found, "give the same samples without noise")
        if not (run.is_of_images and are_images(run.image_shape)):
            found = f"samples of shape {run.image_shape}"
            raise InputError("clean", "images", found, "leave it out")
        low, high = 0.0, 1.0
        for _, chunk in clean.chunks():
            check_units(chunk, getattr(run.preparation, "divisor", None), "clean")
            x = self._prepared(run, chunk)
            low, high = min(low, float(x.min())), max(high, float(x.max()))
        pca, size = read_pca(run.folder), run.stack.n_code
        self._comparison = Comparison(run.image_shape, high - low, pca, size)
        self._clean = clean.chunks()

    def parts(self, run: TrainedRun, chunk: NDArray, first: int) -> Sequence[NDArray]:
        """The restorations, which are also compared with the clean images."""
        (restored,) = super().parts(run, chunk, first)
        if self._clean is not None:
            _, clean = next(self._clean)
            self._comparison.add(*(self._prepared(run, x) for x in (chunk, restored, clean)))
        return [restored]

    def _prepared(self, run: TrainedRun, values: NDArray) -> torch.Tensor:
        values = np.require(values, requirements="W")  # torch warns of read-only arrays
        return run.preparation(run.preparation.to_raw(values, run.columns))

    def end(self) -> None:
        """Print the figures."""
        if self._clean is not None:
            heading = f"{self._comparison.n:,} images"
            print(summary.table(heading, self._comparison.figures()), flush=True)
