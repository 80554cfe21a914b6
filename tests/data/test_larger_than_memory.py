"""Data in files and codes on disk: no run reads them all into its own memory, none leaves them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT
from killing import at_call, differences, outcome, run

from sae.cli.command import main
from sae.data.rows import FileRows, WithoutRows
from sae.look import knn
from sae.training import evaluate
from sae.training.handover import CodesOnDisk

SHARDS = 4
RUN = Path("lightning_logs/large/version_0")


def write_shards(folder: Path, n: int, features: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(SHARDS):
        np.save(folder / f"{k}.npy", rng.random((n // SHARDS, features), dtype=np.float32))
    return folder


def words(data: Path, sizes: str, cache: str, *more: str) -> list[str]:
    command = ["fit", "--name", "large", "--model.sizes", sizes, "--pretrain.cache", cache]
    command += ["--pretrain.epochs", "1", "--finetune.epochs", "1", "--data", "ArrayDataModule"]
    command += ["--data.train", str(data), "--data.val_size", "200", "--data.batch_size", "500"]
    return [*command, *more]


def anonymous_mb() -> float:
    """What this process holds that lies in no file."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise AssertionError


def note_the_peak() -> None:
    """Write the most that this process holds into a file, again and again."""

    def look() -> None:
        peak, looks = 0.0, 0
        while True:
            peak, looks = max(peak, anonymous_mb()), looks + 1
            Path("peak.new").write_text(f"{peak} {looks}")
            Path("peak.new").replace("peak.txt")
            time.sleep(0.003)

    # PCA and 5-NN take a sample: here much smaller than the data, too.
    knn.MOST_COMPARED = evaluate.MOST_COMPARED = 1000
    threading.Thread(target=look, daemon=True).start()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is looked at as Linux tells it")
def test_no_run_holds_the_data_in_memory_of_its_own(tmp_path):
    """200 MB of data take as much memory as a tenth of them, codes on disk or not kept.

    What two runs hold differs by some 40 MB, whatever they read: half of the data are more.
    """
    large = write_shards(tmp_path / "large", 64_000, 784)
    small = write_shards(tmp_path / "small", 6_400, 784)
    for cache in ("disk", "none"):
        peaks = {}
        for data in (small, large):
            folder = tmp_path / f"{data.name}-{cache}"
            assert run(words(data, "[784, 16, 8]", cache), folder, note_the_peak) == 0
            peak, looks = (folder / "peak.txt").read_text().split()
            assert int(looks) > 100
            assert (folder / RUN / "finetune" / "reconstructions.png").exists()
            peaks[data.name] = float(peak)
        assert peaks["large"] < peaks["small"] + 100, (cache, peaks)


@pytest.mark.skipif(sys.platform != "linux", reason="what is read is looked at as Linux tells it")
def test_rows_from_anywhere_are_read_without_all_that_lies_around_them(tmp_path):
    """Left to itself the system reads up to some megabytes around each."""
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((16_000, 784), np.float32))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    before = bytes_read()
    assert FileRows([path])[torch.arange(20) * 800 + 5].shape == (20, 784)
    assert bytes_read() - before < 20 * 16 * 1024 + 100_000


