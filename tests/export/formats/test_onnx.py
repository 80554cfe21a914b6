from __future__ import annotations

import json
import logging
import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
from exported import CLASSES, export_of, made, pixels
from helpers import ROOT

from sae.errors import InputError
from sae.export.formats import onnx as of_onnx
from sae.export.formats.onnx import Onnx

PAGE = (ROOT / "docs" / "export.md").read_text()
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
# What is on the page, and then what it is asked for here.
ELSEWHERE = f"""
{PROGRAM}
import sys
np.savez("y.npz", probability=probability, predicted=predicted)
foreign = [name for name in ("torch", "sae", "lightning") if name in sys.modules]
(given,) = session.get_inputs()
print(json.dumps({{"names": names, "foreign": foreign, "shape": given.shape}}))
"""


def test_onnxruntime_runs_it_where_there_is_neither_torch_nor_sae(tmp_path):
    export, x = export_of(made(objective="classify"), "classifier"), pixels(7)
    Onnx().write(export, tmp_path / "classifier.onnx")
    np.save("x.npy", x.numpy().astype(np.uint8).reshape(7, 4, 3))
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    assert said["foreign"] == []
    assert said["shape"] == ["batch", 12]
    probability, predicted = (y.numpy() for y in export.part(x))
    found = np.load("y.npz")
    np.testing.assert_allclose(found["probability"], probability, atol=1e-6)
    np.testing.assert_array_equal(found["predicted"], predicted)
    assert said["names"] == [["low", "middle", "high"][k] for k in predicted]
    _check_what_it_says(onnx.load("classifier.onnx"), export)


def _check_what_it_says(model, export):
    """Names, shapes, classes, versions, figures; no paths."""
    assert [value.name for value in model.graph.input] == ["x"]
    assert [value.name for value in model.graph.output] == ["probability", "predicted"]
    dims = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    ]
    assert dims == [["batch", 12], ["batch", CLASSES], ["batch"]]
    (entry,) = model.metadata_props
    about = json.loads(entry.value)
    assert about == export.about
    assert about["figures"]["test"] == {"sse": 1.5}
    assert set(about["versions"]) == {"sae", "torch"}
    assert model.producer_name == "sae"
    assert model.graph.input[0].doc_string.startswith("the values from 0 to 255")
    content = model.SerializeToString()
    for trace in (b".py", b"/tmp", b"stack_trace"):
        assert trace not in content


def test_what_a_file_cannot_hold_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(of_onnx, "MOST_BYTES", 100)
    with pytest.raises(InputError, match=r"a part below 2 GiB.*choose --format pt2"):
        Onnx().write(export_of(made()), tmp_path / "it.onnx")
    assert not list(tmp_path.iterdir())


def test_an_operator_that_onnx_lacks_is_said_in_a_sentence(monkeypatch, tmp_path):
    def fails(*args, **kwargs):
        raise RuntimeError("no decomposition\nfor aten::strange")

    monkeypatch.setattr("torch.onnx.export", fails)
    level = logging.getLogger("torch.onnx").level
    with pytest.raises(InputError) as error:
        Onnx().write(export_of(made()), tmp_path / "it.onnx")
    assert "operators that ONNX supports, found one that it does not support" in str(error.value)
    assert "\n" not in str(error.value)
    assert logging.getLogger("torch.onnx").level == level
