"""PT2: a program of torch.export, which runs with torch and without sae."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import torch
from torch import Tensor

from sae.export.formats.format import Export, Format, traced


class Pt2(Format):
    """One file; its metadata are JSON in the extra file ``sae.json``.

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
        """See :class:`Format`; loads and runs the program with torch."""
        with warnings.catch_warnings(action="ignore"):  # about read-only bytes
            program = torch.export.load(io.BytesIO(path.read_bytes()))
        return list(program.module()(inputs))
