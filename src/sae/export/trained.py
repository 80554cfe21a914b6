"""All of a finished run that an export needs, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sae.nets.stack import Stack
from sae.objectives.objective import Objective
from sae.run import hub
from sae.run.checkpoints import read_weights
from sae.run.model import OF_OBJECTIVE, read_mapping, read_run
from sae.training.stacked import StackedAutoencoder

FILES = ("manifest.json", "config.yaml", "summary.json")


class Pixels(nn.Module):
    """Pixels in [0, 1] from bytes, and back."""

    divisor = 255.0

    def forward(self, x: Tensor) -> Tensor:
        """(b, pixels) in the user's units -> (b, features)."""
        return x * (1 / self.divisor)

    def inverse(self, x: Tensor) -> Tensor:
        """Back."""
        return x * self.divisor


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
    preparation: Any
    class_names: Sequence[str]
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def n_raw(self) -> int:
        """Columns of a sample in the user's units."""
        return self.stack.n_in

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of a sample."""
        return tuple(self.manifest["data"]["image_shape"])

    @property
    def sample_words(self) -> str:
        """What a row holds."""
        shape = "x".join(map(str, self.image_shape))
        return f"pixels from 0 to 255 of images of {shape}, row by row"


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
    return Trained(folder, run.stack, objective, Pixels(), names, manifest, summary, config)


def _classes(own: Mapping[str, torch.Tensor]) -> int:
    """Of a head: as many as its last layer has biases."""
    return len(list(own.values())[-1])
