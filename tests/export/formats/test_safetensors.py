from __future__ import annotations

import json

import pytest
import torch
from exported import export_of, made, pixels
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sae.export.formats.safetensors import Safetensors
from sae.training.stacked import StackedAutoencoder


def test_it_holds_the_weights_and_says_of_which_network(tmp_path):
    run, path = made(tied=True), tmp_path / "it.safetensors"
    export = export_of(run, "encoder")
    Safetensors().write(export, path)
    tensors = load_file(path)
    assert set(tensors) == {"stack.layers.0.weight", "stack.layers.0.bias"}
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["about"])
    assert about == {**export.about, "model": run.config["model"]}
    stack = StackedAutoencoder(**about["model"]).stack
    missing = stack.load_state_dict(
        {name.removeprefix("stack."): tensor for name, tensor in tensors.items()}, strict=False
    )
    assert missing.missing_keys == ["layers.0.decoder_bias"]
    assert torch.equal(stack.encode(pixels() * (1 / 255)), export.part(pixels())[0])


def test_its_outputs_are_those_of_the_file(tmp_path):
    export, path = export_of(made()), tmp_path / "it.safetensors"
    Safetensors().write(export, path)
    assert torch.equal(Safetensors().outputs(export, path, pixels())[0], export.part(pixels())[0])
    tensors = load_file(path)
    save_file({**tensors, "stack.layers.0.bias": tensors["stack.layers.0.bias"] + 1}, path)
    assert not torch.equal(
        Safetensors().outputs(export, path, pixels())[0], export.part(pixels())[0]
    )
    del tensors["stack.layers.0.bias"]
    save_file(tensors, path)
    with pytest.raises(RuntimeError):
        Safetensors().outputs(export, path, pixels())
