from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import tiny_model, tiny_stack
from lightning.pytorch.utilities import rank_zero_only

from sae.errors import InputError
from sae.run import Run, fingerprint, load_checkpoint, write_atomically


def trainer(root, world_size=1, launched=False, zero=True) -> SimpleNamespace:
    """What a run asks of a Trainer."""
    strategy = SimpleNamespace(
        cluster_environment=SimpleNamespace(creates_processes_externally=launched),
        setup_environment=lambda: None,
        broadcast=lambda folder: folder or "told",
    )
    return SimpleNamespace(
        default_root_dir=str(root), world_size=world_size, strategy=strategy, is_global_zero=zero
    )


def test_a_run_never_takes_a_folder_that_exists(tmp_path):
    """Contract 7."""
    runs = [Run.claim(trainer(tmp_path), "a") for _ in range(3)]
    assert [run.folder.name for run in runs] == ["version_0", "version_1", "version_2"]
    (tmp_path / "lightning_logs" / "a" / "version_7").mkdir()
    assert Run.create(tmp_path, "a").folder.name == "version_8"


def test_two_runs_started_at_once_get_two_folders(tmp_path, monkeypatch):
    first = Run.create(tmp_path, "a")
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [])  # as seen before the other made it
    assert Run.create(tmp_path, "a").folder.name == "version_1"
    assert first.folder.name == "version_0"


def test_a_process_that_lightning_launched_joins_the_folder_of_the_main_one(tmp_path, monkeypatch):
    run = Run.claim(trainer(tmp_path, world_size=2), "a")
    monkeypatch.setattr(os, "getppid", os.getpid)
    other = Run.claim(trainer(tmp_path, world_size=2, launched=True, zero=False), "a")
    assert other.folder == run.folder
    assert len(list(run.folder.parent.iterdir())) == 1


def test_a_folder_left_over_from_another_run_is_not_believed(tmp_path):
    """Contract 7."""
    first = Run.claim(trainer(tmp_path), "a")
    second = Run.claim(trainer(tmp_path, world_size=2, launched=True), "b")
    assert second.folder != first.folder
    assert second.folder.parent.name == "b"


@pytest.mark.parametrize("way", ["dots", "link"])
def test_the_folder_is_the_real_one(tmp_path, way):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    root = tmp_path / "link" if way == "link" else tmp_path / "link" / ".." / "real"
    assert Run.create(root, "a").folder.is_relative_to(tmp_path / "real")


def test_processes_that_others_launched_are_told_the_folder(tmp_path):
    run = Run.claim(trainer(tmp_path, world_size=2, launched=True), "a")
    assert run.folder.is_dir()
    told = Run.claim(trainer(tmp_path, world_size=2, launched=True, zero=False), "a")
    assert told.folder.name == "told"
    assert len(list(run.folder.parent.iterdir())) == 1


def test_only_the_main_process_writes(tmp_path, monkeypatch):
    run = Run.create(tmp_path, "a")
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    run.write_text("config.yaml", "of rank 1")
    assert not (run.folder / "config.yaml").exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "lightning_logs").write_text("a file")
    with pytest.raises(
        InputError, match="default_root_dir: expected a folder to write into, found none"
    ):
        Run.create(tmp_path, "a")


def test_the_manifest_grows_with_the_phases(tmp_path):
    run = Run.create(tmp_path, "a")
    run.update_manifest(status="running", phases=[])
    run.add_phase({"name": "stage1"})
    run.add_phase({"name": "stage2"})
    run.update_manifest(status="finished")
    assert json.loads((run.folder / "manifest.json").read_text()) == {
        "status": "finished",
        "phases": [{"name": "stage1"}, {"name": "stage2"}],
    }


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "manifest.json"
    write_atomically(path, "old")

    def full(fd):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new and longer")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_fingerprint_sees_every_weight():
    stack = tiny_stack()
    before = fingerprint(stack)
    assert fingerprint(tiny_stack()) == before
    with torch.no_grad():
        stack[1].decoder_bias[0] += 1e-6
    assert fingerprint(stack) != before


def test_a_checkpoint_is_read_without_running_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"hyper_parameters": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match="ckpt_path: expected a checkpoint of a stack"):
        load_checkpoint(str(tmp_path / "evil.ckpt"), tiny_model())
    assert not (tmp_path / "ran").exists()
