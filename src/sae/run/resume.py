"""Find the run to resume, and check that it is still the same experiment."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sae.errors import InputError, show
from sae.files import ASIDE
from sae.run.folder import Run, runs_folder
from sae.run.journal import ENTRIES
from sae.training.handover import CODES_FOLDER

AUTO = "auto"

# Trainer options that change the weights. All others may change in a resume: device, logging,
# display.
_TRAINER = (
    "accumulate_grad_batches",
    "callbacks",
    "check_val_every_n_epoch",
    "fast_dev_run",
    "gradient_clip_algorithm",
    "gradient_clip_val",
    "limit_train_batches",
    "limit_val_batches",
    "plugins",
    "precision",
)
# Paths are not compared, because the images themselves are; nor is the place of the codes.
_PLACES = (
    *(f"data.init_args.{key}" for key in ("root", "fallback", "train", "test")),
    *(f"data.init_args.{key}" for key in ("train_labels", "test_labels")),
    "pretrain.cache",
)
_MOST_KEYS = 5


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a config that change the weights: dotted keys to plain values.

    Args:
        config: A resolved config, as plain values.
    """
    flat: dict[str, Any] = {"seed_everything": config["seed_everything"]}
    for group in ("model", "pretrain", "head", "finetune", "data"):
        _flatten(group, config[group], flat)
    for key in _TRAINER:
        flat[f"trainer.{key}"] = config["trainer"].get(key)
    # With checkpoints the best weights of a phase are kept, without them the last.
    flat["trainer.enable_checkpointing"] = (
        config["trainer"].get("enable_checkpointing") is not False
    )
    return {key: _plain(value) for key, value in flat.items() if key not in _PLACES}


def _plain(value: Any) -> Any:
    """Return a value as JSON can store it, which has no infinity."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    finite = isinstance(value, float) and math.isfinite(value)
    return value if finite or isinstance(value, (str, int, type(None))) else repr(value)


def _flatten(key: str, value: Any, into: dict[str, Any]) -> None:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            _flatten(f"{key}.{name}", inner, into)
    else:
        into[key] = value


def open_run(
    resume: str, root: Path, name: str, wanted: Mapping[str, Any], data: Mapping[str, Any]
) -> Run | None:
    """Return the run to resume, locked and checked.

    Args:
        resume: A run's folder, or ``auto``: the newest unfinished run of that name, preferably one
            of exactly this config.
        root: Folder that contains ``lightning_logs``.
        name: Name of the run.
        wanted: Settings of the config; see :func:`settings`.
        data: Entry of the manifest about the data.

    Returns:
        The run; None if ``auto`` finds no unfinished one.

    Raises:
        InputError: There is no such run, it is finished, another process works on it, or a setting
            or the data would change the weights.
    """
    if resume != AUTO:
        run = _read(Path(resume))
    else:
        newest = _newest_unfinished(runs_folder(root, name), wanted)
        if newest is None:
            return None
        run = newest
    run.hold()
    try:
        run = run.read()  # again: another process may have changed it before the lock
        _check_unfinished(run)
        _check_settings(run, wanted)
        _check_data(run, data)
    except InputError:
        run.release()
        raise
    _delete_left_overs(run.folder)
    return run


def _delete_left_overs(folder: Path) -> None:
    """Delete unfinished files of a killed process, and codes, which are computed again."""
    for left_over in folder.rglob(f".*{ASIDE}"):
        left_over.unlink()
    shutil.rmtree(folder / CODES_FOLDER, ignore_errors=True)


def changed_surroundings(run: Run, now: Mapping[str, Any]) -> str:
    """Return what has changed since a run began and may change the last bits of its weights.

    Args:
        run: The run.
        now: Current result of :func:`sae.run.folder.surroundings`.

    Returns:
        Such as ``torch 2.11 → 2.12, threads 1 → 2``; empty if nothing has changed.
    """
    then = run.manifest.get("surroundings", {})
    return ", ".join(
        f"{key} {then[key]} → {now[key]}" for key in now if then.get(key, now[key]) != now[key]
    )


def _read(folder: Path) -> Run:
    path = folder / "manifest.json"
    if not path.is_file():
        remedy = "name one, or write auto for the newest unfinished run of this config"
        found = f"no manifest.json in {show(str(folder))}"
        raise InputError("resume", "the folder of a run", found, remedy)
    run = Run(folder.resolve()).read()
    if not _is_complete(run.manifest):
        remedy = "start a new run without --resume"
        raise InputError(str(path), "the manifest of a run", "one that lacks entries", remedy)
    return run


def _is_complete(manifest: Any) -> bool:
    """Return whether a manifest has all needed entries; an older or edited one may not."""
    if not isinstance(manifest, dict) or not isinstance(manifest.get("status"), str):
        return False
    kinds = {"settings": dict, "data": dict, "surroundings": dict, "phases": list}
    if not all(isinstance(manifest.get(key), kind) for key, kind in kinds.items()):
        return False
    phases_are = all(isinstance(e, dict) and e.keys() >= ENTRIES for e in manifest["phases"])
    return phases_are and {"sha256", "description"} <= manifest["data"].keys()


def _newest_unfinished(parent: Path, wanted: Mapping[str, Any]) -> Run | None:
    """Return the newest unfinished run with these settings, else the newest with others."""
    folders = [path for path in parent.glob("version_*") if path.name[8:].isdigit()]
    folders.sort(key=lambda path: int(path.name[8:]), reverse=True)
    runs = []
    for folder in folders:
        with suppress(InputError):  # an old or damaged run cannot be resumed
            runs.append(_read(folder))
    # A run that diverged would diverge again.
    open_runs = [run for run in runs if run.manifest["status"] not in ("finished", "diverged")]
    same = [run for run in open_runs if not _differing(run.manifest["settings"], wanted)]
    return next(iter([*same, *open_runs]), None)


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    return [key for key in sorted({*a, *b}) if a.get(key) != b.get(key)]


def _check_unfinished(run: Run) -> None:
    if run.manifest["status"] == "finished":
        remedy = "leave out --resume to run it again"
        raise InputError("resume", "an unfinished run", f"{run.folder}, which is finished", remedy)


def _check_settings(run: Run, wanted: Mapping[str, Any]) -> None:
    begun = run.manifest["settings"]
    keys = _differing(begun, wanted)
    if not keys:
        return
    named, more = keys[:_MOST_KEYS], len(keys) - _MOST_KEYS
    rest = f" and {more} more" if more > 0 else ""
    raise InputError(
        ", ".join(named),
        ", ".join(show(begun.get(key)) for key in named) + f"{rest}, as the run began with",
        ", ".join(show(wanted.get(key)) for key in named),
        "change it back, or leave out --resume to start a new run",
    )


def _check_data(run: Run, data: Mapping[str, Any]) -> None:
    begun = run.manifest["data"]
    if begun["sha256"] != data["sha256"]:
        remedy = "use the run's own data, or leave out --resume to start a new run"
        expected = f"the images that the run began with ({begun['description']})"
        raise InputError("data", expected, f"other images ({data['description']})", remedy)
