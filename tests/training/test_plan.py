from __future__ import annotations

from sae.training.plan import plan
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
