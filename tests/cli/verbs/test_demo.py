"""``demo``: the page is there until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest
from helpers import ROOT, refusal


def test_it_says_where_the_page_is_and_ends_with_ctrl_c(finished):
    command = [sys.executable, "-u", str(ROOT / "cli.py"), "demo", "--port", "0"]
    command += ["--run", f"~/{finished[0].name}"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(finished[0].parent)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's & ignores it
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("demo: http://127.0.0.1:"), process.stderr.read()
        url = line.split()[1]
        with urllib.request.urlopen(f"{url}about", timeout=60) as answer:
            assert json.load(answer)["units"] == 4
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "\ndemo: ended\n", "")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "run: expected a value"),
        (["--run", "nowhere"], "run: expected a file manifest.json in 'nowhere', found none"),
        (["--run", "RUN", "--port", "-1"], "port: expected an integer of 0 or more"),
        (["--run", "RUN", "--port", "70000"], "port: expected an integer of at most 65535"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(words, says, finished, capsys):
    given = [str(finished[0]) if word == "RUN" else word for word in words]
    assert says in refusal(capsys, "demo", *given)
