from __future__ import annotations

import itertools
import re

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


def test_elsewhere_a_short_training_says_nothing(capsys):
    fit(StageProgressBar("stage1", "stage 1/2 12→6", 4, 9))
    assert capsys.readouterr().out == ""


def seconds_pass(monkeypatch, step: float) -> None:
    """Have the bar's clock go on by so many seconds whenever it is looked at."""
    times = itertools.count(0, step)
    monkeypatch.setattr("sae.callbacks.progress.perf_counter", lambda: next(times))


def test_elsewhere_a_long_epoch_gets_a_line_but_for_the_last(monkeypatch, capsys):
    seconds_pass(monkeypatch, 12)
    trainer = fit(StageProgressBar("stage1", "stage 1/2 12→6", 4, 9))
    first, second = capsys.readouterr().out.splitlines()
    loss = r"\d+\.\d{3}"
    wanted = rf"stage 1/2 12→6: epoch 1/3, validation loss {loss}, 12 s \(overall 5/9\)"
    assert re.fullmatch(wanted, first)
    assert re.fullmatch(
        wanted.replace("1/3", "2/3").replace("12 s", "24 s").replace("5/9", "6/9"), second
    )
    last = float(trainer.callback_metrics["stage1/val/loss"])
    assert last < float(re.search(loss, first)[0]), "they are those of their epochs"


def test_elsewhere_an_epoch_without_validation_shows_no_loss(monkeypatch, capsys):
    seconds_pass(monkeypatch, 12)
    bar = StageProgressBar("stage1", "stage 1/2 12→6", 0, 9)
    fit(bar, epochs=5, check_val_every_n_epoch=2)
    lines = capsys.readouterr().out.splitlines()
    assert ["validation loss" in line for line in lines] == [False, True, False, True]


def test_a_bar_can_be_made_without_a_standard_output(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    assert StageProgressBar("stage1", "stage 1/2 12→6", 0, 9).on_terminal is False


def test_elsewhere_short_epochs_share_a_line_every_ten_seconds(monkeypatch, capsys):
    seconds_pass(monkeypatch, 4)
    fit(StageProgressBar("stage1", "stage 1/2 12→6", 0, 9), epochs=9)
    lines = capsys.readouterr().out.splitlines()
    assert [re.search(r"epoch (\d)/9", line)[1] for line in lines] == ["3", "6"]


def test_elsewhere_only_the_first_process_speaks(monkeypatch, capsys):
    seconds_pass(monkeypatch, 12)
    monkeypatch.setattr(Trainer, "is_global_zero", False)
    fit(StageProgressBar("stage1", "stage 1/2 12→6", 0, 9))
    assert capsys.readouterr().out == ""


def test_a_line_without_a_loss():
    bar = StageProgressBar("finetune", "fine-tune", 0, 9)
    assert bar.line(0, 3, None, 12.3) == "fine-tune: epoch 1/3, 12 s (overall 1/9)"


def test_a_terminal_gets_no_lines(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    seconds_pass(monkeypatch, 12)
    fit(StageProgressBar("stage1", "stage 1/2 12→6", 0, 9))
    assert "epoch 1/3, validation loss" not in capsys.readouterr().out
