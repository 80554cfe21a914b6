"""Verbs of the command line that work on a run: one a file, found by being there."""
