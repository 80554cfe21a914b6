from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from lightning.pytorch.utilities import rank_zero_only

from sae.errors import InputError
from sae.run.folder import Run


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


def claim(root, name="a", **kwargs) -> Run:
    return Run.claim(trainer(root, **kwargs), lambda: Run.create(root, name))


def test_a_run_never_takes_a_folder_that_exists(tmp_path):
    """Contract 7."""
    runs = [claim(tmp_path) for _ in range(3)]
    assert [run.folder.name for run in runs] == ["version_0", "version_1", "version_2"]
    (tmp_path / "lightning_logs" / "a" / "version_7").mkdir()
    assert Run.create(tmp_path, "a").folder.name == "version_8"


def test_two_runs_started_at_once_get_two_folders(tmp_path, monkeypatch):
    first = Run.create(tmp_path, "a")
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [])  # as seen before the other made it
    assert Run.create(tmp_path, "a").folder.name == "version_1"
    assert first.folder.name == "version_0"


def test_a_process_that_lightning_launched_joins_the_folder_of_the_main_one(tmp_path, monkeypatch):
    run = claim(tmp_path, world_size=2)
    monkeypatch.setattr(os, "getppid", os.getpid)
    other = claim(tmp_path, world_size=2, launched=True, zero=False)
    assert other.folder == run.folder
    assert len(list(run.folder.parent.iterdir())) == 1


def test_a_folder_left_over_from_another_run_is_not_believed(tmp_path):
    """Contract 7."""
    first = claim(tmp_path)
    second = claim(tmp_path, "b", world_size=2, launched=True)
    assert second.folder != first.folder
    assert second.folder.parent.name == "b"


@pytest.mark.parametrize("way", ["dots", "link"])
def test_the_folder_is_the_real_one(tmp_path, way):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    root = tmp_path / "link" if way == "link" else tmp_path / "link" / ".." / "real"
    assert Run.create(root, "a").folder.is_relative_to(tmp_path / "real")


def test_processes_that_others_launched_are_told_the_folder(tmp_path):
    run = claim(tmp_path, world_size=2, launched=True)
    assert run.folder.is_dir()
    told = claim(tmp_path, world_size=2, launched=True, zero=False)
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


def test_the_manifest_keeps_what_is_not_said_anew(tmp_path):
    run = Run.create(tmp_path, "a")
    run.update_manifest(status="running", phases=[])
    run.update_manifest(status="finished")
    assert Run(run.folder).read().manifest == {"status": "finished", "phases": []}


def test_a_run_is_held_by_one_process_at_a_time(tmp_path):
    run = Run.create(tmp_path, "a")
    run.update_manifest(process={"pid": 7, "host": "here"})
    with pytest.raises(InputError, match="found process 7 on here, which works on it"):
        Run(run.folder).hold()
    run.release()
    Run(run.folder).hold()
