"""``decode``: samples from the codes of a file."""

from __future__ import annotations

from sae.cli.on_files import OnFiles


class Decode(OnFiles):
    """Samples from the codes of a file, by a finished run."""

    help = "Samples from the codes of a file, by a finished run: a file, or a folder of images."
    what = "decode"
    done = "samples"
    gives_images = True
