"""UTF-8 for names, files and the screen, whatever the locale."""

from __future__ import annotations

import io
import os
import sys

_MODE = "PYTHONUTF8"


def restart_in_utf8() -> None:
    """Start this very program again in Python's UTF-8 mode, where the locale has other letters.

    Python settles as it starts how it reads the names and the content of files. In ASCII it could
    neither open ``配置.yaml`` nor print an arrow; once it runs, only a new start helps.
    """
    settled = sys.getfilesystemencoding().lower() in ("utf-8", "utf8")
    if settled or os.environ.get(_MODE) == "1":  # asked for already, and to no avail
        return
    os.environ[_MODE] = "1"  # for the processes that Lightning launches, too
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def print_whatever_comes() -> None:
    """Have a screen that lacks a letter show a question mark, instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