def bytes_read() -> int:
    """What this process has had read from disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def test_rows_in_their_order_are_hinted_at_before_they_are_looked_at(tmp_path, monkeypatch):
    """And as many that follow: nothing else has the system read ahead."""
    for k in range(2):
        np.save(tmp_path / f"{k}.npy", np.zeros((10, 4), np.float32))
    rows, asked = FileRows([tmp_path / "0.npy", tmp_path / "1.npy"]), []
    monkeypatch.setattr(FileRows, "will_need", lambda self, a, b: asked.append((a, b)))
    assert len(rows[2:6]) == 4
    assert len(rows[14:20]) == 6
    without = WithoutRows(rows, torch.tensor([3, 18]))
    assert len(without[2:5]) == 3  # rows 2, 4, 5
    assert asked == [(2, 10), (14, 20), (2, 10)]


def test_long_hints_come_in_pieces(tmp_path, monkeypatch):
    """The system takes no more of one than it would read ahead by itself."""
    np.save(tmp_path / "x.npy", np.zeros((1000, 784), np.float32))
    rows, asked = FileRows([tmp_path / "x.npy"]), []
    monkeypatch.setattr("os.posix_fadvise", lambda _, a, n, __: asked.append((a, n)), raising=False)
    rows.will_need(10, 500)
    assert max(n for _, n in asked) <= 2**17
    assert [a for a, _ in asked[1:]] == [a + n for a, n in asked[:-1]]
    row = 784 * 4
    assert (asked[0][0], sum(asked[-1])) == (128 + 10 * row, 128 + 500 * row)


def test_rows_that_there_are_not_are_refused(tmp_path):
    for k in range(2):
        np.save(tmp_path / f"{k}.npy", np.zeros((10, 4), np.float32))
    rows = FileRows([tmp_path / "0.npy", tmp_path / "1.npy"])
    for index in ([0, 20], [-1, 3]):
        with pytest.raises(IndexError, match="0 to 19"):
            rows[torch.tensor(index)]


CODES = ["--pictures_every", "-1", "--trainer.logger", "false"]
SIZES = "[64, 48, 8, 4]"


@pytest.fixture
def data(tmp_path) -> Path:
    """So few samples that a run is done at once; the codes of stage 1 take 3.8 MB."""
    return write_shards(tmp_path / "data", 20_000, 64)


def unbroken(data: Path, folder: Path) -> dict:
    assert run(words(data, SIZES, "disk", *CODES), folder) == 0
    return outcome(folder / RUN)


def left_of_codes(folder: Path = RUN) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.startswith("codes")]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a small disk is made by Linux namespaces")
def test_a_disk_too_small_for_the_codes_ends_in_a_sentence(data, tmp_path):
    """A real disk with room for all but the codes; then the run goes on where there is room."""
    small = tmp_path / "small"
    small.mkdir()
    fit = words(data, SIZES, "disk", *CODES)
    command = " ".join([sys.executable, str(ROOT / "cli.py"), *(f"'{word}'" for word in fit)])
    script = f"mount -t tmpfs -o size=3m none {small} && cd {small} && {command}; "
    script += f"code=$?; cp -r {small}/lightning_logs {tmp_path}; exit $code"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no namespaces here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 1, done.stderr
    assert "stage1: codes of the train samples take 3.8 MB on disk" in done.stdout
    (sentence,) = (line for line in done.stderr.splitlines() if "error" in line)
    assert "stage1.train-00000-of-00001.npy: expected room to write, found none" in sentence
    assert "continue with --resume" in sentence
    assert "Traceback" not in done.stderr
    assert (RUN / "stage1" / "weights.safetensors").exists()
    assert not left_of_codes()
    main([*fit, "--resume", "auto"])
    assert not differences(unbroken(data, tmp_path / "unbroken"), outcome(RUN))


def killed_after_stage(k: int, data: Path) -> list[str]:
    """Kill a run when the codes of a stage are on disk, for the next one; give its words."""
    fit = words(data, SIZES, "disk", *CODES)
    assert run(fit, Path.cwd(), at_call(CodesOnDisk, "forget", k)) == -9
    assert (RUN / "codes" / f"stage{k}.train-00000-of-00001.npy").exists()
    return fit


def test_codes_of_a_run_that_was_killed_are_freed_before_new_ones_are_written(
    data, tmp_path, monkeypatch
):
    fit = killed_after_stage(1, data)
    (RUN / "codes" / "stage1.val-00000-of-00001.4711.part").write_bytes(b"half")
    found, hand_on = [], CodesOnDisk.hand_on

    def looking(self, *args):
        found.append(self.folder.exists())
        return hand_on(self, *args)

    monkeypatch.setattr(CodesOnDisk, "hand_on", looking)
    main([*fit, "--resume", "auto"])
    assert found == [False, True, True, True]  # train and val of stages 1 and 2
    assert not left_of_codes()
    assert not differences(unbroken(data, tmp_path / "unbroken"), outcome(RUN))


def test_they_are_freed_too_where_the_run_goes_on_without_any(data):
    fit = killed_after_stage(1, data)
    main([*fit, "--pretrain.cache", "memory", "--resume", "auto"])
    assert not left_of_codes()


def test_codes_are_never_set_aside_with_phases_that_do_not_hold(data):
    """Those that a killed run has left are deleted."""
    fit = killed_after_stage(1, data)
    (RUN / "stage1" / "weights.safetensors").write_bytes(b"damaged")
    main([*fit, "--resume", "auto"])
    assert (RUN / "stage1.replaced_0").exists()
    assert not left_of_codes()


def test_codes_in_use_stay_where_they_are(data):
    """Stage 1 holds and its codes are there when stage 2 turns out to be damaged."""
    fit = killed_after_stage(2, data)
    (RUN / "stage2" / "weights.safetensors").write_bytes(b"damaged")
    shutil.rmtree(RUN / "codes")
    main([*fit, "--resume", "auto"])
    assert (RUN / "stage2.replaced_0").exists()
    assert not left_of_codes()
