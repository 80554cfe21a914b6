from __future__ import annotations

import sae.run.board
from sae.objectives.classify import Classify

PHASES = [("stage1", "stage 1/1 12→6"), ("head", "head"), ("finetune", "fine-tune 12→6→3")]


def test_the_layout_has_the_curves_of_a_classifier_s_figures():
    layout = sae.run.board._layout(PHASES, Classify())
    tags = {
        key: [tag for chart in charts.values() for tag in chart[1]]
        for key, charts in layout.items()
    }
    assert tags["fine-tune 12→6→3"] == [
        "finetune/train/loss",
        "finetune/val/loss",
        "finetune/train/error",
        "finetune/val/error",
        "finetune/train/accuracy",
        "finetune/val/accuracy",
    ]
    assert "head/val/error" in tags["head"]
    assert tags["stage 1/1 12→6"] == ["stage1/train/loss", "stage1/val/loss"]
    assert tags["test"] == ["test/error", "test/accuracy"]
    assert list(layout["test"]) == ["test: error %", "test: accuracy %"]
