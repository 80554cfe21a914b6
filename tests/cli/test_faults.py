"""What goes wrong while a run is under way ends in a sentence, and nothing is lost."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import ROOT, SHORT, fit, read, write_mnist
from killing import differences, outcome

from sae.callbacks.metrics_csv import MetricsCSV
from sae.cli import faults
from sae.cli.command import main
from sae.training.module import TrainingModule

CONFIG = ["fit", "--config", str(ROOT / "configs" / "digits.yaml"), *SHORT]
FOLDER = Path("lightning_logs/digits/version_0")


def fault(capsys, code: int, *args: str) -> str:
    with pytest.raises(SystemExit) as end:
        main([*CONFIG, *args])
    assert end.value.code == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1, error
    return error


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> dict:
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("unbroken"))
    main(CONFIG)
    result = outcome(FOLDER)
    os.chdir(before)
    return result


def goes_on(unbroken: dict, monkeypatch) -> None:
    """With the fault gone, the run ends as if it had never been."""
    monkeypatch.undo()
    main([*CONFIG, "--resume", "auto"])
    assert not differences(unbroken, outcome(FOLDER))


def in_stage_2(monkeypatch, error: Exception) -> None:
    step = TrainingModule.training_loss

    def broken(self, *args):
        if self.phase == "stage2" and self.current_epoch == 1:
            raise error
        return step(self, *args)

    monkeypatch.setattr(TrainingModule, "training_loss", broken)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
    ids=["python", "cuda", "cpu"],
)
def test_out_of_memory(error, unbroken, capsys, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        in_stage_2(patch, error)
        message = fault(capsys, 1)
    assert message.startswith("error: memory: expected enough for this network and batch")
    assert f"--resume {FOLDER}" in message
    assert read(FOLDER, "manifest.json")["status"] == "interrupted"
    goes_on(unbroken, pytest.MonkeyPatch())


@pytest.mark.parametrize("where", ["os.replace", "os.fsync", "metrics"])
def test_a_full_disk_anywhere(where, unbroken, capsys, monkeypatch):
    left = [12 if where != "metrics" else 3]

    def full(original):
        def write(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return original(*args, **kwargs)

        return write

    owner, name = {
        "os.replace": (os, "replace"),
        "os.fsync": (os, "fsync"),
        "metrics": (MetricsCSV, "on_train_epoch_end"),
    }[where]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full(getattr(owner, name)))
        message = fault(capsys, 1)
    assert "expected room to write, found none (No space left on device)" in message
    assert not list(FOLDER.rglob("*.part"))
    goes_on(unbroken, pytest.MonkeyPatch())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a small disk is made by Linux namespaces")
@pytest.mark.parametrize("kib", [40, 120, 400])
def test_a_disk_that_is_really_full(kib, unbroken, tmp_path):
    """A real run on a real small disk, at three sizes; then it goes on where there is room."""
    small = tmp_path / "small"
    small.mkdir()
    command = " ".join([sys.executable, str(ROOT / "cli.py"), *(f"'{word}'" for word in CONFIG)])
    script = f"mount -t tmpfs -o size={kib}k none {small} && cd {small} && {command}; "
    script += f"code=$?; cp -r {small}/lightning_logs {tmp_path}; exit $code"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no namespaces here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "expected room to write, found none" in done.stderr
    if (FOLDER / "manifest.json").exists():
        main([*CONFIG, "--resume", "auto"])
        assert not differences(unbroken, outcome(FOLDER))


def test_a_folder_that_cannot_be_written_any_more(unbroken, capsys, monkeypatch):
    def denied(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", "metrics.csv")

    with monkeypatch.context() as patch:
        patch.setattr(MetricsCSV, "on_train_epoch_end", denied)
        message = fault(capsys, 1)
    expected = "metrics.csv: expected a file or folder to work with, found an error (Permission"
    assert message.startswith(f"error: {expected}")
    goes_on(unbroken, pytest.MonkeyPatch())


def test_a_defect_keeps_its_traceback_and_says_how_to_go_on(capsys, monkeypatch):
    in_stage_2(monkeypatch, ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError):
        main(CONFIG)
    error = capsys.readouterr().err
    assert f"interrupted; resume it with: python cli.py fit --resume {FOLDER}" in error


def test_what_is_no_fault_of_the_machine_is_none():
    assert faults.as_fault(RuntimeError("size mismatch"), "run") is None
    assert faults.as_fault(ValueError("x"), "run") is None


def test_a_loss_that_is_not_finite_stops_at_its_step(capsys, monkeypatch):
    step, seen = TrainingModule.training_loss, []

    def infinite(self, batch, batch_idx):
        seen.append((self.phase, self.current_epoch, batch_idx))
        if (self.phase, self.current_epoch, batch_idx) == ("stage2", 1, 7):
            batch = (batch[0] * float("inf"), *batch[1:])
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_loss", infinite)
    message = fault(capsys, 2)
    assert "stage2: expected a finite train loss" in message
    assert "in epoch 1, step 7; its learning rate (lr) is likely too high" in message
    assert seen[-1] == ("stage2", 1, 7)
    manifest = read(FOLDER, "manifest.json")
    assert manifest["status"] == "diverged"
    assert [phase["name"] for phase in manifest["phases"]] == ["stage1"]
    content = torch.load(FOLDER / "stage2" / "checkpoints" / "best.ckpt", weights_only=True)
    assert all(tensor.isfinite().all() for tensor in content["state_dict"].values())


def test_data_that_change_or_disappear_after_the_start(capsys, monkeypatch, tmp_path):
    """They are read once: a run that is under way does not notice; one that goes on says so."""
    write_mnist(tmp_path / "mnist", monkeypatch, 80, 20)
    mine = ["--data", "MNISTDataModule", "--data.root", "mnist", "--data.val_size", "10"]
    step = TrainingModule.training_loss

    def gone(self, *args):
        shutil.rmtree("mnist", ignore_errors=True)
        if self.phase == "finetune":
            raise MemoryError
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_loss", gone)
        fault(capsys, 1, *mine)
    assert [p["name"] for p in read(FOLDER, "manifest.json")["phases"]] == ["stage1", "stage2"]
    before = sorted(FOLDER.rglob("*"))
    message = fault(capsys, 2, *mine, "--resume", "auto")
    assert message.startswith("error: data.root: expected a folder, found none at 'mnist'")
    assert sorted(FOLDER.rglob("*")) == before
    write_mnist(tmp_path / "mnist", monkeypatch, 80, 20)
    assert fit(*mine, "--resume", "auto") == FOLDER
