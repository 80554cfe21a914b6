from __future__ import annotations

import json
from pathlib import Path

import torch
from exported import export_of, pixels

import sae
from sae.export.formats.hub import Hub
from sae.export.part import part_of
from sae.export.trained import read_trained
from sae.run.hub_folder import CARD, CONFIG, WEIGHTS


def test_the_folder_holds_all_of_the_run(finished):
    export, path = export_of(read_trained(finished[0])), Path("hub")
    Hub().write(export, path)
    assert {each.name for each in path.iterdir()} >= {CARD, CONFIG, WEIGHTS}
    again = read_trained(path)
    x = pixels(features=784)
    assert torch.equal(part_of(again, "encoder")(x)[0], part_of(export.run, "encoder")(x)[0])
    assert torch.equal(Hub().outputs(export, path, x)[0], export.part(x)[0])
    assert again.summary["test"] == export.run.summary["test"]
    assert json.loads((path / CONFIG).read_text())["library_name"] == "sae"
    for name in (CARD, CONFIG):
        assert str(finished[0].parents[2]) not in (path / name).read_text(), "no paths"


def test_load_run_reads_it(finished):
    export, path = export_of(read_trained(finished[0])), Path("hub")
    Hub().write(export, path)
    run, mine = sae.load_run(path), sae.load_run(finished[0])
    x = pixels(features=784).numpy().astype("uint8")
    assert (run.encode(x) == mine.encode(x)).all()
    assert (run.reconstruct(x) == mine.reconstruct(x)).all()
    assert run.threshold(0.9) == mine.threshold(0.9)
