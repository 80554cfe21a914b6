"""A folder for a model hub: weights as safetensors, a config, and a model card."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from torch import Tensor

from sae.data.prepare import FILE, write_preparation
from sae.export.card import card
from sae.export.formats.format import Export, Format
from sae.export.part import part_of
from sae.export.trained import read_trained
from sae.run import hub_folder
from sae.run.reference import COMPONENTS, ERRORS


class Hub(Format):
    """``README.md``, ``config.json`` and the weights. ``sae.load_run`` reads the folder."""

    suffix = ""
    whole = True

    def write(self, export: Export, path: Path) -> None:
        """See :class:`Format`."""
        run = export.run
        path.mkdir()
        (path / hub_folder.WEIGHTS).write_bytes(hub_folder.weights_path(run.folder).read_bytes())
        write_preparation(path / FILE, run.preparation)
        for name in (ERRORS, COMPONENTS):
            if (run.folder / name).is_file():
                shutil.copyfile(run.folder / name, path / name)
        versions = export.about["versions"]
        config = hub_folder.config_json(run.manifest, run.config, run.summary, versions)
        (path / hub_folder.CONFIG).write_text(config, encoding="utf-8")
        (path / hub_folder.CARD).write_text(card(export), encoding="utf-8")

    @torch.no_grad()
    def outputs(self, export: Export, path: Path, inputs: Tensor) -> list[Tensor]:
        """See :class:`Format`; reads the folder and runs it."""
        return list(part_of(read_trained(path), export.what)(inputs))
