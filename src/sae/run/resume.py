"""Which run to go on with, and whether it is still the same experiment."""

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

# Trainer options that change the weights. All others may differ when a run goes on: where it runs,
# what it logs, what it shows.
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
# The images themselves are compared, not where they lie; nor where codes are kept.
_PLACES = (
    *(f"data.init_args.{key}" for key in ("root", "fallback", "train", "test")),
    *(f"data.init_args.{key}" for key in ("train_labels", "test_labels")),
    "pretrain.cache",
)
_MOST_KEYS = 5


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a config changes the weights: dotted keys to plain values.

    Args:
        config: A resolved config, as plain values.
    """
    flat: dict[str, Any] = {"seed_everything": config["seed_everything"]}
    for group in ("model", "pretrain", "head", "finetune", "data"):
        _flatten(group, config[group], flat)
    for key in _TRAINER:
        flat[f"trainer.{key}"] = config["trainer"].get(key)
    # With checkpoints the best weights of a phase go on, without them the last.
    flat["trainer.enable_checkpointing"] = (
        config["trainer"].get("enable_checkpointing") is not False
    )
    return {key: _plain(value) for key, value in flat.items() if key not in _PLACES}


def _plain(value: Any) -> Any:
    """A value as it comes back from JSON, which knows no infinity."""
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
    """The run to go on with, held and checked.

    Args:
        resume: A run's folder, or ``auto``: the newest unfinished run of that name, of this very
            config if there is one.
        root: Where ``lightning_logs`` lies.
        name: Name of the run.
        wanted: The settings of the config; see :func:`settings`.
        data: The manifest's words on the data.

    Returns:
        The run; None where ``auto`` finds no unfinished one.

    Raises:
        InputError: There is no such run, it is finished, another process is at work on it, or the
            config or the data differ where it matters.
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
        run = run.read()  # as whoever had it last has left it
        _check_unfinished(run)
        _check_settings(run, wanted)
        _check_data(run, data)
    except InputError:
        run.release()
        raise
    _delete_left_overs(run.folder)
    return run


def _delete_left_overs(folder: Path) -> None:
    """What a killed process was writing, and codes on disk: whoever needs them computes them."""
    for left_over in folder.rglob(f".*{ASIDE}"):
        left_over.unlink()
    shutil.rmtree(folder / CODES_FOLDER, ignore_errors=True)


def changed_surroundings(run: Run, now: Mapping[str, Any]) -> str:
    """What is not as it was when a run began, and may change the last bits of its weights.

    Args:
        run: The run.
        now: What :func:`sae.run.folder.surroundings` says now.
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
    """Whether a manifest has all that is read of it: it may be an older one, or written over."""
    if not isinstance(manifest, dict) or not isinstance(manifest.get("status"), str):
        return False
    kinds = {"settings": dict, "data": dict, "surroundings": dict, "phases": list}
    if not all(isinstance(manifest.get(key), kind) for key, kind in kinds.items()):
        return False
    phases_are = all(isinstance(e, dict) and e.keys() >= ENTRIES for e in manifest["phases"])
    return phases_are and {"sha256", "description"} <= manifest["data"].keys()


def _newest_unfinished(parent: Path, wanted: Mapping[str, Any]) -> Run | None:
    """The newest with these very settings, or else with others, to be told which."""
    folders = [path for path in parent.glob("version_*") if path.name[8:].isdigit()]
    folders.sort(key=lambda path: int(path.name[8:]), reverse=True)
    runs = []
    for folder in folders:
        with suppress(InputError):  # an older one, or a damaged one, is no run to go on with
            runs.append(_read(folder))
    # A run that diverged would do so again.
    open_runs = [run for run in runs if run.manifest["status"] not in ("finished", "diverged")]
    same = [run for run in open_runs if not _differing(run.manifest["settings"], wanted)]
    return next(iter([*same, *open_runs]), None)


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    return [key for key in sorted({*a, *b}) if a.get(key) != b.get(key)]


def _check_unfinished(run: Run) -> None:
    if run.manifest["status"] == "finished":
        remedy = "leave out --resume to run it again"
        raise InputError("resume", "an unfinished run", f"{run.folder}, which is done", remedy)


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
        remedy = "name the run's own data, or leave out --resume to start a new run"
        expected = f"the images that the run began with ({begun['description']})"
        raise InputError("data", expected, f"other images ({data['description']})", remedy)
