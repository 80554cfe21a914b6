from __future__ import annotations

import json
from pathlib import Path

from helpers import fit, read
from lightning.pytorch.loggers import CSVLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

FEW = ["--data.batch_size", "500", "--pictures_every", "-1"]


def weights(folder: Path) -> list[str]:
    return [phase["weights_sha256"] for phase in read(folder, "manifest.json")["phases"]]


def test_the_loss_of_single_steps_is_logged_when_asked_for():
    plain = fit(*FEW, "--name", "plain")
    folder = fit(*FEW, "--name", "steps", "--trainer.log_every_n_steps", "2")
    steps = 2 * 3  # epochs of three batches
    for phase in ("stage1", "stage2", "finetune"):
        board = EventAccumulator(str(folder / phase)).Reload()
        found = board.Scalars(f"{phase}/train/step_loss")
        assert [event.step for event in found] == list(range(1, steps, 2))
        assert len({event.value for event in found}) == len(found)
        losses = [event.value for event in board.Scalars(f"{phase}/train/loss")]
        assert min(losses) * 0.9 < found[-1].value < max(losses) * 1.1
        tags = EventAccumulator(str(plain / phase)).Reload().Tags()["scalars"]
        assert f"{phase}/train/step_loss" not in tags
    assert weights(folder) == weights(plain)


def test_summed_gradients_have_one_step_loss(tmp_path):
    logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": "x"}}
    options = ["--trainer.accumulate_grad_batches", "2", "--trainer.log_every_n_steps", "1"]
    fit(*FEW, *options, "--trainer.logger", json.dumps(logger))
    (path,) = Path("x").rglob(CSVLogger("y").experiment.NAME_METRICS_FILE)
    rows = [row.split(",") for row in path.read_text().splitlines()]
    column = rows[0].index("stage1/train/step_loss")
    losses = [float(row[column]) for row in rows[1:] if row[column]]
    assert len(losses) == 4
    means = [float(row[rows[0].index("stage1/train/loss")] or "nan") for row in rows[1:]]
    means = [mean for mean in means if mean == mean]
    assert all(0.7 * min(means) < loss < 1.3 * max(means) for loss in losses)  # not their half
