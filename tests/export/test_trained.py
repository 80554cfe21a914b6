from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from exported import made

from sae.data.prepare import Pixels
from sae.errors import InputError
from sae.export.trained import read_trained
from sae.run.checkpoint_io import read_weights


def test_a_finished_run_is_read(finished):
    run = read_trained(finished[0])
    weights = read_weights(finished[0] / "finetune" / "weights.safetensors")
    assert all(torch.equal(run.stack.state_dict()[name], weights[name]) for name in weights)
    assert (run.n_raw, run.image_shape) == (784, (28, 28))
    assert run.summary["network"] == "784→12→4→12→784"
    assert run.manifest["name"] == "digits"
    assert run.config["model"]["sizes"] == [784, 12, 4]
    assert run.sample_words == "the values from 0 to 255 of samples of 28x28, row by row"


def test_a_run_without_its_summary_is_refused(finished):
    folder = Path(shutil.copytree(finished[0], "run"))
    (folder / "summary.json").unlink()
    with pytest.raises(InputError, match=r"a file summary\.json"):
        read_trained(folder)


def test_rows_are_described_in_the_users_units():
    run = made()
    assert "from 0 to 255" in run.sample_words
    run = dataclasses.replace(run, preparation=Pixels(1))
    assert run.sample_words == "the values of samples of 4x3, row by row"
