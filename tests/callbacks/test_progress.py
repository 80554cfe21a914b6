from __future__ import annotations

from helpers import loader, tiny_stack
from lightning import Trainer

from sae.callbacks.progress import StageProgressBar
from sae.training.recipe import Recipe
from sae.training.stage import Stage

PLAIN = Recipe(lr=0.01)


def fit(*callbacks, recipe=PLAIN, index=0, epochs=3, **options):
    stage = Stage(tiny_stack(), index, recipe)
    data = loader(features=stage.net.n_in)
    trainer = Trainer(
        max_epochs=epochs,
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(stage, data, data)
    return trainer


def test_the_bar_names_the_stage_the_epoch_and_the_overall_count():
    bar = StageProgressBar("stage2", "stage 2/3 256→128", 10, 40)
    assert bar.describe(2, 10) == "stage 2/3 256→128 · epoch 3/10 · overall 13/40"


def test_the_bar_shows_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    fit(StageProgressBar("stage1", "stage 1/2 12→6", 0, 9))
    out = capsys.readouterr().out
    assert "stage 1/2 12→6 · epoch 3/3 · overall 3/9" in out
    assert "val=" in out


def test_elsewhere_there_is_none(capsys):
    fit(StageProgressBar("stage1", "stage 1/2 12→6", 4, 9))
    assert capsys.readouterr().out == ""
