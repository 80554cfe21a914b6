"""The parts of a finished run that can be exported, as modules that take the user's units."""

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
    """An input or an output of a file.

    Attributes:
        name: Its name in the file.
        size: Number of values in a row; 0 for a single value, (batch,).
        meaning: Description of the values.
        dtype: Type of the values.
    """

    name: str
    size: int
    meaning: str
    dtype: str = "float32"

    def about(self) -> dict[str, Any]:
        """Its description for the metadata of a file, as plain values."""
        shape: list[Any] = ["batch", self.size] if self.size else ["batch"]
        return {"name": self.name, "shape": shape, "dtype": self.dtype, "meaning": self.meaning}


class Part(nn.Module, ABC):
    """The base of all parts: a module with one input and one or more outputs, all batches of rows.

    It contains the preparation, so samples are in the user's units, and reconstructions, too.

    Args:
        run: The run.

    Attributes:
        given: The input.
        gives: The outputs, in order.
        reconstructs: Whether it needs trained decoders.
    """

    given: Field
    gives: Sequence[Field]
    reconstructs: ClassVar[bool] = False

    def __init__(self, run: Trained) -> None:
        super().__init__()
        self.stack, self.preparation = run.stack, run.preparation
        self.sample = Field("x", run.n_raw, run.sample_words)
        self.code = Field("code", run.stack.n_code, "the code of each sample")
        self.rebuilt = Field("reconstruction", run.n_raw, f"the reconstruction: {run.sample_words}")
        self._describe(run)

    @abstractmethod
    def _describe(self, run: Trained) -> None:
        """Set :attr:`given` and :attr:`gives`."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs of :attr:`gives`.

        Args:
            x: Inputs, (batch, size of :attr:`given`), float32.

        Returns:
            Each output, (batch, size) or (batch,).
        """

    def inputs(self, samples: Tensor) -> Tensor:
        """The inputs for samples in the user's units: the samples, or their codes."""
        return samples

    def trimmed(self) -> Part:
        """A copy without parameters that do not influence the outputs."""
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
    """From samples to their reconstructions."""

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
        meaning = "the probability of each class, from 0 to 1"
        classes = Field("probability", run.objective.n_classes, meaning)
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
    """Create a part of a run, in eval mode.

    Args:
        run: The run.
        what: A name in :data:`PARTS`.

    Raises:
        InputError: ``what`` is unknown, or the run has not trained this part.
    """
    check_choice("what", what, list(PARTS))
    kind = PARTS[what]
    if kind.reconstructs and not run.objective.reconstructs:
        remedy = "export the encoder or the classifier, or train with a reconstruction"
        objective = type(run.objective).__name__.lower()
        found = f"a run with the objective {objective}, which does not train decoders"
        raise InputError("what", "a run with trained decoders", found, remedy)
    if kind is Classifier and not isinstance(run.objective, Classify):
        remedy = "export the encoder, or train with --model.objective classify"
        raise InputError("what", "a run with a classifier head", "one without", remedy)
    return kind(run).eval().requires_grad_(False)


def whole(run: Trained) -> str:
    """The name of the part that uses everything the fine-tuning has trained."""
    return "autoencoder" if run.objective.reconstructs else "classifier"


def n_weights(part: Part) -> int:
    """The number of weights of a part, including buffers."""
    return sum(math.prod(tensor.shape) for tensor in part.state_dict().values())
