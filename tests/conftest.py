"""Fixtures; and no test may leave the global state other than it found it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# One thread a process, in those that tests start too: the networks are tiny, and threads of several
# processes that wait for each other on few cores take minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests compare with values worked out on the CPU: a GPU is hidden from them and from the processes
# that they start. tests/test_gpu.py looks at a real one, where there is one.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def restore_state(monkeypatch, tmp_path):
    """Restore the environment and the random state; work in an empty folder."""
    before = dict(os.environ)
    rng = torch.get_rng_state()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cli.py"])
    for name in ("SAE_DATA", "SAE_RUN_FOLDER"):
        os.environ.pop(name, None)
    yield
    os.environ.clear()
    os.environ.update(before)
    torch.set_rng_state(rng)


@pytest.fixture
def configs() -> Path:
    return ROOT / "configs"


@pytest.fixture
def no_web(monkeypatch):
    """A machine without a web, at once."""
    from sae.data import mnist

    monkeypatch.setattr(mnist, "_reachable", lambda url: False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """A finished run, and what it printed."""
    where = tmp_path_factory.mktemp("finished")
    from helpers import SHORT

    command = [sys.executable, str(ROOT / "cli.py"), "fit", "--config"]
    command += [str(ROOT / "configs" / "digits.yaml"), *SHORT]
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=True)
    return where / "lightning_logs" / "digits" / "version_0", done.stdout
