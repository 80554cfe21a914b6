"""ONNX: a file that onnxruntime and other engines run, in many languages."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae.errors import InputError
from sae.export.formats.format import Export, Format, traced
from sae.export.part import n_weights

# A protobuf file has at most 2 GiB.
MOST_BYTES = 2**31 - 2**20


class Onnx(Format):
    """One file with weights; its metadata are JSON in ``metadata_props``, under ``sae``."""

    suffix = ".onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")

    def write(self, export: Export, path: Path) -> None:
        """See :class:`Format`."""
        import onnx

        if 4 * n_weights(export.part.trimmed()) > MOST_BYTES:
            found = f"{n_weights(export.part):,} numbers"
            raise InputError("format", "a part below 2 GiB", found, "choose --format pt2")
        program = traced(export, "onnx")
        names = [field.name for field in export.part.gives]
        level = logging.getLogger("torch.onnx").level
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings(action="ignore"), torch.no_grad():
                made: Any = torch.onnx.export(
                    program,
                    dynamo=True,
                    verbose=False,
                    input_names=[export.part.given.name],
                    output_names=names,
                    external_data=False,
                )
            model = made.model_proto
        except Exception as error:  # an operator that ONNX does not have, or another failure
            raise _cannot(error) from None
        finally:
            logging.getLogger("torch.onnx").setLevel(level)
        _describe(model, export)
        onnx.checker.check_model(model, full_check=True)
        path.write_bytes(model.SerializeToString(deterministic=True))

    def outputs(self, export: Export, path: Path, inputs: Tensor) -> list[Tensor]:
        """See :class:`Format`; runs the file with onnxruntime."""
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        found = session.run(None, {export.part.given.name: inputs.numpy()})
        return [torch.from_numpy(y) for y in found]


def _describe(model: Any, export: Export) -> None:
    """Add the metadata to a model, and remove traces of the machine that made it."""
    import onnx

    graph = model.graph
    for each in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del each.metadata_props[:]
    fields = [export.part.given, *export.part.gives]
    for value, field in zip([*graph.input, *graph.output], fields, strict=True):
        value.doc_string = field.meaning
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:]  # shapes of intermediate values, with other names of the batch size
    model.producer_name, model.producer_version = "sae", export.about["versions"]["sae"]
    model.doc_string = export.about["title"]
    graph.name = export.what
    onnx.helper.set_model_props(model, {"sae": json.dumps(export.about, ensure_ascii=False)})


def _cannot(error: Exception) -> InputError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = f"one that it does not support ({' '.join(lines)[:200]})"
    remedy = "choose --format pt2 or safetensors"
    return InputError("format", "operators that ONNX supports", found, remedy)
