"""What of a finished run is exported: a function of rows in the user's units, as a module."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sae.errors import InputError, check_choice
from sae.export.trained import Trained
from sae.objectives.classify import Classify


@dataclass(frozen=True)
class Field:
    """An input or an output.

    Attributes:
        name: What it is called in the file.
        size: Numbers in a row; 0 for one number instead of a row.
        meaning: What these numbers are.
        dtype: Their type.
    """

    name: str
    size: int
    meaning: str
    dtype: str = "float32"

    def about(self) -> dict[str, Any]:
        """For the metadata of a file."""
        shape: list[Any] = ["batch", self.size] if self.size else ["batch"]
        return {"name": self.name, "shape": shape, "dtype": self.dtype, "meaning": self.meaning}


class Part(nn.Module, ABC):
    """A part of a run: one input, one output or more, each a batch of rows.

    What is prepared of samples before they enter the network is inside, and is undone behind it.

    Args:
        run: The run.

    Attributes:
        given: The input.
        gives: The outputs, in order.
        reconstructs: Whether it needs decoders that were trained.
    """

    given: Field
    gives: Sequence[Field]
    reconstructs: ClassVar[bool] = False

    def __init__(self, run: Trained) -> None:
        super().__init__()
        self.stack, self.preparation = run.stack, run.preparation
        self.sample = Field("x", run.n_raw, run.sample_words)
        self.code = Field("code", run.stack.n_code, "of each sample its code")
        self.rebuilt = Field(
            "reconstruction", run.n_raw, f"what is rebuilt of it: {run.sample_words}"
        )
        self._describe(run)

    @abstractmethod
    def _describe(self, run: Trained) -> None:
        """Set :attr:`given` and :attr:`gives`."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Each output of :attr:`gives`, (batch, size) or (batch,), of inputs (batch, size)."""

    def inputs(self, samples: Tensor) -> Tensor:
        """What it is given of samples in the user's units."""
        return samples

    def trimmed(self) -> Part:
        """A copy without the parameters that its outputs do not depend on."""
        part = copy.deepcopy(self).eval().requires_grad_(True)
        names, parameters = zip(*part.named_parameters(), strict=True)
        with torch.enable_grad():
            total = sum(y.sum() for y in part(torch.zeros(2, self.given.size)) if y.requires_grad)
            found = torch.autograd.grad(total, parameters, allow_unused=True)
        for name, grad in zip(names, found, strict=True):
            if grad is None:
                owner, _, own = name.rpartition(".")
                part.get_submodule(owner)._parameters[own] = None
        return part.requires_grad_(False)


class Encoder(Part):
    """From samples to codes."""

    def _describe(self, run: Trained) -> None:
        self.given, self.gives = self.sample, [self.code]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """See :class:`Part`."""
        return (self.stack.encode(self.preparation(x)),)


class Decoder(Part):
    """From codes to samples."""

    reconstructs = True

    def _describe(self, run: Trained) -> None:
        self.given, self.gives = self.code, [self.rebuilt]

    def inputs(self, samples: Tensor) -> Tensor:
        """The codes of samples."""
        return self.stack.encode(self.preparation(samples))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """See :class:`Part`."""
        return (self.preparation.inverse(self.stack.decode(x)),)


class Autoencoder(Part):
    """From samples to what is rebuilt of them."""

    reconstructs = True

    def _describe(self, run: Trained) -> None:
        self.given, self.gives = self.sample, [self.rebuilt]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """See :class:`Part`."""
        return (self.preparation.inverse(self.stack(self.preparation(x))),)


class Classifier(Part):
    """From samples to their classes."""

    def _describe(self, run: Trained) -> None:
        assert isinstance(run.objective, Classify)
        self.objective = run.objective
        classes = Field("probability", run.objective.n_classes, "of each class, from 0 to 1")
        predicted = Field("predicted", 0, "the number of the most probable class", "int64")
        self.given, self.gives = self.sample, [classes, predicted]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """See :class:`Part`."""
        probability = self.objective.logits(self.stack.encode(self.preparation(x))).softmax(dim=1)
        return probability, probability.argmax(dim=1)


PARTS: dict[str, type[Part]] = {
    "encoder": Encoder,
    "decoder": Decoder,
    "autoencoder": Autoencoder,
    "classifier": Classifier,
}


def part_of(run: Trained, what: str) -> Part:
    """A part of a run, in eval mode.

    Args:
        run: The run.
        what: One of :data:`PARTS`.

    Raises:
        InputError: There is no such part, or the run has not trained it.
    """
    check_choice("what", what, list(PARTS))
    kind = PARTS[what]
    if kind.reconstructs and not run.objective.reconstructs:
        remedy = "export the encoder or the classifier, or train with a reconstruction"
        found = f"a run fine-tuned to {type(run.objective).__name__.lower()}, which leaves them"
        raise InputError("what", "decoders that were trained last", found, remedy)
    if kind is Classifier and not isinstance(run.objective, Classify):
        remedy = "export the encoder, or train with --model.objective classify"
        raise InputError("what", "a run with a classifier's head", "one without", remedy)
    return kind(run).eval().requires_grad_(False)


def whole(run: Trained) -> str:
    """The part that uses all that a run has trained last."""
    return "autoencoder" if run.objective.reconstructs else "classifier"


def n_weights(part: Part) -> int:
    """How many numbers it holds."""
    return sum(math.prod(tensor.shape) for tensor in part.state_dict().values())
