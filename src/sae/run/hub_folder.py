"""A run exported as a folder for a model hub: how it is written and read.

README.md  config.json  model.safetensors  preparation.safetensors

``config.json`` holds what ``manifest.json``, ``config.yaml`` and ``summary.json`` of a run say
about the model. It has no paths and nothing about the machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sae.errors import InputError, show

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
LIBRARY = "sae"
# Entries of the manifest and the summary that are about the model.
_MANIFEST = ("status", "name")
_OF_DATA = (
    *("name", "description", "image_shape", "class_names", "columns", "labels"),
    *("train", "val", "test"),
)
# Options of the data that say how to read new samples.
_READING = ("id", "bits", "crop")
_SUMMARY = ("network", "sizes", "seed", "code_size", "val", "test", "table", "data_description")


def is_hub(folder: Path) -> bool:
    """Return whether a folder was exported for a hub, and is not a run's own folder."""
    return (folder / CONFIG).is_file() and not (folder / "manifest.json").exists()


def weights_path(folder: Path) -> Path:
    """Return the file of a run's weights, in its own folder or in one for a hub."""
    return folder / WEIGHTS if is_hub(folder) else folder / "finetune" / "weights.safetensors"


def config_json(
    manifest: Mapping[str, Any],
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    versions: Mapping[str, str],
) -> str:
    """Return the text of ``config.json``.

    Args:
        manifest: ``manifest.json`` of the run.
        config: ``config.yaml``.
        summary: ``summary.json``.
        versions: Versions of the packages that write the folder.
    """
    data = {key: manifest["data"][key] for key in _OF_DATA if key in manifest["data"]}
    options = (config.get("data") or {}).get("init_args") or {}
    content = {
        "library_name": LIBRARY,
        "versions": versions,
        "model": config["model"],
        "reading": {key: options[key] for key in _READING if key in options},
        "corruption": (config.get("finetune") or {}).get("corruption"),
        "manifest": {**{key: manifest[key] for key in _MANIFEST if key in manifest}, "data": data},
        "summary": {key: summary[key] for key in _SUMMARY if key in summary},
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def mapping(folder: Path, name: str) -> dict[str, Any]:
    """Return what a run's own folder has in the file ``name``.

    Args:
        folder: A folder for a hub.
        name: ``manifest.json``, ``config.yaml`` or ``summary.json``.

    Raises:
        InputError: ``config.json`` is damaged, or was written by another library.
    """
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if content["library_name"] != LIBRARY:
            raise ValueError
        model, manifest, summary = (dict(content[k]) for k in ("model", "manifest", "summary"))
    except (OSError, ValueError, KeyError, TypeError):
        remedy = "download or export it again"
        expected = f"a {CONFIG} that sae has written in {show(str(folder))}"
        raise InputError("run", expected, "something else, or a damaged one", remedy) from None
    config = {
        "model": model,
        "finetune": {"corruption": content.get("corruption")},
        "data": {"init_args": content.get("reading") or {}},
    }
    return {"manifest.json": manifest, "config.yaml": config, "summary.json": summary}[name]
