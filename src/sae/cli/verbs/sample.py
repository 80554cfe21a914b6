"""``sample``: new images from a finished run."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
from jsonargparse import ArgumentParser, Namespace

from sae.cli.verbs.verb import Verb
from sae.data.sinks.sink import check_output
from sae.errors import InputError, check_integer, show
from sae.files import write_atomically
from sae.pictures.samples import new_samples
from sae.pictures.style import square
from sae.run.model import read_run
from sae.text import shown_path

MOST = 100_000


class Sample(Verb):
    """Draw codes from the prior, N(0, I), decode them, and write the images."""

    help = "Draw new images with a variational run: a PNG, and the numbers as .npy."
    example = "--run FOLDER [--n 100] [--seed 0] [--output FILE.png] [--overwrite true]"

    def add_options(self, parser: ArgumentParser) -> None:
        """Add the run, the number of images, the seed and the output."""
        parser.add_argument("--run", type=str, required=True, help="The folder of the run.")
        parser.add_argument("--n", type=int, default=100, help="Number of images.")
        parser.add_argument(
            "--seed",
            type=int,
            default=0,
            help="Seed of the codes; another seed gives other images.",
        )
        parser.add_argument(
            "--output",
            type=str | None,
            default=None,
            help="The PNG; the numbers are written beside it, (n, height, width) or (n, height, "
            "width, 3). null: new_samples.png in the folder of the run.",
        )
        parser.add_argument(
            "--overwrite", type=bool, default=False, help="Replace the output if it exists."
        )

    def run(self, options: Namespace) -> None:
        """Draw the images, write them, and print the paths.

        Raises:
            InputError: An option is wrong, the run is not finished, its code has no prior, or the
                images cannot be written.
        """
        check_integer("n", options.n, 1, "give the number of images", high=MOST)
        check_integer("seed", options.seed, 0, "give such a number", high=2**32 - 1)
        folder = Path(options.run)
        run = read_run(folder)
        path = folder / "new_samples.png" if options.output is None else Path(options.output)
        if path.suffix != ".png" or not path.parent.is_dir():
            remedy = "give one such as samples.png"
            raise InputError("output", "a .png in an existing folder", show(str(path)), remedy)
        for each in (path, path.with_suffix(".npy")):
            check_output(each, options.overwrite)
        if not run.stack.has_prior:
            found = f"a code of another kind ({type(run.stack[-1]).__name__.lower()})"
            remedy = "train one such as configs/variational.yaml"
            raise InputError("run", "a run with a variational layer at the top", found, remedy)
        _, pixels = new_samples(run.stack, options.n, options.seed)
        images = pixels.reshape(options.n, *run.image_shape).numpy()
        picture, numbers = io.BytesIO(), io.BytesIO()
        shades = (square(images.clip(0, 1)) * 255).round().astype(np.uint8)
        PIL.Image.fromarray(shades).save(picture, "png")
        np.save(numbers, images)
        try:
            write_atomically(path, picture.getvalue())
            write_atomically(path.with_suffix(".npy"), numbers.getvalue())
        except OSError as error:
            found, remedy = f"none ({error.strerror})", "name another with --output"
            raise InputError("output", "a folder to write into", found, remedy) from None
        print(f"samples: {shown_path(path)}, {shown_path(path.with_suffix('.npy'))}", flush=True)
