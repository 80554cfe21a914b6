"""``encode``: codes of the samples of a file."""

from __future__ import annotations

from sae.cli.on_files import OnFiles


class Encode(OnFiles):
    """Codes of the samples of a file, by a finished run."""

    help = "Codes of the samples of a file, by a finished run, as .npy, .csv or .parquet."
    what = "encode"
    done = "codes"
