from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from sae.errors import InputError
from sae.export.formats.safetensors import Safetensors
from sae.export.write import export_run


@pytest.fixture
def run(finished) -> Path:
    return finished[0]


def export(run, name="encoder.safetensors", **options):
    return export_run(run, **{"format": "safetensors", "output": Path(name), **options})


def test_it_compares_with_real_samples(run):
    written = export(run)
    assert (written.path, written.parity.difference) == (Path("encoder.safetensors"), 0)
    assert written.samples == "the first 180 validation samples of digits"
    assert [path.name for path in Path().iterdir()] == ["encoder.safetensors"]


def test_an_earlier_one_is_never_replaced_in_silence(run):
    export(run)
    before = Path("encoder.safetensors").read_bytes()
    with pytest.raises(InputError, match=r"a new name.*add --overwrite true"):
        export(run, what="decoder")
    assert Path("encoder.safetensors").read_bytes() == before
    export(run, what="decoder", overwrite=True)
    assert Path("encoder.safetensors").read_bytes() != before


def test_a_folder_is_replaced_only_where_it_is_an_earlier_export(run):
    export(run, "hub", format="hub")
    export(run, "hub", format="hub", overwrite=True)
    assert [path.name for path in Path().iterdir()] == ["hub"]
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="an earlier export to replace"):
        export(run, "mine", format="hub", overwrite=True)
    assert Path("mine/thesis.txt").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"format": "tflite"}, "format: expected one of hub, onnx, pt2, safetensors, found"),
        ({"what": "head"}, "what: expected one of"),
        ({"name": "encoder.onnx"}, "output: expected a name that ends in .safetensors"),
        ({"name": "no/it.safetensors"}, "output: expected an existing folder, found 'no'"),
        ({"format": "hub", "what": "encoder", "name": "it"}, "what: expected none for hub"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(options, says, run):
    with pytest.raises(InputError, match=says):
        export(run, **options)
    assert not list(Path().iterdir())


@pytest.mark.parametrize("error", [None, OSError(28, "No space left on device"), KeyboardInterrupt])
def test_what_goes_wrong_on_the_way_leaves_no_file(error, run, monkeypatch):
    def outputs(self, export, path, inputs):
        assert path.exists()
        if error is not None:
            raise error
        return [torch.zeros(len(inputs), 4)]

    monkeypatch.setattr(Safetensors, "outputs", outputs)
    ends = KeyboardInterrupt if error is KeyboardInterrupt else InputError
    says = None if error is KeyboardInterrupt else "of the largest|No space"
    with pytest.raises(ends, match=says):
        export(run)
    assert os.listdir() == []


def test_a_hubs_folder_can_be_exported_again(run):
    export(run, "hub", format="hub")
    written = export_run(Path("hub"), "safetensors", output=Path("it.safetensors"))
    assert written.samples.startswith("256 random samples, uniform in the range of the inputs")
    export(run)
    assert Path("it.safetensors").read_bytes() == Path("encoder.safetensors").read_bytes()
