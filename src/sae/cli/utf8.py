"""UTF-8 for names, files and the screen in every locale."""

from __future__ import annotations

import io
import os
import sys

_MODE = "PYTHONUTF8"


def restart_in_utf8() -> None:
    """Restart this program in Python's UTF-8 mode, if the locale has another encoding.

    Python chooses the encoding of file names and contents when it starts. In ASCII it could neither
    open ``配置.yaml`` nor print an arrow. Only a restart changes the encoding.
    """
    settled = sys.getfilesystemencoding().lower() in ("utf-8", "utf8")
    if settled or os.environ.get(_MODE) == "1":  # restarted already, without success
        return
    os.environ[_MODE] = "1"  # also for processes that Lightning launches
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def print_whatever_comes() -> None:
    """Print a question mark for a letter that the screen does not have, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
