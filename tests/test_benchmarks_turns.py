"""Contestants that work in turns: one at a time, clocked by their turns, none left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")

# What job.py does at the beginning and at the end of its clock, and a note of when it ran.
WORKER = """
import json, os, signal, sys, time

def turn(word):
    os.write(int(os.environ["SAE_BENCH_TURNS"]), word)
    os.kill(os.getpid(), signal.SIGSTOP)

name, steps = sys.argv[1], int(sys.argv[2])
turn(b"r")
seen = []
for _ in range(steps):
    time.sleep(0.01)
    seen.append(time.monotonic())
turn(b"d")
print("words that are no figures")
print(json.dumps({"seconds": -1, "seen": seen, "pid": os.getpid()}))
"""
SCRIPTS = {
    "works.py": WORKER,
    "fails.py": WORKER.replace("seen = []", "raise ValueError('no data today')"),
    "fails_at_once.py": "raise ImportError('no torch today')",
    "skipped.py": 'print(\'{"skipped": "not installed"}\')',
}


@pytest.fixture
def turns(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import turns

    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(turns, "SCRIPTS", tmp_path)
    return turns


def left_over(folder: Path) -> str:
    return subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True).stdout


def test_one_works_at_a_time_and_all_come_to_their_end(turns, tmp_path):
    told = turns.in_turns({"a": ("works.py", ["a", "60"]), "b": ("works.py", ["b", "90"])}, 1)
    seen = sorted((when, name) for name, each in told.items() for when in each["seen"])
    names = [name for _, name in seen]
    assert (names.count("a"), names.count("b")) == (60, 90)
    changes = [(one, other) for one, other in pairwise(names) if one != other]
    assert len(changes) >= 4  # they take turns …
    assert len(changes) <= 12  # … and do not run side by side
    assert not left_over(tmp_path)


def test_seconds_are_those_of_its_turns(turns):
    """A contestant sleeps through at least so much of them as it is told to."""
    told = turns.in_turns({"a": ("works.py", ["a", "30"]), "b": ("works.py", ["b", "60"])}, 1)
    assert told["a"]["seconds"] >= 0.3
    assert told["b"]["seconds"] >= 0.6
    whole = max(t for each in told.values() for t in each["seen"])
    whole -= min(t for each in told.values() for t in each["seen"])
    assert told["b"]["seconds"] < whole  # not while the other one ran


def test_one_that_is_skipped_says_so_and_the_other_works(turns):
    told = turns.in_turns({"a": ("skipped.py", []), "b": ("works.py", ["b", "2"])}, 1)
    assert told["a"] == {"skipped": "not installed"}
    assert len(told["b"]["seen"]) == 2


@pytest.mark.parametrize("script", ["fails.py", "fails_at_once.py"])
def test_one_that_fails_gives_its_last_words_and_ends_the_others(script, turns, tmp_path):
    with pytest.raises(turns.FailedError, match=rf"{script} ended with 1:(.|\n)*today"):
        turns.in_turns({"a": ("works.py", ["a", "9"]), "b": (script, ["b", "9"])}, 1)
    assert not left_over(tmp_path)


def test_the_real_clock_keeps_to_it(tmp_path):
    """job.py without a parent that deals turns runs on; ``json`` tells how it went."""
    code = "import job\nwith job.Clock() as clock: pass\njob.say({'seconds': clock.seconds})"
    env = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks" / "contestants")}
    env.pop("SAE_BENCH_TURNS", None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert json.loads(done.stdout.splitlines()[-1])["seconds"] >= 0
