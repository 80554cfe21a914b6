"""Callbacks of Lightning, one a file."""
