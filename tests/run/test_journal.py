from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers import clone_state, same_state, tiny_model

from sae.run.checkpoint_io import fingerprint
from sae.run.folder import Run
from sae.run.journal import METRICS, RunJournal
from sae.training.plan import Phase, PhaseResult
from sae.training.recipe import Recipe
from sae.training.stage import Stage

FIRST = Phase("stage1", "stage 1/2 12→6", Recipe(epochs=2), 0, 6)
SECOND = Phase("stage2", "stage 2/2 6→3", Recipe(epochs=2), 2, 6)


def result(phase: Phase, **kwargs) -> PhaseResult:
    found = {"seconds": 1.5, "epochs": 2, "loss": 0.25, "checkpoint": None, "health": {"dead": 0.5}}
    return PhaseResult(phase=phase, **(found | {"warnings": ["many dead units"]} | kwargs))


class Going:
    """A run whose first stage is finished, and what is there when it goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, []
        folder.mkdir()
        self.model = tiny_model()
        journal = self.opened()
        assert journal.recall(FIRST, self.stage(0), self.model) is None
        journal.begin(FIRST)
        (folder / METRICS).write_text("of stage 1\n")
        with torch.no_grad():
            self.model.stack[0].weight.add_(1)  # the training
        journal.note(result(FIRST), self.stage(0), self.model)
        (folder / METRICS).write_text("of stage 1\nof stage 2, interrupted\n")
        self.trained = clone_state(self.model)
        self.told, self.said = self.said, []
        self.model = tiny_model()

    def stage(self, index: int) -> Stage:
        return Stage(self.model.stack, index, Recipe())

    def opened(self, keeps_weights: bool = True) -> RunJournal:
        return RunJournal(Run(self.folder).read(), keeps_weights, self.said.append)

    def entry(self) -> dict:
        return json.loads((self.folder / "manifest.json").read_text())["phases"][0]

    def change(self, **entry) -> None:
        content = json.dumps({"phases": [self.entry() | entry]})
        (self.folder / "manifest.json").write_text(content)


@pytest.fixture
def going(tmp_path) -> Going:
    return Going(tmp_path / "run")


def test_a_finished_phase_is_written_down_and_told(going):
    entry = going.entry()
    assert (entry["name"], entry["status"], entry["epochs"], entry["loss"]) == (
        "stage1",
        "done",
        2,
        0.25,
    )
    assert entry["unit"] == "SSE per image"
    assert entry["files"] == {METRICS: len("of stage 1\n")}
    assert (going.folder / entry["weights"]).exists()
    assert going.told == [
        "stage 1/2 12→6: 2 epochs in 1.5 s, validation loss 0.250 SSE per image (overall 2/6)",
        "warning: many dead units",
    ]


def test_it_is_not_done_again(going):
    found = going.opened().recall(FIRST, going.stage(0), going.model)
    assert found == result(FIRST)
    assert same_state(clone_state(going.model), going.trained)
    assert going.said == ["stage 1/2 12→6: done before (2 epochs)"]


def test_one_that_was_broken_off_without_a_checkpoint_starts_over(going):
    events = going.folder / "stage2" / "events.out.tfevents.1"
    events.parent.mkdir()
    events.touch()
    journal = going.opened()
    journal.recall(FIRST, going.stage(0), going.model)
    assert journal.recall(SECOND, going.stage(1), going.model) is None
    start = journal.begin(SECOND)
    assert (start.checkpoint, start.seconds) == (None, 0.0)
    assert (going.folder / METRICS).read_text() == "of stage 1\n", "no row stands there twice"
    assert not events.exists()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("cut", "its weights are damaged"),
        ("other", "its weights are not those that it saved"),
        ("shape", "its weights are of another network"),
        ("below", "the weights below it are not those that it was trained on"),
        ("none", "it saved no weights"),
    ],
)
def test_one_that_does_not_hold_is_trained_anew_and_the_rest_set_aside(going, damage, reason):
    weights = going.folder / going.entry()["weights"]
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:100])
    elif damage == "other":
        going.change(weights_sha256="0")
    elif damage == "shape":
        going.model = tiny_model(sizes=[12, 5, 3])
        going.change(upstream_sha256=fingerprint(going.model))
    elif damage == "below":
        going.model.stack[1].bias.data.add_(1)
    else:
        going.change(weights=None)
    before = clone_state(going.model)
    assert going.opened().recall(FIRST, going.stage(0), going.model) is None
    (line,) = going.said
    assert line.startswith(f"stage 1/2 12→6: trained again, because {reason}")
    assert same_state(clone_state(going.model), before), "not half of what was there"
    assert not (going.folder / "stage1").exists()
    assert (going.folder / "stage1.replaced_0").is_dir()


def test_metrics_that_were_cut_short_are_missed(going):
    (going.folder / METRICS).write_text("of")
    going.opened().recall(FIRST, going.stage(0), going.model)
    assert f"{METRICS}: shorter than when it was written, so its end is missing" in going.said


def test_a_run_that_keeps_no_weights_leaves_none(tmp_path):
    said, model = [], tiny_model()
    (tmp_path / "run").mkdir()
    journal = RunJournal(Run(tmp_path / "run"), False, said.append)
    stage = Stage(model.stack, 0, Recipe())
    journal.recall(FIRST, stage, model)
    journal.note(result(FIRST), stage, model)
    assert journal.run.manifest["phases"][0]["weights"] is None
    assert not (tmp_path / "run" / "stage1").exists()


def test_a_checkpoint_says_from_which_weights_it_comes_and_how_long_files_are(going):
    journal = going.opened()
    journal.recall(FIRST, going.stage(0), going.model)
    journal.recall(SECOND, going.stage(1), going.model)
    journal.begin(SECOND)
    assert journal.snapshot("stage2", 3, 4.5) == {
        "phase": "stage2",
        "upstream_sha256": going.entry()["weights_sha256"],
        "epochs": 3,
        "seconds": 4.5,
        "files": {METRICS: len("of stage 1\n")},
    }
