"""Export a run: write a temporary file, compare it with the run, and rename it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae import kinds
from sae.errors import InputError, show
from sae.export.compared import samples_of
from sae.export.formats.format import ROOM, Export, Format
from sae.export.parity import Parity, compare
from sae.export.part import Part, part_of, whole
from sae.export.trained import Trained, read_trained
from sae.files import ASIDE
from sae.run import hub_folder

ABOUT_VERSION = 1


@dataclass(frozen=True)
class Written:
    """The result of an export.

    Attributes:
        path: The file or folder.
        parity: The difference between the file and the run.
        samples: Description of the samples on which it was measured.
    """

    path: Path
    parity: Parity
    samples: str


def export_run(
    folder: Path,
    format: str = "onnx",
    what: str | None = None,
    output: Path | None = None,
    overwrite: bool = False,
) -> Written:
    """Export a finished run.

    Args:
        folder: The folder of a run, or a hub folder.
        format: ``onnx``, ``pt2``, ``safetensors`` or ``hub``, or the import path of a class.
        what: ``encoder``, ``decoder``, ``autoencoder`` or ``classifier``; None is the encoder, or
            the whole run for ``hub``.
        output: The file or folder to write; None for one in the folder of the run.
        overwrite: Whether an earlier export may be replaced.

    Returns:
        The file or folder, and how much it differs from the run.

    Raises:
        InputError: An option or the run does not fit, a package is missing, the format cannot hold
            the network, or the file differs from the run. Then no file remains.
    """
    kind = kinds.find(format, ROOM, Format, "format")
    kind.check_installed()
    run = read_trained(folder)
    if kind.whole and what is not None:
        remedy = "leave --what out, or choose another format"
        expected = f"none for {format}, which holds the whole run"
        raise InputError("what", expected, show(what), remedy)
    what = what or (whole(run) if kind.whole else "encoder")
    part = part_of(run, what)
    default = folder / (f"{what}{kind.suffix}" if kind.suffix else format)
    path = _checked(output or default, kind, overwrite)
    export = Export(run, what, part, about(run, what, part))
    aside = path.with_name(f".{path.name}-{os.getpid()}{ASIDE}")
    try:
        written = kind()
        written.write(export, aside)
        samples, words = samples_of(run)
        inputs = part.inputs(samples)
        parity = compare(part, inputs, written.outputs(export, aside, inputs))
        _put(aside, path)
    except OSError as error:
        found = f"none ({error.strerror})"
        remedy = "free some space, or choose another folder with --output"
        raise InputError("output", "space to write", found, remedy) from None
    finally:
        _delete(aside)
    return Written(path, parity, words)


def about(run: Trained, what: str, part: Part) -> dict[str, Any]:
    """The metadata of a file as plain values, without paths or facts about the machine.

    Args:
        run: The run.
        what: Name of the part.
        part: The part.
    """
    name = run.manifest["name"]
    versions = {package: importlib.metadata.version(package) for package in ("sae", "torch")}
    return {
        "about_version": ABOUT_VERSION,
        "title": f"{name}: {what} of {run.summary['network']}",
        "run": name,
        "what": what,
        "network": run.summary["network"],
        "code_size": run.stack.n_code,
        "data": run.manifest["data"]["description"],
        "image_shape": list(run.image_shape),
        "columns": run.columns,
        "input": part.given.about(),
        "outputs": [field.about() for field in part.gives],
        "classes": list(run.class_names),
        "figures": {key: run.summary[key] for key in ("val", "test")},
        "seed": run.summary["seed"],
        "versions": versions,
    }


def _checked(path: Path, kind: type[Format], overwrite: bool) -> Path:
    """Check that a path can be written, and return it.

    Raises:
        InputError: The suffix is wrong, the folder is missing, or the path exists.
    """
    if path.suffix != kind.suffix and kind.suffix:
        found, remedy = show(str(path)), f"choose a name such as encoder{kind.suffix}"
        raise InputError("output", f"a name that ends in {kind.suffix}", found, remedy)
    if not path.parent.is_dir():
        expected, found = "an existing folder", show(str(path.parent))
        raise InputError("output", expected, found, "create it")
    if path.exists() and not overwrite:
        remedy = "choose another name with --output, or add --overwrite true"
        raise InputError("output", "a new name", f"{show(str(path))}, which exists", remedy)
    ours = path.is_dir() and hub_folder.is_hub(path) and not kind.suffix
    if path.exists() and not (path.is_file() and kind.suffix) and not ours:
        remedy = "choose another name with --output"
        raise InputError("output", "an earlier export to replace", show(str(path)), remedy)
    return path


def _put(aside: Path, path: Path) -> None:
    """Rename the temporary file or folder to its final name."""
    if path.is_dir():
        old = path.with_name(f".{path.name}-{os.getpid()}-old{ASIDE}")
        path.rename(old)
        aside.rename(path)
        shutil.rmtree(old)
    else:
        with aside.open("rb") if aside.is_file() else os.scandir(aside) as file:
            if aside.is_file():
                os.fsync(file.fileno())  # type: ignore[union-attr]
        os.replace(aside, path)


def _delete(aside: Path) -> None:
    if aside.is_dir():
        shutil.rmtree(aside)
    else:
        aside.unlink(missing_ok=True)
