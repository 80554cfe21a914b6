from __future__ import annotations

from helpers import tiny_model

from sae.training.plan import Journal, Phase, PhaseResult, Start, plan
from sae.training.recipe import Recipe


def test_plan_counts_and_names():
    phases = plan([784, 256, 128], [Recipe(epochs=10), Recipe(epochs=5)], Recipe(epochs=20))
    assert [phase.title for phase in phases] == [
        "stage 1/2 784→256",
        "stage 2/2 256→128",
        "fine-tune 784→256→128→256→784",
    ]
    assert [phase.epochs_before for phase in phases] == [0, 10, 15]
    assert {phase.epochs_overall for phase in phases} == {35}


def test_phases_of_no_epochs_are_left_out_and_the_numbers_stay():
    none, some = Recipe(epochs=0), Recipe(epochs=4)
    phases = plan([784, 256, 128], [none, some], none, head=some)
    assert [phase.name for phase in phases] == ["stage2", "head"]
    assert [phase.title for phase in phases] == ["stage 2/2 256→128", "head on 128 units"]
    assert [phase.epochs_before for phase in phases] == [0, 4]
    assert {phase.epochs_overall for phase in phases} == {8}


def test_what_is_fine_tuned_may_be_no_way_there_and_back():
    (phase,) = plan([784, 256], [Recipe(epochs=0)], Recipe(epochs=1), path="784→256→10")
    assert phase.title == "fine-tune 784→256→10"


def test_the_beginning_of_a_sentence():
    some = Recipe(epochs=1)
    phases = plan([784, 256], [some], some, head=some)
    assert [phase.subject for phase in phases] == ["stage 1", "the head", "the fine-tuned stack"]


def test_a_result_in_a_line():
    phase = Phase("stage1", "stage 1/2 784→256", Recipe(epochs=9), 3, 20)
    found = PhaseResult(phase, 1.26, 5, 2.5, None, {}, [])
    assert found.line("SSE per image") == (
        "stage 1/2 784→256: 5 epochs in 1.3 s, validation loss 2.500 SSE per image (overall 8/20)"
    )
    assert "validation error 2.500 %" in found.line("%", "error")
    silent = PhaseResult(phase, 1.26, 5, None, None, {}, [])
    assert silent.line("SSE") == "stage 1/2 784→256: 5 epochs in 1.3 s (overall 8/20)"


def test_a_journal_that_remembers_nothing_starts_everything_afresh():
    phase, model = Phase("stage1", "stage 1/1", Recipe(), 0, 1), tiny_model()
    journal = Journal()
    assert journal.recall(phase, model, model) is None
    assert journal.begin(phase) == Start(None, 0.0)
