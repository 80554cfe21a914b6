"""What a training minimises: the base of every kind of objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sae.batch import Batch
from sae.figure import Figures
from sae.nets.layer import Autoencoder, Code
from sae.place import Place
from sae.text import chain


@dataclass(frozen=True)
class TrainingSet:
    """All samples of a training, whichever process takes steps on them.

    Attributes:
        n: How many.
        codes: Computes the clean codes of all, as the network gives them now: (n, units), in single
            precision, on the CPU. All processes must ask for them at once, and get the same.
        rows: Gives the clean samples of some numbers (rows,), which are those of
            :attr:`~sae.batch.Batch.number`: (rows, features), where the weights lie.
    """

    n: int
    codes: Callable[[], Tensor]
    rows: Callable[[Tensor], Tensor]


class Objective(nn.Module, ABC):
    """What the stack is fine-tuned for. A kind is one file; its arguments are its options.

    It may own parameters, such as a head: they are trained, saved, verified and resumed with the
    network's. All that is random in it is drawn from the place of the step, so a step is a function
    of its batch and its place.

    Attributes:
        part: What its loss is called where penalties are added to it.
        lr_factor: Learning rate of its own parameters, as a multiple of that of the network.
        needs_labels: Whether it trains on labelled samples alone.
        monitor: Which figure of a validation says which epoch is the best, and when to stop early:
            the lowest is. ``val/loss``, or one of :meth:`figures`.
        reconstructs: Whether it trains the decoders. Where it does not, nothing is said or drawn of
            reconstructions.
        validation_chooses: Whether ``monitor`` is the lower the better trained. Where it is not,
            the last epoch goes on.
    """

    part: ClassVar[str] = "objective"
    lr_factor: float = 1.0
    needs_labels: ClassVar[bool] = False
    reconstructs: ClassVar[bool] = True
    monitor: ClassVar[str] = "val/loss"
    validation_chooses: ClassVar[bool] = True

    def attach(self, net: Autoencoder, n_classes: int) -> None:
        """Make the parameters that fit a network; called before the weights are drawn or read.

        Args:
            net: The stack.
            n_classes: Classes among the labels of the data; 0 where there are none.

        Raises:
            InputError: The data or the network do not suit it.
        """

    def check_training(self, n: int, epochs: int) -> None:
        """Raise :class:`InputError` for a training that does not suit it, before any has begun.

        Args:
            n: Training samples.
            epochs: How long it is to train on them; 1 or more.
        """

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new weights from ``generator``."""

    def trained(self, net: Autoencoder) -> list[nn.Parameter]:
        """The parameters of ``net`` that its loss depends on; the others are left alone."""
        return list(net.parameters()) if self.reconstructs else net.encoder_parameters()

    def begin_epoch(self, net: Autoencoder, epoch: int, samples: TrainingSet, place: Place) -> None:
        """Before each epoch of its training: choose what holds for all of its steps.

        Args:
            net: What is trained, with the weights that the epoch begins with.
            epoch: Which, from 0.
            samples: Those that it is trained on.
            place: Where in the run; the same on all processes.
        """

    def end_training(self) -> None:
        """After its training: let go of what was kept of the samples."""

    def epoch_state(self) -> dict[str, Any]:
        """What was chosen in earlier epochs and still holds, beside its parameters.

        It goes into checkpoints, so that a training that was broken off goes on with it: tensors
        and plain values.
        """
        return {}

    def load_epoch_state(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`epoch_state` gave; it gave something."""

    def prepare(self, batch: Batch, place: Place) -> Batch:
        """The batch as the network is to see it, in training, validation and test."""
        return batch

    def code(self, net: Autoencoder, x: Tensor, place: Place) -> Code:
        """The code of a training batch, for whoever drops some of the units on the way.

        Args:
            net: What encodes.
            x: Inputs, (batch, n_in), corrupted or not.
            place: Where in the run.
        """
        return net.code_for_training(x, place)

    @abstractmethod
    def losses(self, net: Autoencoder, h: Tensor, batch: Batch, place: Place) -> dict[str, Tensor]:
        """What is minimised, in training and in validation.

        Args:
            net: What encodes and decodes.
            h: The code of the batch as in training, (batch, units).
            batch: The clean samples.
            place: Where in the run.

        Returns:
            ``loss``, a scalar, the mean over the batch; whatever else is to be logged beside it.
        """

    @abstractmethod
    def measure(
        self,
        net: Autoencoder,
        h: Tensor,
        batch: Batch,
        place: Place,
        losses: dict[str, Tensor] | None,
    ) -> dict[str, Tensor]:
        """Figures of clean samples, in validation and test: means over the batch.

        Args:
            net: What encodes and decodes, in eval mode.
            h: The code of the clean batch, (batch, units).
            batch: The samples.
            place: Where in the run.
            losses: Those of :meth:`losses` on this very code, where they are known.

        Returns:
            Means of any shape. Single numbers are logged, larger ones kept for pictures.
        """

    def restored(self, net: Autoencoder, x_tilde: Tensor, batch: Batch) -> dict[str, Tensor]:
        """In a test, figures of corrupted samples ``x_tilde``: means over the batch."""
        return {}

    def tested(self, net: Autoencoder, batch: Batch, place: Place) -> dict[str, Tensor]:
        """In a test, figures that take too long for a validation: means over the batch."""
        return {}

    def finish(self, net: Autoencoder, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """In a test, figures that follow from the means over all samples, with those that stay."""
        return means

    def figures(self) -> Figures:
        """How those that are single numbers are called, in the order in which they are shown."""
        return {}

    def unit(self, net: Autoencoder) -> str:
        """What the loss is counted in."""
        return "loss per sample"

    def predict(self, net: Autoencoder, batch: Batch) -> dict[str, Tensor]:
        """What ``predict`` writes of each sample beside its code, (batch,) each.

        Whole numbers are classes: they are written by their names, where these have some.
        """
        return {}

    def tables(
        self, means: Mapping[str, Tensor], n: int, class_names: Sequence[str] = ()
    ) -> dict[str, list[list[Any]]]:
        """What a test leaves as a table of its own, ``test_NAME.csv``: rows, the first one heads.

        Args:
            means: What of :meth:`measure` is no single number, over all test samples.
            n: How many these are.
            class_names: What the labels 0, 1, … are called; empty where they are called so.
        """
        return {}

    def path(self, sizes: Sequence[int]) -> str:
        """The network in a line, such as ``784→128→784``.

        Args:
            sizes: Units from the input to the code.
        """
        return chain(sizes)
