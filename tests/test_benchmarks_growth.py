"""The benchmarks of growth and of large data work; whether anything is fast is not asked here."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from growth import line_through, steadiness
from growth_plot import draw
from watch import watched

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is looked at as Linux tells it")


def smoke(name: str, *words: str) -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / name), "--smoke", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
@linux
def test_the_benchmark_of_growth_works(tmp_path):
    out = smoke("growth.py", "--json", "g.json")
    told = json.loads(Path("g.json").read_text())
    assert [point["value"] for point in told["samples"]] == [500, 1000]
    assert all(point["seconds"] > 0 and point["peak_mb"] > 100 for point in told["samples"])
    assert all(math.isfinite(value) for value in told["lines"]["seconds"].values())
    assert len(told["epochs"]["all on"]["kb"]) == 7
    assert "R² = " in out
    assert PIL.Image.open(io.BytesIO(draw(told))).size[0] == 1000


@pytest.mark.long
@linux
def test_the_benchmark_of_large_data_works_and_leaves_nothing(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    out = smoke("large.py", "--json", "l.json", "--folder", str(place))
    told = json.loads(Path("l.json").read_text())
    disk, memory = told["disk"], told["memory"]
    assert disk["samples"] == memory["samples"] == 20_000_000 // (4 * 784) - 600
    assert disk["codes_announced"] == pytest.approx(disk["codes_peak"], rel=0.02)
    assert disk["codes_peak"] > 4 * 256 * disk["samples"]
    assert memory["codes_peak"] == memory["codes_announced"] == disk["codes_left"] == 0
    for run in (disk, memory):
        assert run["peak_mb"] >= run["median_mb"] > 100
        assert all(rate > 0 for rate in run["rates"].values())
    assert "all of it is deleted in the end" in out
    assert not list(place.iterdir())


@linux
def test_a_watch_sees_the_memory_of_a_process_and_of_its_children(tmp_path):
    hold = "import time; held = bytearray(b'x') * 80_000_000; time.sleep(0.4)"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    for words in (hold, start):
        seen = watched([sys.executable, "-c", words], {}, tmp_path, every=0.02)
        assert seen.code == 0
        assert 80 < seen.peak_mb() * 1.05 < 120


@linux
def test_a_watch_sees_the_files_that_come_and_go(tmp_path):
    words = "import time, pathlib as p; f = p.Path('a.npy'); f.write_bytes(b'x' * 300_000)\n"
    words += "print('written', flush=True); time.sleep(0.3); f.unlink(); print('gone')"
    seen = watched([sys.executable, "-c", words], {}, tmp_path, "*.npy", every=0.02)
    assert seen.text() == "written\ngone"
    assert seen.lines[1][0] - seen.lines[0][0] > 0.25
    assert 300_000 <= seen.kept_bytes < 400_000


def test_the_line_is_that_of_least_squares():
    line = line_through([0, 1, 2, 3], [1, 3, 5, 7])
    assert line == pytest.approx({"slope": 2, "intercept": 1, "r2": 1})
    assert line_through([0, 1, 2, 3], [0, 1, 1, 0])["r2"] == pytest.approx(0)


def test_memory_is_looked_at_once_it_has_settled():
    told = steadiness([100, 900, 1000, 1000, 1002, 1004, 1006], 3)
    assert told["settled"] == 3
    assert told["kb_an_epoch"] == pytest.approx(2)
    assert told["max_minus_min_kb"] == 6
    assert steadiness([5, 5, 7, 7], 20)["settled"] == 2


def test_the_plot_has_a_panel_for_each_that_grows(monkeypatch):
    point = {"samples": 500, "seconds": 1.0, "peak_mb": 900.0}
    points = [{**point, "value": value} for value in (10, 1000)]
    of_epochs = steadiness([1024 * k for k in range(9)], 5)
    raw = {
        "machine": "a machine; versions",
        "samples": points,
        "lines": {"seconds": {"slope": 1e-3, "intercept": 0.5, "r2": 0.998}},
        **{name: points for name in ("code size", "depth", "batch")},
        "epochs": {"samples": 300, "quiet": of_epochs, "all on": of_epochs},
    }
    figures = []
    monkeypatch.setattr("growth_plot.render", lambda figure: figures.append(figure) or PNG)
    draw(raw)
    words = " ".join(text.get_text() for text in figures[0].texts)
    for name in ("samples", "code size", "depth, stages", "batch", "epoch, 300 samples", "0.9980"):
        assert name in words
    lines = [axis for axis in figures[0].axes if axis.lines]
    assert len(lines) == 2 * 4 + 1


class PNG:
    content = b""
