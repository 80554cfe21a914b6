"""A finished run is read from its folder alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from sae.errors import InputError
from sae.run.checkpoints import read_weights
from sae.run.model import read_run


@pytest.fixture
def folder(finished) -> Path:
    """A copy of a finished run."""
    return Path(shutil.copytree(finished[0], "run"))


def change(folder: Path, **entries) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **entries}))


def test_it_gives_the_stack_with_its_weights(folder):
    run = read_run(folder)
    assert run.image_shape == (28, 28)
    assert run.stack.sizes == [784, 12, 4]
    weights = read_weights(folder / "finetune" / "weights.safetensors")
    found = run.stack.state_dict()
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert not run.stack.training
    assert not any(parameter.requires_grad for parameter in run.stack.parameters())


def test_weights_of_an_objective_are_left_aside(folder):
    from sae.run import model

    path = folder / "finetune" / "weights.safetensors"
    weights = read_weights(path)
    both = {f"net.{name}": tensor for name, tensor in weights.items()}
    both["objective.head.weight"] = torch.zeros(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "read_weights", lambda _: both)
        found = read_run(folder).stack.state_dict()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_an_unfinished_run_is_refused(folder):
    change(folder, status="broken off")
    with pytest.raises(InputError, match="expected a finished run, found one that is broken off"):
        read_run(folder)


def test_a_run_without_weights_is_refused(folder):
    (folder / "finetune" / "weights.safetensors").unlink()
    with pytest.raises(InputError, match="found some that are not there"):
        read_run(folder)


def test_damaged_weights_are_refused(folder):
    (folder / "finetune" / "weights.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="found some that are damaged"):
        read_run(folder)


@pytest.mark.parametrize("name", ["manifest.json", "config.yaml"])
@pytest.mark.parametrize("content", [None, "{[", "just words", "\xff"])
def test_a_missing_or_damaged_file_is_named(folder, name, content):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=f"a file {name}"):
        read_run(folder)


def test_a_config_that_does_not_fit_the_weights_is_refused(folder):
    config = (folder / "config.yaml").read_text()
    assert "- 12\n" in config
    (folder / "config.yaml").write_text(config.replace("- 12\n", "- 13\n", 1))
    with pytest.raises(InputError, match="a config and weights that fit each other"):
        read_run(folder)


def test_a_manifest_without_the_shape_is_refused(folder):
    change(folder, data={"name": "digits"})
    with pytest.raises(InputError, match="KeyError: 'image_shape'"):
        read_run(folder)
