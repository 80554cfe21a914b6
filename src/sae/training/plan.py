"""The phases of a run, what comes of each, and who remembers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from sae.text import chain
from sae.training.module import TrainingModule
from sae.training.recipe import Recipe


@dataclass(frozen=True)
class Phase:
    """One training in the run: a stage, or the fine-tuning.

    Attributes:
        name: ``stage1``, …, ``finetune``; also its folder and the head of its metrics' names.
        title: The same for people: ``stage 1/2 784→256``.
        recipe: How it is trained.
        epochs_before: Epochs of the phases before it.
        epochs_overall: Epochs of the whole run.
    """

    name: str
    title: str
    recipe: Recipe
    epochs_before: int
    epochs_overall: int

    @property
    def subject(self) -> str:
        """What it trains, for the beginning of a sentence: ``stage 1``."""
        if self.name == "head":
            return "the head"
        return "the fine-tuned stack" if self.name == "finetune" else self.title.split("/")[0]


@dataclass(frozen=True)
class PhaseResult:
    """What came of a phase.

    Attributes:
        phase: Which.
        seconds: Wall time of its training, validation and pictures included.
        epochs: Epochs really trained (early stopping ends sooner).
        loss: Of the weights that go on, what a validation is judged by, which is the loss or an
            error (``monitor`` of :class:`~sae.objectives.objective.Objective`); None where nothing
            was validated.
        checkpoint: File of the weights that went on, or None where the Trainer keeps none.
        health: Figures of :class:`~sae.look.health.Health` on the validation inputs.
        warnings: What is wrong with it, in plain words.
        steps: Steps of its optimiser.
    """

    phase: Phase
    seconds: float
    epochs: int
    loss: float | None
    checkpoint: str | None
    health: Mapping[str, float | None]
    warnings: Sequence[str]
    steps: int = 0

    def line(self, unit: str, judged_by: str = "loss") -> str:
        """The same in a line."""
        loss = "" if self.loss is None else f", validation {judged_by} {self.loss:.3f} {unit}"
        overall = f"overall {self.phase.epochs_before + self.epochs}/{self.phase.epochs_overall}"
        title, seconds = self.phase.title, self.seconds
        return f"{title}: {self.epochs} epochs in {seconds:.1f} s{loss} ({overall})"


@dataclass(frozen=True)
class Start:
    """Where a phase starts from.

    Attributes:
        checkpoint: One of its own to go on from; None for a fresh start.
        seconds: Time that the training up to there has taken.
    """

    checkpoint: str | None = None
    seconds: float = 0.0


def plan(
    sizes: Sequence[int],
    stages: Sequence[Recipe],
    finetune: Recipe,
    head: Recipe | None = None,
    path: str | None = None,
) -> list[Phase]:
    """The phases of a run in order, without those of zero epochs.

    Args:
        sizes: Units from the input to the code.
        stages: Recipe of each stage.
        finetune: Recipe of the fine-tuning.
        head: Recipe of the head alone, before it; None where there is none.
        path: What is fine-tuned, in a line; there and back if left out.
    """
    n = len(stages)
    drafts = [
        (f"stage{k + 1}", f"stage {k + 1}/{n} {sizes[k]}→{sizes[k + 1]}", recipe)
        for k, recipe in enumerate(stages)
    ]
    if head is not None:
        drafts.append(("head", f"head on {sizes[-1]} units", head))
    drafts.append(("finetune", f"fine-tune {path or chain(sizes)}", finetune))
    overall = sum(recipe.epochs for _, _, recipe in drafts)
    phases, before = [], 0
    for name, title, recipe in drafts:
        if recipe.epochs > 0:
            phases.append(Phase(name, title, recipe, before, overall))
        before += recipe.epochs
    return phases


class Journal:
    """What has been done before, and what is to be remembered. This one knows nothing.

    The command line's own is :class:`sae.run.journal.RunJournal`, kept in the run's folder.
    """

    def recall(self, phase: Phase, module: TrainingModule, model: nn.Module) -> PhaseResult | None:
        """The result of a phase that was finished before, its weights loaded; or None."""
        return None

    def begin(self, phase: Phase) -> Start:
        """Where a phase that is to be trained starts from."""
        return Start()

    def note(self, result: PhaseResult, module: TrainingModule, model: nn.Module) -> None:
        """Remember a finished phase."""
