from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from helpers import clone_state, loader, same_state, tiny_stack
from lightning import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from sae.callbacks.checkpoints import BestWeights, Snapshot, phase_checkpoints
from sae.run.checkpoint_io import read_checkpoint
from sae.training.recipe import Recipe
from sae.training.stage import Stage

QUIET = {"enable_progress_bar": False, "enable_model_summary": False}


class Losses(Callback):
    """Have these validation losses, whatever they are; and keep the weights of each epoch."""

    def __init__(self, losses: list[float]) -> None:
        self.losses, self.weights = losses, []

    def on_validation_end(self, trainer, pl_module) -> None:
        loss = torch.tensor(self.losses[trainer.current_epoch])
        trainer.callback_metrics["stage1/val/loss"] = loss
        self.weights.append(clone_state(pl_module))


def fit(*callbacks, epochs=3, logger=False, ckpt_path=None) -> tuple[Trainer, Stage]:
    stage, data = Stage(tiny_stack(), 0, Recipe(lr=0.01)), loader()
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=logger,
        num_sanity_val_steps=0,
        **QUIET,
    )
    trainer.fit(stage, data, data, ckpt_path=ckpt_path, weights_only=True)
    return trainer, stage


@pytest.mark.parametrize(("monitor", "epoch"), [("stage1/val/loss", 1), (None, 2)])
def test_the_best_has_the_lowest_loss_and_the_last_is_of_the_last_epoch(tmp_path, monitor, epoch):
    losses = Losses([3.0, 1.0, 2.0])
    best, last = phase_checkpoints(tmp_path, monitor)
    fit(losses, best, last)
    assert {path.name for path in tmp_path.iterdir()} == {"best.ckpt", "last.ckpt"}
    weights = {
        name: read_checkpoint(tmp_path / name)["state_dict"] for name in ("best.ckpt", "last.ckpt")
    }
    assert same_state(weights["best.ckpt"], losses.weights[epoch])
    assert same_state(weights["last.ckpt"], losses.weights[2])


def test_the_best_weights_are_those_that_go_on(tmp_path):
    losses = Losses([3.0, 1.0, 2.0])
    best, last = phase_checkpoints(tmp_path, "stage1/val/loss")
    _, stage = fit(losses, best, BestWeights(), last)
    assert same_state(clone_state(stage), losses.weights[1])
    assert not same_state(losses.weights[1], losses.weights[2])


def test_without_checkpoints_the_last_weights_go_on():
    losses = Losses([3.0, 1.0, 2.0])
    trainer = Trainer(
        max_epochs=3,
        callbacks=[losses, BestWeights()],
        logger=False,
        enable_checkpointing=False,
        **QUIET,
    )
    stage, data = Stage(tiny_stack(), 0, Recipe(lr=0.01)), loader()
    trainer.fit(stage, data, data)
    assert same_state(clone_state(stage), losses.weights[-1])


def test_a_folder_may_be_moved_before_a_training_goes_on(tmp_path):
    """What was best stays the best, where it lies now."""
    best, last = phase_checkpoints(tmp_path / "old", "stage1/val/loss")
    snapshot = Snapshot(lambda epochs, seconds: {"epochs": epochs, "seconds": seconds})
    fit(Losses([3.0, 1.0]), best, snapshot, last, epochs=2)
    shutil.move(tmp_path / "old", tmp_path / "new")
    best, last = phase_checkpoints(tmp_path / "new", "stage1/val/loss")
    losses, snapshot = Losses([9.0, 9.0, 2.0]), Snapshot(snapshot.make)
    path = tmp_path / "new" / "last.ckpt"
    fit(losses, best, snapshot, last, ckpt_path=path)
    assert Path(best.best_model_path) == tmp_path / "new" / "best.ckpt"
    assert read_checkpoint(tmp_path / "new" / "best.ckpt")["epoch"] == 1
    assert len(losses.weights) == 1, "one epoch was left"
    assert not (tmp_path / "old").exists()


def test_a_checkpoint_says_how_far_the_training_has_come(tmp_path):
    asked = []

    def make(epochs, seconds):
        asked.append((epochs, seconds))
        return {"epochs": epochs, "seconds": seconds}

    best, last = phase_checkpoints(tmp_path, "stage1/val/loss")
    fit(Losses([3.0, 1.0, 2.0]), best, Snapshot(make), last)
    noted = read_checkpoint(tmp_path / "last.ckpt")["sae"]
    assert noted == {"epochs": 3, "seconds": asked[-1][1], "stop": False, "best": True}
    seconds = [each for _, each in asked]
    assert seconds == sorted(seconds)


def test_time_is_counted_on_and_a_decision_to_stop_holds(tmp_path):
    class Stop(Callback):
        def on_train_epoch_end(self, trainer, pl_module) -> None:
            trainer.should_stop = True

    def make(epochs, seconds):
        return {"epochs": epochs, "seconds": 1000 + seconds}

    best, last = phase_checkpoints(tmp_path, None)
    fit(Stop(), best, Snapshot(make), last)
    assert read_checkpoint(tmp_path / "last.ckpt")["sae"]["stop"]
    losses, (best, last) = Losses([9.0] * 3), phase_checkpoints(tmp_path, None)
    snapshot = Snapshot(make)
    trainer, _ = fit(losses, best, snapshot, last, ckpt_path=tmp_path / "last.ckpt")
    assert trainer.current_epoch <= 1
    assert losses.weights == [], "not one epoch more"
    assert snapshot._seconds >= 1000


def test_event_files_are_written_out_before_their_length_is_noted(tmp_path, monkeypatch):
    logger = TensorBoardLogger(tmp_path, name="", version="board")
    order, flush = [], logger.experiment.flush
    monkeypatch.setattr(logger.experiment, "flush", lambda: order.append("flush") or flush())

    def make(epochs, seconds):
        order.append("noted")
        return {"epochs": epochs, "seconds": seconds}

    _, last = phase_checkpoints(tmp_path, None)
    fit(Snapshot(make), last, logger=logger)
    before = [order[k - 1] if k else None for k, what in enumerate(order) if what == "noted"]
    assert before == ["flush"] * 3
