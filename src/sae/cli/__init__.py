"""The command line: options, verbs, and one sentence for whatever is wrong."""

from sae.cli.command import main

__all__ = ["main"]
