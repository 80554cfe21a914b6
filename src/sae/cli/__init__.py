"""The command line: options, verbs, and one sentence for what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sae.errors import InputError, exit_with


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Mistakes in words and configs are found before torch and Lightning are imported, where that is
    possible: the import takes seconds.

    Args:
        args: The words; None takes those of the process.
    """
    from sae.cli import early
    from sae.cli.ready_made import with_ready_made
    from sae.cli.utf8 import print_whatever_comes, restart_in_utf8

    if args is None:
        restart_in_utf8()
    print_whatever_comes()
    words = with_ready_made(sys.argv[1:] if args is None else args)
    try:
        if early.answer(words):
            return
        from sae.cli import command
    except KeyboardInterrupt:
        print("\ninterrupted; nothing was changed", file=sys.stderr)
        sys.exit(130)
    except InputError as error:
        exit_with(error, error.exit_code)
    command.main(words)


__all__ = ["main"]
