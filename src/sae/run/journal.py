"""What a run has done, phase by phase, and what of it still holds when it goes on.

A phase holds if it started from the very weights that are there now, and if its own weights are
those that the manifest names. From the first phase on that does not, all are trained: a phase that
was broken off from its last checkpoint, the others from the start.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from sae.run import summary
from sae.run.checkpoint_io import UnreadableError, fingerprint, read_checkpoint, read_weights
from sae.run.checkpoint_io import write_weights as write_safetensors
from sae.run.folder import Run
from sae.training.handover import CODES_FOLDER
from sae.training.module import TrainingModule
from sae.training.plan import Journal, Phase, PhaseResult, Start

METRICS = "metrics.csv"
REPLACED = ".replaced_"
# What the manifest holds of each finished phase, and :meth:`RunJournal.recall` reads.
ENTRIES = {"name", "epochs", "seconds", "loss", "checkpoint", "weights", "files", "health"}
ENTRIES |= {"warnings", "upstream_sha256", "weights_sha256"}


class RunJournal(Journal):
    """The journal of a run, kept in its folder: ``manifest.json``, weights, checkpoints.

    Args:
        run: The run.
        keeps_weights: Whether phases leave weights behind; a run without cannot go on.
        tell: Told in a line what became of a phase.
        after: Told the result of each phase, when all of it is written down.
    """

    def __init__(
        self,
        run: Run,
        keeps_weights: bool,
        tell: Callable[[str], None],
        after: Callable[[PhaseResult], None] | None = None,
    ) -> None:
        self.run, self.keeps_weights, self.tell, self.after = run, keeps_weights, tell, after
        self._noted = {entry["name"]: entry for entry in run.manifest.get("phases", [])}
        self._holding: list[dict[str, Any]] = []
        self._upstream = ""

    # What the pretrainer asks and tells

    def recall(self, phase: Phase, module: TrainingModule, model: nn.Module) -> PhaseResult | None:
        """Load the weights of a finished phase, if it still holds."""
        self._upstream = fingerprint(model)
        entry = self._noted.get(phase.name)
        if entry is None:
            return None
        reason = self._load(entry, module, model)
        if reason:
            self.tell(f"{phase.title}: trained anew, for {reason}")
            self._set_the_rest_aside()  # what comes after it started from its weights
            self._noted = {}
            return None
        self._cut_back(entry["files"], self._event_files(phase.name))
        self._forget_last(phase.name)
        self._holding.append(entry)
        self.tell(f"{phase.title}: done before ({entry['epochs']} epochs)")
        path = entry["checkpoint"]
        result = PhaseResult(
            phase=phase,
            seconds=entry["seconds"],
            epochs=entry["epochs"],
            loss=entry["loss"],
            checkpoint=None if path is None else str(self.run.folder / path),
            health=entry["health"],
            warnings=entry["warnings"],
            steps=entry.get("steps", 0),
        )
        if self.after is not None:
            self.after(result)
        return result

    @property
    def steps(self) -> int:
        """Steps of the optimiser in all phases that are done."""
        return sum(entry.get("steps", 0) for entry in self._holding)

    def begin(self, phase: Phase) -> Start:
        """Where a phase that is to be trained goes on from; its files are cut back to there."""
        self._write_phases()
        path = self._last_checkpoint(phase.name)
        noted = self._read_last(phase, path)
        if noted is None:
            before = self._holding[-1]["files"] if self._holding else {}
            self._cut_back(before, self._growing_files(phase.name))
            return Start(None, 0.0)
        self._cut_back(noted["files"], self._growing_files(phase.name))
        self.tell(f"{phase.title}: goes on after epoch {noted['epochs']}")
        return Start(str(path), noted["seconds"])

    def note(self, result: PhaseResult, module: TrainingModule, model: nn.Module) -> None:
        """Write down a finished phase: its weights first, then that they are there."""
        name = result.phase.name
        weights = self.write_weights(name, module) if self.keeps_weights else None
        checkpoint = result.checkpoint
        if checkpoint is not None:
            checkpoint = str(Path(checkpoint).relative_to(self.run.folder))
        judged_by, unit = module.judged_by
        entry = {
            "name": name,
            "title": result.phase.title,
            "status": "done",
            "epochs": result.epochs,
            "steps": result.steps,
            "seconds": round(result.seconds, 3),
            "loss": result.loss,
            "judged_by": judged_by,
            "unit": unit,
            "checkpoint": checkpoint,
            "weights": weights,
            "upstream_sha256": self._upstream,
            "weights_sha256": fingerprint(model),
            "files": self.files(name),
            "health": summary.rounded(result.health),
            "warnings": list(result.warnings),
        }
        self._holding.append(entry)
        self._write_phases()
        self._forget_last(name)
        self.tell(result.line(unit, judged_by))
        for sentence in result.warnings:
            self.tell(f"warning: {sentence}")
        if self.after is not None:
            self.after(result)

    # What a checkpoint holds beside the Trainer's own

    def snapshot(self, phase: str, epochs: int, seconds: float) -> dict[str, Any]:
        """What to keep in a checkpoint, to go on from there without gaps or doubles."""
        return {
            "phase": phase,
            "upstream_sha256": self._upstream,
            "epochs": epochs,
            "seconds": seconds,
            "files": self.files(phase),
        }

    def files(self, phase: str) -> dict[str, int]:
        """The files that grow while a phase goes on, and how long they are now."""
        return {
            str(path.relative_to(self.run.folder)): path.stat().st_size
            for path in self._growing_files(phase)
        }

    def write_weights(self, phase: str, module: TrainingModule) -> str:
        """Write ``weights.safetensors`` of what a phase trained; its place in the run's folder."""
        path = self.run.phase_folder(phase) / "weights.safetensors"
        self._write_weights(path, module)
        return str(path.relative_to(self.run.folder))

    # Does it hold?

    def _load(self, entry: dict[str, Any], module: TrainingModule, model: nn.Module) -> str:
        """Load a phase's weights; or leave the old ones and say why not."""
        if entry["weights"] is None:
            return "it left no weights"
        if entry["upstream_sha256"] != self._upstream:
            return "the weights below it are not those that it was trained on"
        trained = _trained(module)
        before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
        try:
            trained.load_state_dict(read_weights(self.run.folder / entry["weights"]))
        except (UnreadableError, RuntimeError) as error:
            what = str(error) if isinstance(error, UnreadableError) else "of another network"
            trained.load_state_dict(before)
            return f"its weights are {what}"
        if fingerprint(model) != entry["weights_sha256"]:
            trained.load_state_dict(before)
            return "its weights are not those that it left"
        return ""

    def _read_last(self, phase: Phase, path: Path) -> dict[str, Any] | None:
        """What a phase's last checkpoint says of itself; None where it cannot be used."""
        if not path.exists():
            return None
        try:
            noted = read_checkpoint(path).get("sae")
            if isinstance(noted, dict) and noted["best"]:
                read_checkpoint(path.with_name("best.ckpt"))
        except UnreadableError as error:
            self.tell(f"{phase.title}: starts over, for a checkpoint of it is {error}")
            return None
        if not isinstance(noted, dict) or noted["upstream_sha256"] != self._upstream:
            self.tell(f"{phase.title}: starts over, for the weights below it have changed")
            return None
        return noted

    # Files

    def _last_checkpoint(self, phase: str) -> Path:
        return self.run.phase_folder(phase) / "checkpoints" / "last.ckpt"

    def _event_files(self, phase: str) -> list[Path]:
        return sorted(self.run.phase_folder(phase).glob("events.out.tfevents.*"))

    def _growing_files(self, phase: str) -> list[Path]:
        metrics = self.run.folder / METRICS
        return [*([metrics] if metrics.exists() else []), *self._event_files(phase)]

    @rank_zero_only
    def _write_weights(self, path: Path, module: TrainingModule) -> None:
        path.parent.mkdir(exist_ok=True)
        about = {"phase": module.phase, "network": " ".join(str(module.net).split())}
        write_safetensors(path, _trained(module), about)

    def _write_phases(self) -> None:
        self.run.update_manifest(phases=list(self._holding))

    @rank_zero_only
    def _forget_last(self, phase: str) -> None:
        """A finished phase needs no optimiser any more."""
        self._last_checkpoint(phase).unlink(missing_ok=True)

    @rank_zero_only
    def _set_the_rest_aside(self) -> None:
        """Keep what phases left that do not hold, before they are trained anew."""
        # Codes may be in use; and they are no phase's: whoever has written them deletes them.
        stay = {entry["name"] for entry in self._holding} | {CODES_FOLDER}
        for folder in self.run.folder.iterdir():
            if not folder.is_dir() or folder.name in stay or REPLACED in folder.name:
                continue
            number = 0
            while (aside := folder.with_name(f"{folder.name}{REPLACED}{number}")).exists():
                number += 1
            folder.rename(aside)

    @rank_zero_only
    def _cut_back(self, files: dict[str, int], paths: list[Path]) -> None:
        """Bring files that grow back to the length they had; delete those that were not there."""
        for name, length in files.items():
            path = self.run.folder / name
            if path in paths or name == METRICS:
                found = path.stat().st_size if path.exists() else 0
                if found < length:
                    self.tell(f"{name}: cut short since it was written, so its end is missing")
        for path in paths:
            length = files.get(str(path.relative_to(self.run.folder)), 0)
            if length == 0:
                path.unlink()
            else:
                os.truncate(path, min(length, path.stat().st_size))


def _trained(module: TrainingModule) -> nn.Module:
    """What a phase trains: its network; with the objective, where that has parameters too."""
    if not module.objective.state_dict():
        return module.net
    return nn.ModuleDict({"net": module.net, "objective": module.objective})
