"""One page about a run: ``report.html``, complete in itself, without downloads."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from sae.errors import InputError
from sae.files import write_atomically
from sae.pictures.gallery import captions
from sae.text import epochs, of_samples

NAME = "report.html"
# Figure of a phase's health -> heading, and format of the number.
HEALTH = {
    "dead": ("dead units", "{:.1%}"),
    "always_on": ("always on", "{:.1%}"),
    "saturated": ("saturated", "{:.1%}"),
    "activity": ("activity", "{:.3f}"),
    "rho": ("rho", "{:g}"),
    "loss_ratio": ("error / that of the mean input", "{:.3f}"),
    "stuck": ("stuck outputs", "{:.3f}"),
}


def write(folder: Path) -> Path:
    """Write the report of a run, finished or not, into its folder.

    Args:
        folder: The folder of the run: ``lightning_logs/NAME/version_N``.

    Returns:
        The path of the page.

    Raises:
        InputError: The folder is not that of a run, has damaged files, or cannot be written to.
    """
    if not (folder / "manifest.json").is_file():
        found = "one without manifest.json" if folder.is_dir() else f"none at {str(folder)!r}"
        remedy = "give a folder such as lightning_logs/stacked/version_0"
        raise InputError("run", "the folder of a run", found, remedy)
    manifest = _read_json(folder / "manifest.json")
    figures = _read_json(folder / "summary.json")
    try:
        page = _template().render(_content(folder, manifest, figures))
    except (AttributeError, KeyError, TypeError, ValueError, jinja2.TemplateError) as error:
        found = f"another ({type(error).__name__}: {error})"
        remedy = "resume the run, or report on another"
        raise InputError("run", "a manifest and a summary of this version", found, remedy) from None
    try:
        write_atomically(folder / NAME, page)
    except OSError as error:
        remedy = "make room, or copy the run to another disk"
        found = f"none ({error.strerror})"
        raise InputError("run", "a folder to write into", found, remedy) from None
    return folder / NAME


def _content(
    folder: Path, manifest: Mapping[str, Any], figures: Mapping[str, Any]
) -> dict[str, Any]:
    phases = list(manifest["phases"])
    names = [phase["name"] for phase in phases]
    if any(Path(name).name != name for name in names):
        raise ValueError("a phase that is no folder of the run")
    if "finetune" not in names and (folder / "finetune").is_dir():
        phases.append({"name": "finetune", "title": "the stack"})
    content: dict[str, Any] = {
        "name": f"{folder.resolve().parent.name}/{folder.resolve().name}",
        "status": manifest["status"],
        "data": manifest["data"]["description"],
        "rows": _rows(figures) if figures else [],
        "path": _pictures(folder, ""),
        "phases": [_phase(folder, phase) for phase in phases],
        "health": [heading for heading, _ in HEALTH.values()],
        "config": _read_text(folder / "config.yaml"),
        "surroundings": manifest["surroundings"],
    }
    words = of_samples if manifest["data"].get("samples") == "rows" else str
    content["samples"] = words("images")
    for pictures in (content["path"], *(phase["pictures"] for phase in content["phases"])):
        for picture in pictures:
            picture["caption"] = words(picture["caption"])
    return content


def _rows(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The rows of the table that the run printed."""
    network = [("network", str(figures["network"])), ("seed", str(figures["seed"]))]
    return network + [(str(label), str(value)) for label, value in figures["table"]]


def _phase(folder: Path, phase: Mapping[str, Any]) -> dict[str, Any]:
    health = phase.get("health")
    cells = None
    if health is not None:
        cells = [
            "–" if health.get(key) is None else form.format(health[key])
            for key, (_, form) in HEALTH.items()
        ]
    line = ""
    if "epochs" in phase:
        loss = (
            ""
            if phase["loss"] is None
            else f", validation {phase.get('judged_by', 'loss')} {phase['loss']:.3f} "
            f"{phase.get('unit', '')}"
        )
        line = f"{epochs(phase['epochs'])} in {phase['seconds']:.1f} s{loss}"
    return {
        "name": phase["name"],
        "title": phase["title"],
        "line": line,
        "health": cells,
        "warnings": phase.get("warnings", []),
        "pictures": _pictures(folder, phase["name"]),
    }


def _pictures(folder: Path, phase: str) -> list[dict[str, str]]:
    """The pictures of a phase, the most informative first."""
    found, known = [], captions()
    others = sorted(path.stem for path in (folder / phase).glob("*.png"))
    names = [
        *known,
        *(name for name in others if name not in known),
    ]  # pictures of the user come last
    for name in names:
        path, caption = folder / phase / f"{name}.png", known.get(name, name)
        if path.is_file():
            content = base64.b64encode(path.read_bytes()).decode()
            numbers = str(path.with_suffix(".npz").relative_to(folder))
            found.append({"name": name, "caption": caption, "png": content, "numbers": numbers})
    return found


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(_read_text(path))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        remedy = "restore the file, or report on another run"
        raise InputError(str(path), "a JSON file of a run", "a damaged one", remedy)
    return content


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _template() -> jinja2.Template:
    loader = jinja2.PackageLoader("sae.run", ".")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html")
