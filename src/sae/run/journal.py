"""The finished phases of a run, and which of them are still valid when the run is resumed.

A phase is valid if it started from exactly the weights that are loaded now, and if its own weights
are those named in the manifest. From the first phase that is not valid, all phases are trained
again: an interrupted phase from its last checkpoint, the others from the beginning.
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
# Keys of each finished phase in the manifest, which :meth:`RunJournal.recall` reads.
ENTRIES = {"name", "epochs", "seconds", "loss", "checkpoint", "weights", "files", "health"}
ENTRIES |= {"warnings", "upstream_sha256", "weights_sha256"}


class RunJournal(Journal):
    """The journal of a run, kept in its folder: ``manifest.json``, weights, checkpoints.

    Args:
        run: The run.
        keeps_weights: Whether phases save their weights; without them a run cannot be resumed.
        tell: Called with a line about each phase.
        after: Called with the result of each phase, after it is saved.
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

    # Called by the pretrainer

    def recall(self, phase: Phase, module: TrainingModule, model: nn.Module) -> PhaseResult | None:
        """Load the weights of a finished phase and return its result; None if it is not valid."""
        self._upstream = fingerprint(model)
        entry = self._noted.get(phase.name)
        if entry is None:
            return None
        reason = self._load(entry, module, model)
        if reason:
            self.tell(f"{phase.title}: trained again, because {reason}")
            self._set_the_rest_aside()  # later phases started from its weights
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
        """Steps of the optimiser in all finished phases."""
        return sum(entry.get("steps", 0) for entry in self._holding)

    def begin(self, phase: Phase) -> Start:
        """Return where the training of a phase starts; shorten its files to that point."""
        self._write_phases()
        path = self._last_checkpoint(phase.name)
        noted = self._read_last(phase, path)
        if noted is None:
            before = self._holding[-1]["files"] if self._holding else {}
            self._cut_back(before, self._growing_files(phase.name))
            return Start(None, 0.0)
        self._cut_back(noted["files"], self._growing_files(phase.name))
        self.tell(f"{phase.title}: continues after epoch {noted['epochs']}")
        return Start(str(path), noted["seconds"])

    def note(self, result: PhaseResult, module: TrainingModule, model: nn.Module) -> None:
        """Save a finished phase: first its weights, then its entry in the manifest."""
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

    # Our own entry in a checkpoint

    def snapshot(self, phase: str, epochs: int, seconds: float) -> dict[str, Any]:
        """Return our entry in a checkpoint, needed to resume without gaps or repeated rows."""
        return {
            "phase": phase,
            "upstream_sha256": self._upstream,
            "epochs": epochs,
            "seconds": seconds,
            "files": self.files(phase),
        }

    def files(self, phase: str) -> dict[str, int]:
        """Return the files that grow during a phase, with their current lengths in bytes."""
        return {
            str(path.relative_to(self.run.folder)): path.stat().st_size
            for path in self._growing_files(phase)
        }

    def write_weights(self, phase: str, module: TrainingModule) -> str:
        """Write ``weights.safetensors`` of a phase; return its path within the run's folder."""
        path = self.run.phase_folder(phase) / "weights.safetensors"
        self._write_weights(path, module)
        return str(path.relative_to(self.run.folder))

    # Is it valid?

    def _load(self, entry: dict[str, Any], module: TrainingModule, model: nn.Module) -> str:
        """Load a phase's weights and return ""; or keep the old ones and return the reason."""
        if entry["weights"] is None:
            return "it saved no weights"
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
            return "its weights are not those that it saved"
        return ""

    def _read_last(self, phase: Phase, path: Path) -> dict[str, Any] | None:
        """Return our entry in a phase's last checkpoint; None if it cannot be used."""
        if not path.exists():
            return None
        try:
            noted = read_checkpoint(path).get("sae")
            if isinstance(noted, dict) and noted["best"]:
                read_checkpoint(path.with_name("best.ckpt"))
        except UnreadableError as error:
            self.tell(f"{phase.title}: starts over, because a checkpoint of it is {error}")
            return None
        if not isinstance(noted, dict) or noted["upstream_sha256"] != self._upstream:
            self.tell(f"{phase.title}: starts over, because the weights below it have changed")
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
        """Delete the last checkpoint of a finished phase, which is no longer needed."""
        self._last_checkpoint(phase).unlink(missing_ok=True)

    @rank_zero_only
    def _set_the_rest_aside(self) -> None:
        """Rename the folders of phases that are not valid, before they are trained again."""
        # The folder of codes stays: it may be in use, and belongs to no phase.
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
        """Shorten files to the length they had; delete those that did not exist then."""
        for name, length in files.items():
            path = self.run.folder / name
            if path in paths or name == METRICS:
                found = path.stat().st_size if path.exists() else 0
                if found < length:
                    self.tell(f"{name}: shorter than when it was written, so its end is missing")
        for path in paths:
            length = files.get(str(path.relative_to(self.run.folder)), 0)
            if length == 0:
                path.unlink()
            else:
                os.truncate(path, min(length, path.stat().st_size))


def _trained(module: TrainingModule) -> nn.Module:
    """Return what a phase trains: its network, and the objective if it has parameters."""
    if not module.objective.state_dict():
        return module.net
    return nn.ModuleDict({"net": module.net, "objective": module.objective})
