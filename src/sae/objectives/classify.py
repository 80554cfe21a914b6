"""Predict the class of the input: a head on the code, trained with the encoders on labels.

Pretraining for deep learning: Hinton, Osindero & Teh (2006), "A fast learning algorithm for deep
belief nets"; Bengio et al. (2007), "Greedy Layer-Wise Training of Deep Networks"; with denoising
stages Vincent et al. (2010), "Stacked Denoising Autoencoders", JMLR 11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_confusion_matrix

from sae.batch import Batch
from sae.errors import InputError, check_integer, check_number, show
from sae.figure import Figure, Figures
from sae.nets.layer import Autoencoder, Code
from sae.nets.stack import Stack
from sae.objectives.objective import Objective
from sae.place import Place

# Labels with more values are likely not classes but, for example, identity numbers.
MOST_CLASSES = 100_000
# Most classes with a confusion matrix, which grows with their square.
MOST_CONFUSED = 1000


class Classify(Objective):
    """Cross-entropy of a head on the code: softmax(W h + b), or with hidden ReLU layers before it.

    The decoders are not trained. Dropout divides the units that stay by the probability of staying,
    so that nothing changes outside of training (Srivastava et al., 2014, "Dropout", JMLR 15,
    section 10). Like all random numbers, it is drawn from the place of the step.

    Args:
        hidden: Units of each hidden layer of the head; null for a linear head.
        label_smoothing: Part of a label that is spread evenly over all classes, in [0, 1) (Szegedy
            et al., 2016, "Rethinking the Inception Architecture", section 7). The validation loss
            uses smoothed labels, too; error and accuracy do not.
        dropout: Part of the units that is set to zero at each step, in each layer, in the code and
            in the head's hidden layers; in [0, 1).
        input_dropout: Part of the network's inputs that is set to zero, in [0, 1). Not used while
            the head is trained alone.
        lr_factor: Learning rate of the head as a multiple of that of the layers, above 0.

    Raises:
        InputError: A value is out of range.
    """

    part = "cross_entropy"
    needs_labels = True
    reconstructs = False
    monitor: ClassVar[str] = "val/error"

    def __init__(
        self,
        hidden: Sequence[int] | None = None,
        label_smoothing: float = 0.0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        lr_factor: float = 1.0,
    ) -> None:
        super().__init__()
        if hidden is not None and (isinstance(hidden, str) or not isinstance(hidden, Sequence)):
            remedy = "write [64] for one layer of 64 units, or null for none"
            raise InputError("hidden", "a list of units", show(hidden), remedy)
        for k, units in enumerate(hidden or ()):
            check_integer(f"hidden[{k}]", units, 1, "give the number of units", high=1_000_000)
        fractions = {"label_smoothing": label_smoothing, "dropout": dropout}
        for key, value in {**fractions, "input_dropout": input_dropout}.items():
            remedy = "give a fraction such as 0.1, or 0 for none"
            check_number(key, value, 0.0, 1.0, remedy, high_open=True)
        remedy = "give a multiple such as 1, or 10 for a head that learns faster"
        check_number("lr_factor", lr_factor, 0.0, float("inf"), remedy, low_open=True)
        self.hidden = list(hidden or ())
        self.label_smoothing, self.lr_factor = float(label_smoothing), float(lr_factor)
        self.dropout, self.input_dropout = float(dropout), float(input_dropout)
        self.n_classes = 0
        self.head = nn.ModuleList()

    def attach(self, net: Autoencoder, n_classes: int) -> None:
        """Create the head, from the units of the code to the classes.

        Args:
            net: The stack.
            n_classes: Number of classes, 2 to ``MOST_CLASSES``.

        Raises:
            InputError: ``n_classes`` is out of range.
        """
        if not 2 <= n_classes <= MOST_CLASSES:
            expected = f"labels of 2 to {MOST_CLASSES:,} classes to tell apart"
            remedy = "give labels 0, 1, … of the classes, or choose another objective"
            raise InputError("data", expected, f"those of {n_classes:,}", remedy)
        self.n_classes = n_classes
        sizes = [net.n_code, *self.hidden, n_classes]
        self.head = nn.ModuleList(nn.Linear(below, above) for below, above in pairwise(sizes))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new weights, uniform as in Glorot & Bengio (2010); biases are zero."""
        for layer in self.head:
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)

    def code(self, net: Autoencoder, x: Tensor, place: Place) -> Code:
        """Return the code of a training batch, with dropout after each layer, (batch, units)."""
        if not (self.dropout or self.input_dropout):
            return super().code(net, x, place)
        layers = list(net) if isinstance(net, Stack) else [net]
        if not layers:  # the head alone: x is the code
            return Code(self._dropped(x, place.inside("code")))
        if self.input_dropout:
            x = _dropped(x, self.input_dropout, place.inside("input"))
        parts = []
        for k, layer in enumerate(layers):
            inside = place.inside("layer", k)
            code = layer.code_for_training(x, inside)
            parts.append(replace(code, h=self._dropped(code.h, inside)))
            x = parts[-1].h
        return replace(parts[-1], parts=tuple(parts)) if isinstance(net, Stack) else parts[-1]

    def _dropped(self, h: Tensor, place: Place) -> Tensor:
        return _dropped(h, self.dropout, place) if self.dropout else h

    def logits(self, h: Tensor, place: Place | None = None) -> Tensor:
        """Return the logarithm of each class's probability, up to a constant for each sample.

        Args:
            h: Codes, (batch, units).
            place: The place from which dropout of the hidden layers is drawn; None for no dropout.

        Returns:
            (batch, classes).
        """
        *hidden, last = list(self.head)
        for k, layer in enumerate(hidden):
            h = F.relu(layer(h))
            if place is not None:
                h = self._dropped(h, place.inside("head", k))
        return last(h)

    def losses(self, net: Autoencoder, h: Tensor, batch: Batch, place: Place) -> dict[str, Tensor]:
        """Return the cross-entropy per sample in nats; in training also ``error`` in percent."""
        assert batch.y is not None
        training = place.epoch is not None
        logits = self.logits(h, place if training else None)
        loss = F.cross_entropy(logits, batch.y.long(), label_smoothing=self.label_smoothing)
        if not training:  # measure() returns the error then
            return {"loss": loss}
        return {"loss": loss, "error": _error(logits.detach(), batch.y)}

    def measure(
        self,
        net: Autoencoder,
        h: Tensor,
        batch: Batch,
        place: Place,
        losses: dict[str, Tensor] | None,
    ) -> dict[str, Tensor]:
        """Return error and accuracy in percent, and the confusion matrix.

        Returns:
            ``error`` and ``accuracy``, which add up to 100; ``confusion``, (classes, classes): the
            part of all samples, in [0, 1], with the class of the row and the predicted class of the
            column. Empty if the samples have no labels.
        """
        if batch.y is None:
            return {}
        logits = self.logits(h)
        error = _error(logits, batch.y)
        found = {"error": error, "accuracy": 100 - error}
        if self.n_classes > MOST_CONFUSED:
            return found
        counts = multiclass_confusion_matrix(
            logits.argmax(dim=1), batch.y, self.n_classes, validate_args=False
        )
        return {**found, "confusion": counts / len(batch.y)}

    def figures(self) -> Figures:
        """Return how error and accuracy are shown."""
        return {
            "error": Figure("{part} error", "{:.2f} %"),
            "accuracy": Figure("{part} accuracy", "{:.2f} %", "higher"),
        }

    def unit(self, net: Autoencoder) -> str:
        """Return the unit of the loss."""
        return "nats per sample"

    def predict(self, net: Autoencoder, batch: Batch) -> dict[str, Tensor]:
        """Return ``predicted``, the most probable class, and its ``probability``, (batch,) each."""
        probability, predicted = self.logits(net.encode(batch.x)).softmax(dim=1).max(dim=1)
        return {"predicted": predicted, "probability": probability}

    def tables(
        self, means: Mapping[str, Tensor], n: int, class_names: Sequence[str] = ()
    ) -> dict[str, list[list[Any]]]:
        """Return ``confusion``: a row per class, with the number of samples per predicted class."""
        if "confusion" not in means:
            return {}
        counts = (means["confusion"].double() * n).round().long().tolist()
        names: Sequence[Any] = class_names or range(self.n_classes)
        head = ["class", *(f"taken_for_{name}" for name in names)]
        rows = [[name, *row] for name, row in zip(names, counts, strict=True)]
        return {"confusion": [head, *rows]}

    def path(self, sizes: Sequence[int]) -> str:
        """Return the network in one line, ending in the classes: ``784→128→10``."""
        return "→".join(map(str, [*sizes, *self.hidden, self.n_classes or "classes"]))


def _dropped(x: Tensor, probability: float, place: Place) -> Tensor:
    """Set each value to zero with this probability; divide the others by 1 - probability."""
    kept = place.uniform("dropout", x) >= probability
    return x * kept / (1 - probability)


def _error(logits: Tensor, y: Tensor) -> Tensor:
    """Return the percentage of samples whose most probable class is not their label."""
    return (logits.argmax(dim=1) != y).float().mean() * 100
