from __future__ import annotations

import json
from pathlib import Path

import pytest

from sae.errors import InputError
from sae.run import hub_folder
from sae.run.model import read_run

MANIFEST = {"status": "finished", "name": "run", "process": {"pid": 1}, "settings": {}}
DATA = {"name": "tiny", "image_shape": [4, 3], "sha256": "?", "root": "/home/me"}

NOISE = {"corruption": {"kind": "masking"}}


@pytest.fixture
def folder() -> Path:
    path = Path("hub")
    path.mkdir()
    model, summary = {"sizes": [12, 3]}, {"network": "12→3→12", "seconds": {}}
    config = {
        "model": model,
        "data": {"init_args": {"train": "/home/me/x.csv", "id": "name", "crop": True}},
        "finetune": {"lr": 1, **NOISE},
    }
    text = hub_folder.config_json({**MANIFEST, "data": DATA}, config, summary, {})
    assert "/home/me" not in text
    (path / hub_folder.CONFIG).write_text(text)
    return path


def test_it_has_what_is_about_the_model_and_nothing_of_the_machine(folder):
    assert hub_folder.mapping(folder, "manifest.json") == {
        "status": "finished",
        "name": "run",
        "data": {"name": "tiny", "image_shape": [4, 3]},
    }
    assert hub_folder.mapping(folder, "config.yaml") == {
        "model": {"sizes": [12, 3]},
        "finetune": {"corruption": {"kind": "masking"}},
        "data": {"init_args": {"id": "name", "crop": True}},
    }
    assert hub_folder.mapping(folder, "summary.json") == {"network": "12→3→12"}


def test_it_is_told_from_a_runs_folder(folder):
    assert hub_folder.is_hub(folder)
    assert hub_folder.weights_path(folder) == folder / hub_folder.WEIGHTS
    (folder / "manifest.json").write_text("{}")
    assert not hub_folder.is_hub(folder)
    assert hub_folder.weights_path(folder) == folder / "finetune" / "weights.safetensors"


@pytest.mark.parametrize("content", ["", "{[", "[]", '{"library_name": "diffusers"}', "{}"])
def test_another_config_is_refused(content, folder):
    (folder / hub_folder.CONFIG).write_text(content)
    with pytest.raises(InputError, match=r"a config\.json that sae has written"):
        hub_folder.mapping(folder, "manifest.json")


def test_missing_weights_are_refused(folder):
    with pytest.raises(InputError, match=r"weights at hub/model\.safetensors"):
        read_run(folder)


def test_what_lacks_an_entry_is_refused(folder):
    content = json.loads((folder / hub_folder.CONFIG).read_text())
    del content["model"]
    (folder / hub_folder.CONFIG).write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"a config\.json that sae has written"):
        hub_folder.mapping(folder, "config.yaml")
