"""Killed anywhere, gone on with, the run is bit for bit the one that nothing happened to.

The ordinary suite kills at three points; ``pytest -m long tests/test_kill.py`` at all of them, and
then at random moments.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from helpers import ROOT
from killing import at_call, differences, half_a_row, outcome, run, where, while_writing

from sae import experiment
from sae.callbacks import phase_pictures
from sae.callbacks.checkpoints import BestWeights, Snapshot
from sae.callbacks.metrics_csv import MetricsCSV
from sae.run.board import RunBoard
from sae.training.handover import CodesInMemory
from sae.training.module import TrainingModule

FOLDER = Path("lightning_logs/digits/version_0")
# All that has a state: noise, a schedule, sparsity, patience, pictures under way.
RUN = ["fit", "--config", str(ROOT / "configs" / "digits.yaml"), "--model.sizes", "[784, 12, 4]"]
RUN += ["--pretrain.epochs", "3", "--finetune.epochs", "4", "--pictures_every", "2"]
RUN += ["--pretrain.corruption", '{"kind": "gaussian", "level": 0.2}', "--finetune.patience", "3"]
RUN += ["--pretrain.sparsity", '{"rho": 0.2}', "--data.batch_size", "100"]
STEPS = 13  # in an epoch

FEW = {
    "half of last.ckpt is written, in stage 2": while_writing("last.ckpt", 5),
    "between the stages": at_call(CodesInMemory, "hand_on", 1),
    "in the middle of an epoch of fine-tuning": at_call(
        TrainingModule, "training_loss", 6 * STEPS + 2 * STEPS + 5
    ),
}
MANY = {
    **{
        f"step {step} of the run": at_call(TrainingModule, "training_loss", step)
        for step in (1, 7, STEPS, STEPS + 1, 3 * STEPS, 4 * STEPS + 3, 6 * STEPS, 10 * STEPS)
    },
    **{
        f"the manifest is written, time {k}, {'done' if done else 'half'}": while_writing(
            "manifest.json", k, done
        )
        for k in (1, 2, 3, 4, 5, 6, 7, 8)
        for done in (False, True)
    },
    **{
        f"{name} is written, time {k}, {'done' if done else 'half'}": while_writing(name, k, done)
        for name, times in (
            ("best.ckpt", (1, 2, 5)),
            ("last.ckpt", (1, 3, 4, 7, 10)),
            ("weights.safetensors", (1, 2, 3)),
            ("summary.json", (1,)),
            ("config.yaml", (1,)),
        )
        for k in times
        for done in (False, True)
    },
    **{
        f"half of row {k} is written": at_call(MetricsCSV, "on_train_epoch_end", k, half_a_row)
        for k in (1, 4, 9)
    },
    **{f"snapshot {k}": at_call(Snapshot, "on_save_checkpoint", k) for k in (2, 9, 17)},
    **{f"validation step {k}": at_call(TrainingModule, "validation_step", k) for k in (1, 9)},
    **{f"a phase ends, {k}": at_call(BestWeights, "on_fit_end", k) for k in (1, 2, 3)},
    **{f"a picture is drawn, {k}": at_call(phase_pictures, "render", k) for k in (1, 4, 12, 21)},
    **{f"a picture is shown, {k}": at_call(phase_pictures, "show", k) for k in (2, 5, 14)},
    "the pictures of the stack are drawn": at_call(experiment, "show", 1),
    "the test figures are shown": at_call(RunBoard, "end", 1),
    "the validation codes are handed on": at_call(CodesInMemory, "hand_on", 2),
    "before the evaluation": at_call(experiment, "validation_sse", 1),
    "in the evaluation": at_call(experiment, "figures_on_test", 1),
}
RANDOM_RUNS, KILLS_A_RUN = 6, 5


@pytest.fixture(scope="module")
def wanted(tmp_path_factory) -> tuple[dict, float]:
    """What an unbroken run comes to, and how long it takes."""
    folder = tmp_path_factory.mktemp("unbroken")
    start = time.perf_counter()
    assert run(RUN, folder) == 0
    return outcome(folder / FOLDER), time.perf_counter() - start


def go_on_until_done(folder: Path) -> None:
    assert run([*RUN, "--resume", "auto"], folder) == 0, (folder / "err.txt").read_text()


@pytest.mark.parametrize("plan", FEW.values(), ids=FEW)
def test_killed_and_gone_on_with(plan, wanted, tmp_path):
    assert run(RUN, tmp_path, plan) == -signal.SIGKILL
    go_on_until_done(tmp_path)
    assert not differences(wanted[0], outcome(tmp_path / FOLDER))
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.long
@pytest.mark.parametrize("plan", MANY.values(), ids=MANY)
def test_killed_anywhere(plan, wanted, tmp_path):
    assert run(RUN, tmp_path, plan) == -signal.SIGKILL
    go_on_until_done(tmp_path)
    folder = sorted((tmp_path / FOLDER).parent.glob("version_*"))[-1]
    assert not differences(wanted[0], outcome(folder))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(RANDOM_RUNS))
def test_killed_again_and_again_at_random_moments(seed, wanted, tmp_path, capsys):
    rng, hit = random.Random(seed), Counter[str]()
    code = -signal.SIGKILL
    for kill in range(KILLS_A_RUN):
        again = ["--resume", "auto"] if kill else []
        code = run([*RUN, *again], tmp_path, after=rng.uniform(0.3, 0.7 * wanted[1]))
        if code != -signal.SIGKILL:
            break
        hit[where(tmp_path / FOLDER)] += 1
    if code == -signal.SIGKILL:
        go_on_until_done(tmp_path)
    folder = sorted((tmp_path / FOLDER).parent.glob("version_*"))[-1]
    assert not differences(wanted[0], outcome(folder))
    with capsys.disabled():
        print(f"\nkilled {sum(hit.values())} times: {dict(hit)}")
