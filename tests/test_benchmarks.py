from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT


def smoke(name: str, folder: Path, *words: str) -> tuple[str, dict]:
    """What a benchmark prints and tells, on generated images; whether it is fast is not asked."""
    path = folder / "raw.json"
    command = [sys.executable, str(ROOT / "benchmarks" / name), "--smoke", "--json", str(path)]
    done = subprocess.run([*command, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "generated images" in done.stdout
    return done.stdout, json.loads(path.read_text())


@pytest.mark.slow
def test_the_speed_benchmark_works(tmp_path):
    out, raw = smoke("speed.py", tmp_path)
    (told,) = raw["runs"]
    assert {"bare", "sae", "dataloader"} <= set(told)
    assert "clustpy" in told or "clustpy: skipped" in out
    table = out.split("contestant ")[1]
    for name, figures in told.items():
        assert f"\n{name} " in table
        assert 0 <= figures.pop("others") <= 1
        assert all(math.isfinite(value) and value > 0 for value in figures.values()), name
        assert figures["test_sse"] < told["bare"]["untrained_sse"], name


@pytest.mark.slow
def test_the_speed_benchmark_of_a_classifier_works(tmp_path):
    out, raw = smoke("speed.py", tmp_path, "--classify")
    (told,) = raw["runs"]
    assert set(told) == {"bare", "sae_alone", "sae"}
    table = out.split("contestant ")[1]
    assert "test error" in table.splitlines()[0]
    for name, figures in told.items():
        assert f"\n{name} " in table
        assert figures["seconds"] > 0
        assert figures["samples"] == 2000
        assert 0 <= figures["test_error"] <= 100


@pytest.mark.slow
def test_where_the_time_goes_adds_up(tmp_path):
    _, raw = smoke("speed.py", tmp_path, "--where")
    parts = raw["where"]["parts"]
    assert {"batches", "forward", "backward", "optimiser", "Lightning and the rest"} <= set(parts)
    assert {"validation", "pictures", "hand-over of codes, mean, health"} <= set(parts)
    assert all(seconds > 0 for seconds in parts.values())


@pytest.mark.slow
def test_the_benchmark_of_time_to_quality_works(tmp_path):
    out, raw = smoke("quality.py", tmp_path, "--contestants", "sae,bare", "--goals", "1000,20,0.1")
    for name, (told,) in raw["runs"].items():
        seconds, sse = zip(*told["curve"], strict=True)
        assert len(seconds) == 2
        assert list(seconds) == sorted(seconds)
        assert sse[1] < sse[0]
        (line,) = [line for line in out.splitlines() if line.startswith(f"{name} ")]
        assert f"{seconds[0]:.1f} s" in line  # to the first goal
        assert "–" in line  # the last one is out of reach


@pytest.mark.slow
def test_the_benchmark_on_a_gpu_works_but_for_the_gpu(tmp_path):
    _, raw = smoke("gpu.py", tmp_path, "--device", "cpu")
    (told,) = raw["runs"]
    assert set(told) == {"graph", "bare", "sae", "sae_bf16"}
    assert told["graph"]["test_sse"] == pytest.approx(told["bare"]["test_sse"], rel=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_benchmark_says_so():
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "skipped: torch sees no GPU here\n")


def test_a_process_that_fails_fails_the_benchmark(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('no torch today')")
    command = [sys.executable, str(ROOT / "benchmarks" / "speed.py"), "--smoke"]
    env = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 1
    assert "no torch today" in done.stderr


@pytest.mark.slow
def test_the_benchmark_of_a_busy_machine_works(tmp_path):
    path = tmp_path / "raw.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "busy.py"), "--smoke", "--json", str(path)]
    done = subprocess.run([*command, "--threads", "1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(path.read_text())["runs"]
    assert set(told) == {"turns", *(f"{way} {n}" for way in ("torch", "sae") for n in range(2))}
    assert all(figure > 0 for figure in told.values())
