"""The phases of a run, their results, and the journal that keeps the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from sae.text import chain, epochs
from sae.training.module import TrainingModule
from sae.training.recipe import Recipe


@dataclass(frozen=True)
class Phase:
    """One training in the run: a stage, the head, or the fine-tuning.

    Attributes:
        name: ``stage1``, …, ``head``, ``finetune``; also the name of its folder and the first part
            of its metrics' names.
        title: The name in messages: ``stage 1/2 784→256``.
        recipe: How it is trained.
        epochs_before: Epochs of all earlier phases.
        epochs_overall: Epochs of the whole run.
    """

    name: str
    title: str
    recipe: Recipe
    epochs_before: int
    epochs_overall: int

    @property
    def subject(self) -> str:
        """What this phase trains, as the subject of a sentence: ``stage 1``."""
        if self.name == "head":
            return "the head"
        return "the fine-tuned stack" if self.name == "finetune" else self.title.split("/")[0]


@dataclass(frozen=True)
class PhaseResult:
    """The result of a phase.

    Attributes:
        phase: The phase.
        seconds: Wall time of its training, with validation and pictures.
        epochs: Epochs that were trained (fewer after early stopping).
        loss: Validation loss or error of the weights that are kept (``monitor`` of
            :class:`~sae.objectives.objective.Objective`); None if nothing was validated.
        checkpoint: File of the weights that are kept, or None if the Trainer writes none.
        health: Figures of :class:`~sae.look.health.Health` on the validation inputs.
        warnings: What is wrong with it, in sentences.
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
        """Return the result in one line."""
        loss = "" if self.loss is None else f", validation {judged_by} {self.loss:.3f} {unit}"
        overall = f"overall {self.phase.epochs_before + self.epochs}/{self.phase.epochs_overall}"
        title, seconds = self.phase.title, self.seconds
        return f"{title}: {epochs(self.epochs)} in {seconds:.1f} s{loss} ({overall})"


@dataclass(frozen=True)
class Start:
    """Where a phase starts.

    Attributes:
        checkpoint: Checkpoint of this phase to resume from; None to start at the beginning.
        seconds: Training time up to that checkpoint.
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
    """Return the phases of a run in order, without those of zero epochs.

    Args:
        sizes: Units from the input to the code.
        stages: Recipe of each stage.
        finetune: Recipe of the fine-tuning.
        head: Recipe of the head's own training before that; None if there is none.
        path: The fine-tuned network in one line; encoders and decoders if left out.
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
    """Remembers finished phases. This base class remembers nothing.

    The command line uses :class:`sae.run.journal.RunJournal`, which writes to the run's folder.
    """

    def recall(self, phase: Phase, module: TrainingModule, model: nn.Module) -> PhaseResult | None:
        """Load the weights of a phase that is finished and return its result; else None."""
        return None

    def begin(self, phase: Phase) -> Start:
        """Return where the training of a phase starts."""
        return Start()

    def note(self, result: PhaseResult, module: TrainingModule, model: nn.Module) -> None:
        """Remember a finished phase."""
