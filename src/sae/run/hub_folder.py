"""A run as a folder for a hub of models: what it holds, and how it is read again.

README.md  config.json  model.safetensors  preparation.safetensors

``config.json`` has what a run's folder has in ``manifest.json``, ``config.yaml`` and
``summary.json``, as far as it is about the model: no paths, and nothing of the machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sae.errors import InputError, show

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
LIBRARY = "sae"
# Of the manifest and the summary, what is about the model.
_MANIFEST = ("status", "name")
_OF_DATA = (
    *("name", "description", "image_shape", "class_names", "columns", "labels"),
    *("train", "val", "test"),
)
# Of the options of the data, those that say how other samples are read.
_READING = ("id", "bits", "crop")
_SUMMARY = ("network", "sizes", "seed", "code_size", "val", "test", "table", "data_description")


def is_hub(folder: Path) -> bool:
    """Whether a folder is one for a hub, and no run's."""
    return (folder / CONFIG).is_file() and not (folder / "manifest.json").exists()


def weights_path(folder: Path) -> Path:
    """Where the weights of a run lie, in its own folder or in one for a hub."""
    return folder / WEIGHTS if is_hub(folder) else folder / "finetune" / "weights.safetensors"


def config_json(
    manifest: Mapping[str, Any],
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    versions: Mapping[str, str],
) -> str:
    """The text of ``config.json``.

    Args:
        manifest: ``manifest.json`` of the run.
        config: ``config.yaml``.
        summary: ``summary.json``.
        versions: Of the packages that wrote the folder.
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
    """What a run's folder has in the file of that name.

    Args:
        folder: One for a hub.
        name: ``manifest.json``, ``config.yaml`` or ``summary.json``.

    Raises:
        InputError: ``config.json`` is damaged, or of another library.
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
