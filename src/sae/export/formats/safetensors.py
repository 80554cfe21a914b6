"""Safetensors: the weights alone, for a program of one's own."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sae.export.formats.format import Export, Format
from sae.run.checkpoint_io import read_weights, write_weights


class Safetensors(Format):
    """One file: the tensors that the part depends on, with what it is as JSON in its metadata.

    They have the names that they have in the run, ``stack.layers.0.weight``; ``model`` in the
    metadata says what network they are of.
    """

    suffix = ".safetensors"

    def write(self, export: Export, path: Path) -> None:
        """See :class:`Format`."""
        about = {**export.about, "model": export.run.config["model"]}
        write_weights(path, export.part.trimmed(), about)

    @torch.no_grad()
    def outputs(self, export: Export, path: Path, inputs: Tensor) -> list[Tensor]:
        """Of the network with the tensors of the file, and none but these."""
        part = export.part.trimmed()
        for tensor in part.state_dict().values():
            tensor.fill_(float("nan") if tensor.is_floating_point() else 0)
        part.load_state_dict(read_weights(path))
        return list(part(inputs))
