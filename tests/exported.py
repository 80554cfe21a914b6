"""Runs that were never trained, for what is asked of their networks alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from helpers import randomised

from sae.data.prepare import Pixels
from sae.data.table_preparation import TablePreparation
from sae.export.formats.format import Export
from sae.export.part import part_of
from sae.export.trained import Trained
from sae.export.write import about
from sae.training.stacked import StackedAutoencoder

SHAPE, CLASSES = [4, 3], 3
DENSE = [{"kind": "dense", "units": 6}]


def made(layers: Any = None, folder: Path = Path("nowhere"), **model: Any) -> Trained:
    """A run of a network with random weights, on images of 4x3 pixels in three classes."""
    options = {"input_shape": SHAPE, "layers": layers or DENSE, "activation": "tanh", **model}
    whole = StackedAutoencoder(**options)
    whole.objective.attach(whole.stack, CLASSES)
    randomised(whole).eval().requires_grad_(False)
    data = {"name": "tiny", "description": "tiny images", "image_shape": SHAPE, "sha256": "?"}
    data |= {"train": 80, "val": 16, "test": 24}
    summary = {"network": whole.objective.path(whole.sizes), "seed": 0, "val": {}, "table": []}
    return Trained(
        folder=folder,
        stack=whole.stack,
        objective=whole.objective,
        preparation=Pixels(255),
        class_names=["low", "middle", "high"],
        manifest={"name": "made", "status": "finished", "data": data},
        summary={**summary, "test": {"sse": 1.5}},
        config={"model": options},
    )


def export_of(run: Trained, what: str = "autoencoder") -> Export:
    part = part_of(run, what)
    return Export(run, what, part, about(run, what, part))


def pixels(n: int = 20, features: int = 12) -> torch.Tensor:
    draw = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (n, features), generator=draw).float()


def made_of_a_table(missing: str = "mask") -> Trained:
    """A run on a table: a number, a category of three values, a column that never varies."""
    kinds = [
        {"name": "size", "kind": "number", "scaling": "standard"},
        {"name": "colour", "kind": "category", "values": ["red", "green", "blue"]},
        {"name": "year", "kind": "constant"},
    ]
    preparation = TablePreparation(kinds, missing=missing)
    preparation.shift[0], preparation.scale[0], preparation.fill[2] = 5.0, 2.0, 2026.0
    run = made(input_shape=[4], layers=[{"kind": "dense", "units": 3}], output="linear")
    run.stack[0].columns = preparation.outputs
    return dataclasses.replace(run, preparation=preparation)
