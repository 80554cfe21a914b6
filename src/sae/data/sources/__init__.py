"""Formats of samples, one file each: see :mod:`sae.data.source`."""
