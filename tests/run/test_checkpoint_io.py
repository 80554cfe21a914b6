from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import tiny_model, tiny_stack
from safetensors import safe_open

from sae.errors import InputError
from sae.run.checkpoint_io import (
    UnreadableError,
    WholeFileIO,
    fingerprint,
    load_checkpoint,
    read_checkpoint,
    read_weights,
    write_weights,
)


def test_fingerprint_sees_every_weight():
    stack = tiny_stack()
    before = fingerprint(stack)
    assert fingerprint(tiny_stack()) == before
    with torch.no_grad():
        stack[1].decoder_bias[0] += 1e-6
    assert fingerprint(stack) != before


class Evil:
    """A pickle of it runs a command when it is read."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.system, (f"touch {self.folder / 'ran'}",)


@pytest.mark.parametrize("kind", ["in a checkpoint", "as weights", "bare"])
def test_a_pickle_that_would_run_code_does_not_and_the_message_says_so(kind, tmp_path):
    path = tmp_path / "evil.ckpt"
    evil = Evil(tmp_path)
    if kind == "bare":
        path.write_bytes(pickle.dumps({"state_dict": evil}))
    else:
        torch.save({"hyper_parameters": evil} if kind == "in a checkpoint" else evil, path)
    code = "a bare pickle" if kind == "bare" else "posix.system"
    found = f"found one that would run code when it is read ({code}; it was not run) in"
    with pytest.raises(InputError, match=re.escape(found)):
        load_checkpoint(str(path), tiny_model())
    assert not (tmp_path / "ran").exists()


def test_it_would_have_run(tmp_path):
    """The test above shows something."""
    path = tmp_path / "evil.ckpt"
    torch.save(Evil(tmp_path), path)
    torch.load(path, weights_only=False)
    assert (tmp_path / "ran").exists()


def test_a_checkpoint_with_a_flipped_bit_is_not_read(tmp_path):
    path = tmp_path / "a.ckpt"
    WholeFileIO().save_checkpoint({"state_dict": {"w": torch.ones(1000)}}, path)
    assert read_checkpoint(path)["state_dict"]["w"].sum() == 1000
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match="something else or a damaged one"):
        read_checkpoint(path)


def test_weights_come_back_as_they_were(tmp_path):
    stack = tiny_stack(tied=True)
    write_weights(tmp_path / "a.safetensors", stack, {"phase": "finetune"})
    back = read_weights(tmp_path / "a.safetensors")
    assert back.keys() == stack.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in stack.state_dict().items())
    assert not [name for name in back if "decoder_weight" in name], "tied: one tensor, not two"


ABOUT = {"phase": "finetune", "network": "12→6→3", "a": "b", "z": ""}


def test_equal_weights_are_equal_files(tmp_path):
    """Within a process and in another: what varies from one to the next must not show."""
    script = (
        "import pathlib, sys; sys.path[:0] = sys.argv[1:3]; import test_checkpoint_io as t; "
        "t.write_weights(pathlib.Path(sys.argv[3]), t.tiny_stack(), t.ABOUT)"
    )
    here = Path(__file__).parent
    command = [sys.executable, "-c", script, str(here), str(here.parent), str(tmp_path / "other")]
    subprocess.run(command, check=True)
    for k in range(20):
        write_weights(tmp_path / f"own{k}", tiny_stack(), ABOUT)
    assert len(list(tmp_path.iterdir())) == 21
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    with safe_open(tmp_path / "own0", "pt") as file:
        assert json.loads(file.metadata()["about"]) == ABOUT


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_damaged_weights_are_not_read(damage, tmp_path):
    path = tmp_path / "a.safetensors"
    write_weights(path, tiny_stack(), {})
    content = {"cut": path.read_bytes()[:200], "text": b"no weights at all", "empty": b""}
    path.write_bytes(content[damage])
    with pytest.raises(UnreadableError, match="damaged"):
        read_weights(path)
