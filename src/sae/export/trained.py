"""All of a finished run that an export needs, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sae.data.prepare import FILE, Pixels, Preparation, read_preparation
from sae.nets.stack import Stack
from sae.objectives.objective import Objective
from sae.run import hub
from sae.run.checkpoints import read_weights
from sae.run.model import OF_OBJECTIVE, read_mapping, read_run
from sae.training.stacked import StackedAutoencoder

FILES = ("manifest.json", "config.yaml", "summary.json")


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        folder: Where it lies.
        stack: With its weights, in eval mode, on the CPU.
        objective: What it was fine-tuned for, with its weights.
        preparation: What lies between samples in the user's units and the network.
        class_names: Of the labels 0, 1, …; empty where there are none, or none but numbers.
        manifest: ``manifest.json``.
        summary: ``summary.json``.
        config: ``config.yaml``.
    """

    folder: Path
    stack: Stack
    objective: Objective
    preparation: Preparation
    class_names: Sequence[str]
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def n_raw(self) -> int:
        """Columns of a sample in the user's units."""
        return self.preparation.inverse(torch.zeros(1, self.stack.n_in)).shape[1]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of a sample."""
        return tuple(self.manifest["data"]["image_shape"])

    @property
    def sample_words(self) -> str:
        """What a row holds."""
        if self.preparation.columns is not None:
            return "the values of the columns, a category as its number"
        shape = "x".join(map(str, self.image_shape))
        scale = self.preparation.divisor if isinstance(self.preparation, Pixels) else 1
        values = f"values from 0 to {scale:g}" if scale > 1 else "values"
        return f"the {values} of samples of {shape}, row by row"


def read_trained(folder: Path) -> Trained:
    """Read a finished run; the errors are those of :func:`~sae.run.model.read_run`."""
    run = read_run(folder)
    manifest, config, summary = (read_mapping(folder, name) for name in FILES)
    objective = StackedAutoencoder(**config["model"]).objective
    weights = read_weights(hub.weights_path(folder))
    own = {
        name.removeprefix(OF_OBJECTIVE): tensor
        for name, tensor in weights.items()
        if name.startswith(OF_OBJECTIVE)
    }
    if own:
        objective.attach(run.stack, _classes(own))
        objective.load_state_dict(own)
    objective.eval().requires_grad_(False)
    names = manifest["data"].get("class_names", [])
    preparation = read_preparation(folder / FILE)
    return Trained(folder, run.stack, objective, preparation, names, manifest, summary, config)


def _classes(own: Mapping[str, torch.Tensor]) -> int:
    """Of a head: as many as its last layer has biases."""
    return len(list(own.values())[-1])
