"""PT2: a program of torch.export, for whoever has torch, without sae."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import torch
from torch import Tensor

from sae.export.formats.format import Export, Format, traced


class Pt2(Format):
    """One file, with what it is as JSON in its extra file ``sae.json``.

    ``torch.export.load(FILE, extra_files=(about := {"sae.json": ""})).module()`` runs it.
    """

    suffix = ".pt2"

    def write(self, export: Export, path: Path) -> None:
        """See :class:`Format`."""
        program, content = traced(export, "pt2"), io.BytesIO()
        about = json.dumps(export.about, ensure_ascii=False)
        torch.export.save(program, content, extra_files={"sae.json": about})
        path.write_bytes(content.getvalue())

    @torch.no_grad()
    def outputs(self, export: Export, path: Path, inputs: Tensor) -> list[Tensor]:
        """By torch.export."""
        with warnings.catch_warnings(action="ignore"):  # of bytes that must not be written to
            program = torch.export.load(io.BytesIO(path.read_bytes()))
        return list(program.module()(inputs))
