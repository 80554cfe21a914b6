from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import sae.run.board
from sae.run.board import RunBoard

PHASES = [("stage1", "stage 1/1 12→6"), ("finetune", "fine-tune 12→6→12")]


def filled(folder) -> RunBoard:
    board = RunBoard(folder)
    board.begin("name: x", PHASES)
    codes, images = torch.rand(9, 2), torch.rand(9, 4, 3)
    board.show_codes(codes, np.arange(9) % 3, images)
    board.end({"model.sizes": [12, 6], "finetune.patience": None}, {"test/sse": 2.5}, "a table")
    return board


def test_a_run_that_goes_on_leaves_nothing_twice(tmp_path):
    for _ in range(2):
        filled(tmp_path)
    read = EventAccumulator(str(tmp_path)).Reload()
    assert [event.value for event in read.Scalars("test/sse")] == [2.5]
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1
    assert (tmp_path / "projector_config.pbtxt").read_text().count("embeddings {") == 1


def test_it_leaves_the_files_of_the_phases_alone(tmp_path):
    (tmp_path / "stage1").mkdir()
    other = tmp_path / "stage1" / "events.out.tfevents.1"
    other.write_text("x")
    filled(tmp_path)
    assert other.read_text() == "x"
    assert not list(tmp_path.rglob("hparams.yaml")), "config.yaml says it all"


@pytest.mark.parametrize("shape", [(4, 3), (3, 4)])
def test_images_are_padded_to_the_squares_that_the_projector_wants(tmp_path, shape):
    board = RunBoard(tmp_path)
    board.begin("name: x", PHASES)
    board.show_codes(torch.rand(9, 2), np.zeros(9, dtype=int), torch.zeros(9, *shape))
    text = (tmp_path / "projector_config.pbtxt").read_text()
    assert text.count("single_image_dim: 4") == 2


def sprite(folder) -> np.ndarray:
    return np.asarray(PIL.Image.open(next(folder.rglob("sprite.png"))))


@pytest.mark.parametrize("shape", [(90, 60), (60, 90, 3)])
def test_large_images_are_made_small_enough_for_the_projector(tmp_path, shape, monkeypatch):
    assert sae.run.board.SPRITE == 8192
    monkeypatch.setattr(sae.run.board, "SPRITE", 409)  # the true one takes seconds to write
    images = torch.zeros(100, *shape)
    images[1, :30] = 1.0
    board = RunBoard(tmp_path)
    board.begin("name: x", PHASES)
    board.show_codes(torch.rand(100, 2), np.zeros(100, dtype=int), images)
    assert sprite(tmp_path).shape[:2] == (400, 400)
    assert (tmp_path / "projector_config.pbtxt").read_text().count("single_image_dim: 40") == 2
    second = sprite(tmp_path)[:40, 40:80, 0]
    height, width = (length * 40 // 90 for length in shape[:2])
    edge = 30 * height // shape[0]
    assert (second[: edge - 1] == 255).all()
    assert (second[edge + 1 : height, :width] == 0).all()
    assert (second[height:] == 255).all(), "padding"
    assert (second[:, width:] == 255).all(), "padding"


def test_images_in_colour_keep_their_colours(tmp_path):
    images = torch.rand(4, 5, 5, 3)
    board = RunBoard(tmp_path)
    board.begin("name: x", PHASES)
    board.show_codes(torch.rand(4, 2), np.zeros(4, dtype=int), images)
    np.testing.assert_allclose(sprite(tmp_path)[:5, :5] / 255, images[0].numpy(), atol=0.005)
