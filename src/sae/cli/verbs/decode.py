"""``decode``: turn the codes in a file back into samples."""

from __future__ import annotations

from sae.cli.on_files import OnFiles


class Decode(OnFiles):
    """Turn the codes in a file into samples, with a finished run."""

    help = "Turn the codes in a file into samples: a file, or a folder of images."
    what = "decode"
    done = "samples"
    gives_images = True
