"""A sign of life from work that may take long."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

AFTER = 1.0  # seconds


@contextmanager
def said_if_slow(line: str) -> Iterator[None]:
    """Print a line on stderr if the work within takes more than a second.

    Args:
        line: What the work is.
    """
    timer = Timer(AFTER, lambda: print(f"{line} …", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
