"""``reconstruct``: what a run makes of the samples of a file."""

from __future__ import annotations

from sae.cli.on_files import OnFiles


class Reconstruct(OnFiles):
    """What a finished run makes of the samples of a file."""

    help = "What a finished run makes of the samples of a file: a file, or a folder of images."
    what = "reconstruct"
    done = "reconstructions"
    gives_images = True
