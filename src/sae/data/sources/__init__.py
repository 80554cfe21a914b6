"""Input formats, one per file: see :mod:`sae.data.source`."""
