"""Safetensors: only the weights, for your own program."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sae.export.formats.format import Export, Format
from sae.run.checkpoint_io import read_weights, write_weights


class Safetensors(Format):
    """One file with the tensors that the part needs, and JSON in its metadata.

    Tensors have the same names as in the run, such as ``stack.layers.0.weight``. ``model`` in the
    metadata describes the network.
    """

    suffix = ".safetensors"

    def write(self, export: Export, path: Path) -> None:
        """See :class:`Format`."""
        about = {**export.about, "model": export.run.config["model"]}
        write_weights(path, export.part.trimmed(), about)

    @torch.no_grad()
    def outputs(self, export: Export, path: Path, inputs: Tensor) -> list[Tensor]:
        """See :class:`Format`; runs the network with only the tensors of the file."""
        part = export.part.trimmed()
        for tensor in part.state_dict().values():
            tensor.fill_(float("nan") if tensor.is_floating_point() else 0)
        part.load_state_dict(read_weights(path))
        return list(part(inputs))
