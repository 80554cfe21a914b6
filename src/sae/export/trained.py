"""Read from the folder of a finished run all that an export needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sae.data.prepare import Pixels, Preparation
from sae.nets.stack import Stack
from sae.objectives.objective import Objective
from sae.run.model import read_mapping, read_run

FILES = ("manifest.json", "config.yaml", "summary.json")


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        folder: The folder of the run.
        stack: The network with its weights, in eval mode, on the CPU.
        objective: The objective of the fine-tuning, with its weights.
        preparation: Converts samples in the user's units to inputs of the network, and back.
        class_names: Names of the labels 0, 1, …; empty without labels, or if they are numbers.
        manifest: The contents of ``manifest.json``.
        summary: The contents of ``summary.json``.
        config: The contents of ``config.yaml``.
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
        """Number of columns of a sample in the user's units."""
        return self.preparation.inverse(torch.zeros(1, self.stack.n_in)).shape[1]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The image shape of a sample: height and width, and 3 for colours."""
        return tuple(self.manifest["data"]["image_shape"])

    @property
    def sample_words(self) -> str:
        """A description of the values of a row."""
        table = getattr(self.preparation, "table", None)
        if table is not None:
            return "the columns of the table; a category is given by its number"
        shape = "x".join(map(str, self.image_shape))
        scale = self.preparation.divisor if isinstance(self.preparation, Pixels) else 1
        values = f"values from 0 to {scale:g}" if scale > 1 else "values"
        return f"the {values} of samples of {shape}, row by row"

    @property
    def columns(self) -> list[dict[str, Any]]:
        """The columns of a table: their names, and the categories 0, 1, …; empty for arrays."""
        table = getattr(self.preparation, "table", None)
        if table is None:
            return []
        values = [{"categories": list(each.values)} if each.values else {} for each in table]
        return [{"name": each.name, **own} for each, own in zip(table, values, strict=True)]


def read_trained(folder: Path) -> Trained:
    """Read a finished run; the errors are those of :func:`~sae.run.model.read_run`."""
    run = read_run(folder)
    manifest, config, summary = (read_mapping(folder, name) for name in FILES)
    return Trained(
        folder=folder,
        stack=run.stack,
        objective=run.objective,
        preparation=run.preparation,
        class_names=run.class_names,
        manifest=manifest,
        summary=summary,
        config=config,
    )
