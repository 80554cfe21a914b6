"""A run's folder: where it lies, what is done, and files that are whole or not there at all.

lightning_logs/<name>/version_N/
  config.yaml  manifest.json  metrics.csv  summary.json
  stage1/ stage2/ … finetune/     event files, checkpoints, pictures
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from sae.errors import InputError, show

# Processes that Lightning launches for DDP run the same script: they find the folder here.
_FOLDER_VARIABLE = "SAE_RUN_FOLDER"


class Run:
    """The folder of one run. Writing is left to the process of rank zero.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._manifest: dict[str, Any] = {}

    @classmethod
    def claim(cls, trainer: Trainer, name: str) -> Run:
        """A new folder for a run of this name, the same one for all its processes.

        The main process makes it. Processes that Lightning launches run the same script and find
        it in their environment; those that torchrun or a cluster launched are told.

        Args:
            trainer: A Trainer of the run; ``default_root_dir`` is where ``lightning_logs`` lies.
            name: Name of the run.

        Raises:
            InputError: The folder cannot be made.
        """
        root = Path(trainer.default_root_dir)
        environment: Any = getattr(trainer.strategy, "cluster_environment", None)
        launched = trainer.world_size > 1 and environment.creates_processes_externally
        if not launched:
            run = cls.create(root, name)
            os.environ[_FOLDER_VARIABLE] = f"{os.getpid()} {run.folder}"
            return run
        # Believed from our own parent alone: a leftover of another run would lead into its folder.
        parent, _, told = os.environ.get(_FOLDER_VARIABLE, "").partition(" ")
        if parent == str(os.getppid()):
            return cls(Path(told))
        trainer.strategy.setup_environment()
        folder = str(cls.create(root, name).folder) if trainer.is_global_zero else ""
        return cls(Path(trainer.strategy.broadcast(folder)))

    @classmethod
    def create(cls, root: Path, name: str) -> Run:
        """A new folder ``root/lightning_logs/name/version_N``, with N above all others.

        A folder that exists is never taken over: two runs started at once get two folders.

        Raises:
            InputError: The folder cannot be made.
        """
        parent = (root / "lightning_logs" / name).resolve()  # as ModelCheckpoint does
        return cls(new_version(parent))

    @property
    def name(self) -> str:
        """Name of the run: its folder holds all runs of that name."""
        return self.folder.parent.name

    def phase_folder(self, phase: str) -> Path:
        """Where a phase keeps its event files, checkpoints and pictures."""
        return self.folder / phase

    @rank_zero_only
    def write_text(self, name: str, text: str) -> None:
        """Write a file aside, then rename it: a reader sees the old one or the new one, whole."""
        write_atomically(self.folder / name, text)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file; see :meth:`write_text`."""
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        self.write_text(name, text + "\n")

    def update_manifest(self, **entries: Any) -> None:
        """Set entries of ``manifest.json`` and write it."""
        self._manifest.update(entries)
        self.write_json("manifest.json", self._manifest)

    def add_phase(self, entry: Mapping[str, Any]) -> None:
        """Note a finished phase in ``manifest.json``."""
        self.update_manifest(phases=[*self._manifest.get("phases", []), dict(entry)])


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as a whole or not at all."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def new_version(parent: Path) -> Path:
    """Make and return the next free folder ``version_N``; never one that exists.

    Raises:
        InputError: It cannot be made.
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


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    packages = ("sae", "torch", "torchvision", "lightning", "torchmetrics", "scikit-learn")
    found = {package: importlib.metadata.version(package) for package in packages}
    return {"python": platform.python_version(), **found}


def fingerprint(module: nn.Module) -> str:
    """SHA-256 of all tensors of a module, with their names."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def load_checkpoint(path: str | None, model: nn.Module) -> str:
    """Make sure that ``path`` is a checkpoint whose weights fit ``model``, and give it back.

    Nothing but tensors and plain values is read from it: a file that would run code is refused.

    Raises:
        InputError: No path, no such file, no checkpoint, or one of another network.
    """
    remedy = "name finetune/checkpoints/best.ckpt of a run, with that run's config.yaml"
    if path is None:
        raise InputError("ckpt_path", "the checkpoint of a finished run", "none", remedy)
    if not os.path.isfile(path):  # False for a path too long, too
        raise InputError("ckpt_path", "a file", f"none at {show(path)}", remedy)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = {name: tuple(tensor.shape) for name, tensor in content["state_dict"].items()}
        complete = {"hyper_parameters", "pytorch-lightning_version"} <= content.keys()
    except Exception:  # a damaged file can raise nearly anything
        found, complete = {}, False
    if not complete:
        found_text = f"something else or a damaged one in {show(path)}"
        raise InputError("ckpt_path", "a checkpoint of a stack", found_text, remedy) from None
    model.on_load_checkpoint(content)  # type: ignore[operator]  # names what differs
    if found != {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}:
        raise InputError("ckpt_path", "the weights of this network", "those of another", remedy)
    return path


def check_same_data(checkpoint: str, data_name: str) -> None:
    """Refuse figures on other data than those of the run that wrote the checkpoint.

    Raises:
        InputError: The manifest beside the checkpoint names other data.
    """
    manifest = Path(checkpoint).resolve().parent / "../../manifest.json"
    try:
        trained_on = json.loads(manifest.read_text(encoding="utf-8"))["data"]["name"]
    except (OSError, ValueError, LookupError, TypeError):  # a checkpoint moved elsewhere
        return
    if trained_on != data_name:
        remedy = "name the folder of the run's data with --data.root or $SAE_DATA"
        raise InputError("data", f"{trained_on}, which the run trained on", data_name, remedy)
