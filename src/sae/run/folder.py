"""A run's folder: where it is, which process works on it, and its manifest.

lightning_logs/<name>/version_N/
  config.yaml  manifest.json  metrics.csv  summary.json
  stage1/ stage2/ … finetune/     event files, checkpoints, pictures
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_only

from sae.devices import about
from sae.errors import InputError
from sae.files import write_atomically
from sae.run.nodes import check_shared, check_started

# Processes that Lightning launches for DDP run the same script: they find the folder here.
_FOLDER_VARIABLE = "SAE_RUN_FOLDER"


class Run:
    """The folder of one run. Only the process of rank zero writes to it.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = {}
        self._is_new = False
        self._lock = FileLock(folder / ".lock")

    @classmethod
    def claim(cls, trainer: Trainer, make: Callable[[], Run]) -> Run:
        """Return the run that the main process creates or opens; the same for all its processes.

        The main process calls ``make``. Processes that Lightning starts run the same script and
        find the folder in their environment; to those started by torchrun or a cluster, the main
        process sends it.

        Args:
            trainer: A Trainer of the run.
            make: Creates a new run, or opens one to resume.

        Raises:
            InputError: The number of processes is not the one that the Trainer is set up for, or
                some processes do not see the folder.
        """
        check_started(trainer)
        environment: Any = getattr(trainer.strategy, "cluster_environment", None)
        launched = trainer.world_size > 1 and environment.creates_processes_externally
        if not launched:
            run = make()
            os.environ[_FOLDER_VARIABLE] = f"{os.getpid()} {run.folder}"
            return run
        # Only accepted from our own parent: an old value would lead to the folder of another run.
        parent, _, told = os.environ.get(_FOLDER_VARIABLE, "").partition(" ")
        if parent == str(os.getppid()):
            return cls(Path(told)).read()
        trainer.strategy.setup_environment()
        return cls._told(trainer, make)

    @classmethod
    def _told(cls, trainer: Trainer, make: Callable[[], Run]) -> Run:
        """Return the run, created by the main process and sent to the others."""
        made: Run | None = None
        try:
            made = make() if trainer.is_global_zero else None
        except Exception:
            trainer.strategy.broadcast("")  # the other processes wait for it
            raise
        told = trainer.strategy.broadcast("" if made is None else str(made.folder))
        if not told:
            sys.exit(2)  # the main process says why
        run = made or cls(Path(told)).read()
        try:
            check_shared(run.folder)
        except InputError:
            run.discard()
            raise
        return run

    @classmethod
    def create(cls, root: Path, name: str) -> Run:
        """Create and lock a new folder ``root/lightning_logs/name/version_N``, with the highest N.

        An existing folder is never used: two runs that start at the same time get two folders.

        Raises:
            InputError: The folder cannot be created.
        """
        run = cls(new_version(runs_folder(root, name)))
        run._is_new = True
        run.hold()
        return run

    def read(self) -> Run:
        """Read the manifest, if there is one, and return the run.

        Raises:
            InputError: The manifest is damaged.
        """
        path = self.folder / "manifest.json"
        if path.exists():
            try:
                self.manifest = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                remedy = "start a new run without --resume"
                raise InputError(str(path), "a manifest", "a damaged one", remedy) from None
        return self

    def hold(self) -> None:
        """Lock this folder against other processes, until :meth:`release` or the process ends.

        Raises:
            InputError: Another process has locked it.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            who = self.read().manifest.get("process", {})
            found = f"process {who.get('pid', '?')} on {who.get('host', '?')}, which works on it"
            remedy = "wait for it, or stop it first"
            raise InputError(str(self.folder), "a run that is not active", found, remedy) from None

    def release(self) -> None:
        """Unlock the folder."""
        self._lock.release()

    def discard(self) -> None:
        """Delete the folder, if this process created it."""
        if self._is_new:
            self.release()
            shutil.rmtree(self.folder)
            for parent in (self.folder.parent, self.folder.parent.parent):
                with suppress(OSError):  # other runs lie there
                    parent.rmdir()

    def discard_if_untouched(self) -> None:
        """Delete the folder, if this process created it and no phase has begun."""
        if self._is_new and not any(path.is_dir() for path in self.folder.iterdir()):
            self.discard()

    @property
    def name(self) -> str:
        """Name of the run: its folder holds all runs of that name."""
        return self.folder.parent.name

    def phase_folder(self, phase: str) -> Path:
        """Return the folder of a phase's event files, checkpoints and pictures."""
        return self.folder / phase

    @rank_zero_only
    def write_text(self, name: str, text: str) -> None:
        """Write a text file, completely or not at all."""
        write_atomically(self.folder / name, text)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file, completely or not at all."""
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        self.write_text(name, text + "\n")

    def update_manifest(self, **entries: Any) -> None:
        """Set entries of ``manifest.json`` and write it."""
        self.manifest.update(entries)
        self.write_json("manifest.json", self.manifest)


def runs_folder(root: Path, name: str) -> Path:
    """Return the folder of all runs of a name, as a real path, as ModelCheckpoint uses it."""
    return (root / "lightning_logs" / name).resolve()


def new_version(parent: Path) -> Path:
    """Create and return the next free folder ``version_N``; never an existing one.

    Raises:
        InputError: The folder cannot be created.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return _next_version(parent)
    except OSError as error:
        found = f"none at {str(parent)!r} ({error.strerror})"
        key, remedy = "trainer.default_root_dir", "choose another folder"
        raise InputError(key, "a folder to write into", found, remedy) from None


def _next_version(parent: Path) -> Path:
    taken = [p.name.removeprefix("version_") for p in parent.glob("version_*")]
    number = max((int(n) for n in taken if n.isdigit()), default=-1) + 1
    while True:
        folder = parent / f"version_{number}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def this_process() -> dict[str, str | int]:
    """Return process id and host, to say who works on a run."""
    return {"pid": os.getpid(), "host": platform.node()}


def surroundings(trainer: Trainer) -> dict[str, str | int]:
    """Return what else changes the numbers: versions, device, threads, processes."""
    packages = ("sae", "torch", "torchvision", "lightning", "torchmetrics", "scikit-learn")
    device = trainer.strategy.root_device
    found = {package: importlib.metadata.version(package) for package in packages}
    return {
        "python": platform.python_version(),
        **found,
        "device": device.type,
        **about(device),
        "threads": torch.get_num_threads(),
        "processes": trainer.world_size,
    }
