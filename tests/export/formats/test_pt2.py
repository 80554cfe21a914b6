from __future__ import annotations

import json

import torch
from exported import export_of, made, pixels

from sae.export.formats.pt2 import Pt2


def test_torch_alone_runs_it_for_batches_of_any_size(tmp_path):
    export, path = export_of(made(), "encoder"), tmp_path / "it.pt2"
    Pt2().write(export, path)
    more = {"sae.json": ""}
    program = torch.export.load(path, extra_files=more).module()
    for n in (1, 5, 300):
        torch.testing.assert_close(program(pixels(n)), export.part(pixels(n)))
    assert json.loads(more["sae.json"]) == export.about
    assert torch.equal(Pt2().outputs(export, path, pixels())[0], export.part(pixels())[0])
    names = {name.rpartition(".")[2] for name in torch.export.load(path).state_dict}
    assert names == {"weight", "bias"}, "the decoder is not in it"
    assert str(tmp_path).encode() not in path.read_bytes()
