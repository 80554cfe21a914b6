"""The base class of every objective: the loss that a training minimises."""

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
    """All samples of a training, of all processes together.

    Attributes:
        n: Number of samples.
        codes: Computes the clean codes of all samples with the current weights: (n, units), in
            single precision, on the CPU. All processes must call it together; all get the same.
        rows: Returns the clean samples with given numbers, (rows,), as in
            :attr:`~sae.batch.Batch.number`: (rows, features), on the device of the weights.
    """

    n: int
    codes: Callable[[], Tensor]
    rows: Callable[[Tensor], Tensor]


class Objective(nn.Module, ABC):
    """The goal of the fine-tuning. A kind is one file; its arguments are its options.

    An objective may have parameters, such as a head: they are trained, saved, checked and resumed
    with those of the network. Random numbers must be drawn from the place of the step, so that a
    step depends only on its batch and its place.

    Attributes:
        part: Name of its loss in logs, if penalties are added to it.
        lr_factor: Learning rate of its own parameters, as a multiple of that of the network.
        needs_labels: Whether it trains only on samples with labels.
        monitor: The validation figure that chooses the best epoch and stops early, lower is better:
            ``val/loss``, or one of :meth:`figures`.
        reconstructs: Whether it trains the decoders. If not, there are no figures or pictures of
            reconstructions.
        validation_chooses: Whether a lower ``monitor`` means better trained. If not, the weights of
            the last epoch are kept.
    """

    part: ClassVar[str] = "objective"
    lr_factor: float = 1.0
    needs_labels: ClassVar[bool] = False
    reconstructs: ClassVar[bool] = True
    monitor: ClassVar[str] = "val/loss"
    validation_chooses: ClassVar[bool] = True

    def attach(self, net: Autoencoder, n_classes: int) -> None:
        """Create the parameters for a network; called before weights are drawn or loaded.

        Args:
            net: The stack.
            n_classes: Number of classes in the data; 0 without labels.

        Raises:
            InputError: The objective does not work with these data or this network.
        """

    def check_training(self, n: int, epochs: int) -> None:
        """Raise :class:`InputError`, before any training, if this objective cannot be trained so.

        Args:
            n: Number of training samples.
            epochs: Number of epochs, 1 or more.
        """

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new weights from ``generator``."""

    def trained(self, net: Autoencoder) -> list[nn.Parameter]:
        """Return the parameters of ``net`` that the loss depends on; the others are not trained."""
        return list(net.parameters()) if self.reconstructs else net.encoder_parameters()

    def begin_epoch(self, net: Autoencoder, epoch: int, samples: TrainingSet, place: Place) -> None:
        """Before each epoch of training: choose what all steps of the epoch share.

        Args:
            net: The network, with the weights at the start of the epoch.
            epoch: Number of the epoch, from 0.
            samples: The training samples.
            place: The place of this epoch in the run; the same on all processes.
        """

    def end_training(self) -> None:
        """After training: free what was kept of the samples."""

    def epoch_state(self) -> dict[str, Any]:
        """Return what was chosen in earlier epochs and is still used, without the parameters.

        It is saved in checkpoints, so that a resumed training continues with it. Only tensors and
        plain values are allowed.
        """
        return {}

    def load_epoch_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`epoch_state` returned; only called if that was not empty."""

    def prepare(self, batch: Batch, place: Place) -> Batch:
        """Return the batch as the network gets it, in training, validation and test."""
        return batch

    def code(self, net: Autoencoder, x: Tensor, place: Place) -> Code:
        """Return the code of a training batch; override it for dropout between layers.

        Args:
            net: The network.
            x: Inputs, (batch, n_in), corrupted or not.
            place: The place of this step in the run.
        """
        return net.code_for_training(x, place)

    @abstractmethod
    def losses(self, net: Autoencoder, h: Tensor, batch: Batch, place: Place) -> dict[str, Tensor]:
        """Return the loss, in training and in validation.

        Args:
            net: The network.
            h: The code of the batch as in training, (batch, units).
            batch: The clean samples.
            place: The place of this step in the run.

        Returns:
            ``loss``, a scalar, the mean over the batch; and other scalars to log, by name.
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
        """Return figures of clean samples, in validation and test: means over the batch.

        Args:
            net: The network, in eval mode.
            h: The code of the clean batch, (batch, units).
            batch: The samples.
            place: The place of this step in the run.
            losses: Result of :meth:`losses` for the same code, if known.

        Returns:
            Means of any shape, by name. Single numbers are logged, larger ones kept for pictures.
        """

    def restored(self, net: Autoencoder, x_tilde: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return figures of corrupted samples ``x_tilde`` in a test: means over the batch."""
        return {}

    def tested(self, net: Autoencoder, batch: Batch, place: Place) -> dict[str, Tensor]:
        """Return figures of a test that take too long for a validation: means over the batch."""
        return {}

    def finish(self, net: Autoencoder, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the figures of a test: ``means`` over all samples, and figures made from them."""
        return means

    def figures(self) -> Figures:
        """Return name, unit and format of each single number, in the order of display."""
        return {}

    def unit(self, net: Autoencoder) -> str:
        """Return the unit of the loss."""
        return "loss per sample"

    def predict(self, net: Autoencoder, batch: Batch) -> dict[str, Tensor]:
        """Return what ``predict`` writes for each sample in addition to its code, (batch,) each.

        Whole numbers are classes; they are written as class names, if there are any.
        """
        return {}

    def tables(
        self, means: Mapping[str, Tensor], n: int, class_names: Sequence[str] = ()
    ) -> dict[str, list[list[Any]]]:
        """Return the tables that a test writes as ``test_NAME.csv``: rows, the header first.

        Args:
            means: The results of :meth:`measure` that are larger than a single number, averaged
                over all test samples.
            n: Number of test samples.
            class_names: Names of the labels 0, 1, …; empty if they have none.
        """
        return {}

    def path(self, sizes: Sequence[int]) -> str:
        """Return the network in one line, such as ``784→128→784``.

        Args:
            sizes: Units from the input to the code.
        """
        return chain(sizes)
