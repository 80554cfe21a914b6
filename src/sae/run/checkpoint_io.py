"""Weights on disk: written completely or not at all, and read without running any code."""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor, nn

from sae.errors import InputError, show
from sae.files import write_atomically


class WholeFileIO(TorchCheckpointIO):
    """Writes Lightning's checkpoints by :func:`write_atomically`.

    Lightning itself uses the system's folder for temporary files; moving a file from there to
    another disk is not atomic. The first checkpoint is read back, because one that holds more than
    tensors and plain values can be written, but would be refused when it is loaded.
    """

    _first = True

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write ``checkpoint`` to ``path``.

        Raises:
            InputError: A callback's state holds more than tensors and plain values.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())
        if self._first:
            self._first = False
            try:
                read_checkpoint(Path(path))
            except UnreadableError as error:
                expected = "callbacks whose state is tensors and plain values"
                remedy = "change the callback's state_dict, or leave the callback out"
                raise InputError("trainer.callbacks", expected, str(error), remedy) from None


class UnreadableError(Exception):
    """A file of weights is missing, damaged, something else, or would run code."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a Lightning checkpoint; only tensors and plain values are allowed.

    Raises:
        UnreadableError: The file is damaged, is something else, or would run code when read.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # the error below says what is wrong
            content = torch.load(path, map_location="cpu", weights_only=True)
        with zipfile.ZipFile(path) as archive:  # torch writes checksums, but does not read them
            whole = archive.testzip() is None
        if not whole or not isinstance(content["state_dict"], Mapping):
            raise ValueError
    except FileNotFoundError:
        raise UnreadableError("not there") from None
    except Exception:  # a damaged file can raise nearly anything
        raise UnreadableError(_what_is_wrong(path)) from None
    return content


def _what_is_wrong(path: Path) -> str:
    try:
        code = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except Exception:  # not even the archive that torch writes
        is_pickle = path.read_bytes()[:1] == b"\x80"
        code = ["a bare pickle"] if is_pickle else []
    if code:
        return f"one that would run code when it is read ({', '.join(code)}; it was not run)"
    return "something else or a damaged one"


def write_weights(path: Path, net: nn.Module, about: Mapping[str, str]) -> None:
    """Write the tensors of ``net`` as safetensors; equal weights give identical files.

    ``about`` is stored as JSON under a single key of the metadata, because safetensors writes
    several keys in an order that changes from file to file.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in net.state_dict().items()}
    metadata = {"about": json.dumps(about, sort_keys=True)}
    write_atomically(path, safetensors.torch.save(tensors, metadata=metadata))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises:
        UnreadableError: The file is damaged or not there.
    """
    try:
        return safetensors.torch.load(path.read_bytes())
    except FileNotFoundError:
        raise UnreadableError("not there") from None
    except (safetensors.SafetensorError, KeyError, ValueError):
        raise UnreadableError("damaged") from None


def fingerprint(module: nn.Module) -> str:
    """Return the SHA-256 of all tensors of a module, with their names."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


_NAME_ONE = "name finetune/checkpoints/best.ckpt of a run, with that run's config.yaml"


def check_is_file(path: str | None) -> str:
    """Return ``path``; raise :class:`InputError` if it is None or not a file."""
    if path is None:
        raise InputError("ckpt_path", "the checkpoint of a finished run", "none", _NAME_ONE)
    if not os.path.isfile(path):  # also False for a path that is too long
        raise InputError("ckpt_path", "a file", f"none at {show(path)}", _NAME_ONE)
    return path


def load_checkpoint(path: str | None, model: nn.Module) -> str:
    """Check that ``path`` is a checkpoint whose weights fit ``model``, and return ``path``.

    Only tensors and plain values are read: a file that would run code is refused.

    Raises:
        InputError: ``path`` is None, is not a checkpoint, or is a checkpoint of another network.
    """
    path, remedy = check_is_file(path), _NAME_ONE
    expected = "a checkpoint of a stack"
    try:
        content = read_checkpoint(Path(path))
        if not {"hyper_parameters", "pytorch-lightning_version"} <= content.keys():
            raise UnreadableError("something else")
        found = {name: tuple(tensor.shape) for name, tensor in content["state_dict"].items()}
    except (UnreadableError, AttributeError) as error:
        reason = str(error) if isinstance(error, UnreadableError) else "a damaged one"
        raise InputError("ckpt_path", expected, f"{reason} in {show(path)}", remedy) from None
    model.on_load_checkpoint(content)  # type: ignore[operator]  # names what differs
    if found != {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}:
        raise InputError("ckpt_path", "the weights of this network", "those of another", remedy)
    return path


def check_same_data(checkpoint: str, data_name: str) -> None:
    """Check that the data are those of the run that wrote the checkpoint.

    Args:
        checkpoint: The file.
        data_name: Name of the data.

    Raises:
        InputError: The manifest of the checkpoint's run names other data.
    """
    manifest = Path(checkpoint).resolve().parent / "../../manifest.json"
    try:
        trained_on = json.loads(manifest.read_text(encoding="utf-8"))["data"]["name"]
    except (OSError, ValueError, LookupError, TypeError):  # a checkpoint moved elsewhere
        return
    if trained_on != data_name:
        remedy = "use the run's own data: its config.yaml says where they are"
        raise InputError("data", f"{trained_on}, which the run trained on", data_name, remedy)
