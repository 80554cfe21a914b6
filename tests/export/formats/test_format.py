"""Every kind of layer exports, or says in one sentence why not."""

from __future__ import annotations

import pytest
import torch
from exported import export_of, made, made_of_a_table, pixels
from test_every_kind import described
from torch import Tensor

from sae import kinds
from sae.errors import InputError
from sae.export.formats.format import ROOM, Format, traced
from sae.export.formats.onnx import Onnx
from sae.export.parity import compare
from sae.nets.dense import Dense
from sae.nets.layer import Layer

KINDS = {
    **{name: described("sae.nets", name) for name in kinds.names("sae.nets", Layer)},
    "tied dense": {"kind": "dense", "units": 12, "tied": True},
    "tied conv": {"kind": "conv", "channels": 2, "kernel": 3, "tied": True},
    "of a user": {"class_path": "plugins.layer.Deep"},
}
# Kinds that no file of ONNX can hold, and what is said then: none so far.
NOT: dict[str, str] = {}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_exports_to_onnx_or_says_why_not(kind, tmp_path):
    layer = KINDS[kind]
    if layer.get("kind") == "conv":
        layer = {"kernel": 3, **layer}
    export = export_of(made([layer, {"kind": "dense", "units": 6}]))
    x, path = pixels(), tmp_path / "it.onnx"
    if kind in NOT:
        with pytest.raises(InputError, match=NOT[kind]):
            Onnx().write(export, path)
        return
    Onnx().write(export, path)
    parity = compare(export.part, x, Onnx().outputs(export, path, x))
    assert parity.undecided == 0
    one = compare(export.part, x[:1], Onnx().outputs(export, path, x[:1]))
    assert one.relative < 1e-5, "another size of the batch"


def test_a_table_exports_with_its_categories_and_what_is_missing(tmp_path):
    export, path = export_of(made_of_a_table()), tmp_path / "it.onnx"
    x = torch.tensor([[7.0, 2, 2026], [float("nan"), 1, 2026], [1.0, float("nan"), float("nan")]])
    Onnx().write(export, path)
    (rebuilt,) = found = Onnx().outputs(export, path, x)
    assert compare(export.part, x, found).relative < 1e-5
    assert rebuilt.isfinite().all()
    assert set(rebuilt[:, 1].tolist()) <= {0.0, 1.0, 2.0}
    assert rebuilt[:, 2].tolist() == [2026.0] * 3
    assert export.about["columns"][1] == {"name": "colour", "categories": ["red", "green", "blue"]}


class Long(Dense):
    """It asks for the length of its batch, as Python does."""

    def encode(self, x: Tensor) -> Tensor:
        return super().encode(x.reshape(len(x), 3, 4).flatten(1))


class Moody(Dense):
    """What it does depends on the data."""

    def encode(self, x: Tensor) -> Tensor:
        return super().encode(x if float(x.sum()) > 0 else -x)


@pytest.mark.parametrize(("kind", "goes"), [("Long", True), ("Moody", False)])
def test_code_that_is_hard_to_trace(kind, goes, tmp_path):
    layer = {"class_path": f"{__name__}.{kind}", "init_args": {"units": 4}}
    export, x = export_of(made([layer]), "encoder"), pixels()
    if goes:
        program = traced(export, "pt2")
        torch.testing.assert_close(program.module()(x), export.part(x))
        return
    with pytest.raises(InputError) as error:
        traced(export, "pt2")
    said = str(error.value)
    assert said.startswith("format: expected layers (Moody) whose code a file of pt2 can hold")
    assert said.endswith("choose --format safetensors, or change the layer.")
    assert "\n" not in said


def test_nothing_of_the_data_or_the_machine_is_in_a_traced_part():
    program = traced(export_of(made()), "pt2")
    assert not any("stack_trace" in node.meta for node in program.graph.nodes)
    assert all(not x.any() for x in program.example_inputs[0])


def test_a_package_that_is_missing_is_named_with_what_installs_it(monkeypatch):
    class Far(Format):
        suffix = ".far"
        packages = ("torch", "no_such_package")

        def write(self, export, path):
            raise NotImplementedError

        def outputs(self, export, path, inputs):
            raise NotImplementedError

    with pytest.raises(InputError, match=r"install it: pip install no_such_package\.$"):
        Far.check_installed()
    Onnx.check_installed()


def test_the_formats_are_listed():
    assert kinds.names(ROOM, Format) == ["hub", "onnx", "pt2", "safetensors"]
