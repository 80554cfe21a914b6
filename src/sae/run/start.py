"""Start a run from the weights of a finished one: pretrain once, fine-tune often."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sae.data.prepare import Pixels, Preparation
from sae.errors import InputError
from sae.nets.stack import Stack
from sae.run import hub_folder
from sae.run.model import read_run
from sae.text import shown_path

KEY = "start_from"


@dataclass(frozen=True)
class StartingWeights:
    """Initial weights from a finished run.

    Attributes:
        folder: Folder of that run, as a full path.
        sha256: SHA-256 of the file of weights.
        weights: The weights, by their names in the stack.
        preparation: Preparation of the samples that they were trained on.
    """

    folder: Path
    sha256: str
    weights: Mapping[str, Tensor]
    preparation: Preparation

    def summary(self) -> dict[str, str]:
        """Return an entry for the manifest of the new run."""
        path = hub_folder.weights_path(self.folder).relative_to(self.folder)
        return {"run": str(self.folder), "weights": str(path), "sha256": self.sha256}

    def lines(self, preparation: Preparation) -> list[str]:
        """Return lines to print, with a warning if the samples are prepared differently now.

        Args:
            preparation: Preparation of the samples of the new run.
        """
        found = [f"start: the weights of {shown_path(self.folder)}; no stage is trained"]
        if _differ(self.preparation, preparation):
            found.append(
                "warning: the samples are prepared differently from those of the run whose weights "
                "this one starts from: the first layer gets other values than in its training"
            )
        return found


def _differ(one: Preparation, other: Preparation) -> bool:
    """Return whether two preparations differ; pixels always become [0, 1], so they do not."""
    if isinstance(one, Pixels) and isinstance(other, Pixels):
        return False
    if type(one) is not type(other) or one.settings != other.settings:
        return True
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return not all(torch.equal(a, b) for a, b in pairs)


def read_start(folder: Path, stack: Stack) -> StartingWeights:
    """Read the weights of a run, and check that they fit the stack.

    Only weights of the stack are read, not those of the head of a classifier.

    Args:
        folder: ``lightning_logs/NAME/version_N``, or a folder that was exported for a hub.
        stack: The new stack; it is not changed.

    Raises:
        InputError: The folder is not that of a finished run, or its network is another.
    """
    try:
        begun = read_run(folder)
    except InputError as error:
        key = KEY if error.key == "run" else f"{KEY} ({error.key} of its config)"
        raise InputError(key, error.expected, error.found, error.remedy) from None
    theirs, ours = [str(layer) for layer in begun.stack], [str(layer) for layer in stack]
    if theirs != ours:
        pairs = [(b, a) for a, b in zip(theirs, ours, strict=False) if a != b]
        expected, there = pairs[0] if pairs else (f"{len(ours)} layers", f"{len(theirs)}")
        remedy = "give this run the model options of that one, except the objective"
        raise InputError(KEY, f"a run of the same network ({expected})", there, remedy)
    digest = hashlib.sha256(hub_folder.weights_path(folder).read_bytes()).hexdigest()
    weights = begun.stack.state_dict()
    return StartingWeights(folder.resolve(), digest, weights, begun.preparation)
