"""``encode``: write the codes of the samples in a file."""

from __future__ import annotations

from sae.cli.on_files import OnFiles


class Encode(OnFiles):
    """Write the codes of the samples in a file, with a finished run."""

    help = "Write the codes of the samples in a file, as .npy, .csv or .parquet."
    what = "encode"
    done = "codes"
