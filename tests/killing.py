"""Runs as processes that are killed, and gone on with, until they are done.

The processes are forks of this one, with all libraries loaded already: a run starts in no time, so
that a kill falls into the training, not into the imports.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sae.callbacks.metrics_csv import MetricsCSV
from sae.run.checkpoint_io import read_weights

# Of an outcome: those that are compared piece by piece.
PARTS = ("weights", "curves", "images", "files")
# When to kill: called in the run's process before it starts; it arranges for a SIGKILL.
Plan = Callable[[], None]


def kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run(args: list[str], folder: Path, plan: Plan | None = None, after: float | None = None) -> int:
    """Run the command line as a process of its own; its exit status, negative for a signal.

    Args:
        args: Its words.
        folder: Where it works.
        plan: Arranges in the process for its death.
        after: Seconds after which it is killed from outside.
    """
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _child(args, folder, plan)
    if after is not None:
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _child(args: list[str], folder: Path, plan: Plan | None) -> None:
    from sae.cli.command import main

    code = 99
    try:
        folder.mkdir(exist_ok=True)
        os.chdir(folder)
        for name, number in (("out.txt", 1), ("err.txt", 2)):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        if plan is not None:
            plan()
        main(args)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def at_call(
    owner: object, name: str, count: int, before: Callable[..., None] | None = None
) -> Plan:
    """Kill at the ``count``-th call of ``owner.name``, having called ``before`` like it."""

    def plan() -> None:
        original, calls = getattr(owner, name), [0]

        def counted(*args, **kwargs):
            calls[0] += 1
            if calls[0] == count:
                if before is not None:
                    before(*args, **kwargs)
                kill_me()
            return original(*args, **kwargs)

        setattr(owner, name, counted)

    return plan


def while_writing(name: str, count: int, done: bool = False) -> Plan:
    """Kill while a file of that name is written for the ``count``-th time.

    Args:
        name: Of the file.
        count: Which time.
        done: Just after it is in its place; else when half of it is written aside.
    """

    def plan() -> None:
        original, calls = os.replace, [0]

        def counted(source, target):
            calls[0] += Path(target).name == name
            if calls[0] == count and Path(target).name == name:
                if done:
                    original(source, target)
                else:
                    os.truncate(source, os.path.getsize(source) // 2)
                kill_me()
            original(source, target)

        os.replace = counted

    return plan


def half_a_row(self: MetricsCSV, *args: object) -> None:
    """What is left when a process dies while it writes a row."""
    with self.path.open("a") as file:
        file.write("stage1,0,")


def outcome(folder: Path) -> dict:
    """All that must be equal: weights and pictures bit for bit, metrics, curves, figures."""
    manifest = json.loads((folder / "manifest.json").read_text())
    phases = [phase["name"] for phase in manifest["phases"]]
    curves, images = {}, {}
    for phase in ("", *phases):
        board = EventAccumulator(str(folder / phase)).Reload()
        for tag in board.Tags()["scalars"]:
            curves[tag] = [(event.step, event.value) for event in board.Scalars(tag)]
        for tag in board.Tags()["images"]:
            images[tag] = [event.step for event in board.Images(tag)]
    weights = {phase: read_weights(folder / phase / "weights.safetensors") for phase in phases}
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        "status": manifest["status"],
        "phases": [(entry["name"], entry["epochs"], entry["loss"]) for entry in manifest["phases"]],
        "hashes": [entry["weights_sha256"] for entry in manifest["phases"]],
        "weights": {
            f"{phase}.{name}": tensor.numpy().tobytes()
            for phase, tensors in weights.items()
            for name, tensor in tensors.items()
        },
        "rows": rows,
        "config": (folder / "config.yaml").read_text(),
        "curves": curves,
        "images": images,
        "files": {
            str(path.relative_to(folder)): path.read_bytes()
            for kind in ("*.png", "*.csv")
            for path in (*folder.glob(kind), *(p for f in phases for p in (folder / f).glob(kind)))
        },
        "test": json.loads((folder / "summary.json").read_text())["test"],
    }


def differences(a: dict, b: dict) -> list[str]:
    """Which parts of two outcomes differ."""
    found = [key for key in a if key not in PARTS and a[key] != b[key]]
    for key in PARTS:
        found += [name for name in {*a[key], *b[key]} if a[key].get(name) != b[key].get(name)]
    return found


def where(folder: Path) -> str:
    """In what phase a dead run is: for the count of what was hit."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except FileNotFoundError:
        return "before the manifest"
    done = [phase["name"] for phase in manifest["phases"]]
    phases = ("stage1", "stage2", "finetune")
    phase = next((name for name in phases if name not in done), "evaluation")
    if phase == "evaluation":
        return phase
    last = folder / phase / "checkpoints" / "last.ckpt"
    return f"{phase}, {'after' if last.exists() else 'before'} a checkpoint"
