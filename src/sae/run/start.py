"""The weights of a finished run, for another one to begin with: pretrain once, fine-tune often."""

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
    """Weights to begin with.

    Attributes:
        folder: Of the run that left them, as a full path.
        sha256: Of their file.
        weights: They, by their names in the stack.
        preparation: That of the samples that they have learnt from.
    """

    folder: Path
    sha256: str
    weights: Mapping[str, Tensor]
    preparation: Preparation

    def summary(self) -> dict[str, str]:
        """The same for the manifest of the run that begins with them."""
        path = hub_folder.weights_path(self.folder).relative_to(self.folder)
        return {"run": str(self.folder), "weights": str(path), "sha256": self.sha256}

    def lines(self, preparation: Preparation) -> list[str]:
        """The same for people; and whether the weights will be given other inputs than before.

        Args:
            preparation: That of the samples of the run that begins with them.
        """
        found = [f"start: the weights of {shown_path(self.folder)}; no stage is trained"]
        if _differ(self.preparation, preparation):
            found.append(
                "warning: the samples are prepared otherwise than in the run whose weights this "
                "one starts from: the first layer is given other values than it has learnt from"
            )
        return found


def _differ(one: Preparation, other: Preparation) -> bool:
    """Whether two prepare samples differently; pixels are in [0, 1], however they are stored."""
    if isinstance(one, Pixels) and isinstance(other, Pixels):
        return False
    if type(one) is not type(other) or one.settings != other.settings:
        return True
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return not all(torch.equal(a, b) for a, b in pairs)


def read_start(folder: Path, stack: Stack) -> StartingWeights:
    """Read the weights of a run, and make sure that they are of this very network.

    What a run has learnt beside them, such as the head of a classifier, is left behind.

    Args:
        folder: ``lightning_logs/NAME/version_N``, or one that was exported for a hub.
        stack: What is to begin with them; it is not changed.

    Raises:
        InputError: It is no finished run, or its network is another.
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
        remedy = "give this run the model options of that one, but for its objective"
        raise InputError(KEY, f"a run of the same network ({expected})", there, remedy)
    digest = hashlib.sha256(hub_folder.weights_path(folder).read_bytes()).hexdigest()
    weights = begun.stack.state_dict()
    return StartingWeights(folder.resolve(), digest, weights, begun.preparation)
