"""The base of the estimators: options, training, and the use of the trained network."""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from lightning import Trainer
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from sae import kinds
from sae.callbacks.progress import StageProgressBar
from sae.data.loader import TensorLoader, chunk_rows
from sae.errors import InputError, check_number, show
from sae.estimators.input_scaling import fitted_scaler, scaled
from sae.estimators.undisturbed import undisturbed
from sae.look.health import LEAST_LOSS_RATIO
from sae.terms.corruption import Corruption
from sae.terms.sparsity import Sparsity
from sae.training.module import TrainingModule
from sae.training.plan import Phase, PhaseResult
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder

M = TypeVar("M", bound=nn.Module)

# Types of samples that are kept; others are converted to the first.
TYPES = (np.float64, np.float32)
# Number of training samples on which the trained network is checked.
LOOKED_AT = 256
_SIZES = "give the units of each layer, such as (64, 16), or None"


class BaseAutoencoder(BaseEstimator):
    """A stacked autoencoder with the interface of scikit-learn.

    First each layer is trained alone on the codes of the layers below, then all layers are trained
    together, by the same :class:`~sae.training.pretrain.GreedyPretrainer` as on the command line.
    Subclasses choose the objective, and have the arguments of this class.

    Args:
        sizes: Number of units of each layer; the last one is the code. None chooses sizes by the
            number of features.
        activation: Activation of the units: sigmoid, tanh, relu, leaky_relu, gelu, silu or
            identity.
        scaler: Scaling of the features: minmax, standard, robust, squashed (robust, with the
            logarithm of outliers) or none. auto is none if all values are in [0, 1]; otherwise
            squashed for features with outliers and standard for the others.
        noise: Share of the scaled inputs that are set to 0 in training, in [0, 1); the network
            learns to restore them (a denoising autoencoder).
        sparsity: Target of the mean activity of each unit of a code, in (0, 1), for activation
            sigmoid, tanh or relu; None for no sparsity penalty.
        pretrain_epochs: Number of epochs for each layer alone; 0 skips the pretraining.
        epochs: Number of epochs for all layers together; 0 skips this phase.
        lr: Highest learning rate of Adam: it rises during 30 % of the steps, then falls.
        batch_size: Number of samples in a batch; auto is a 25th of them, from 16 to 256.
        random_state: Seed of weights, order and noise. None gives a different result at each fit:
            it draws one number from numpy's global generator, as usual in scikit-learn. No other
            global random state changes.
        verbose: 1 prints a line per training, with a progress bar in a terminal; 0 prints nothing.
        device: Device for training: auto (a GPU if there is one), cpu, cuda, cuda:1 or mps. The
            trained network is on the CPU.
    """

    def __init__(
        self,
        sizes: Sequence[int] | None = None,
        *,
        activation: str = "silu",
        scaler: str = "auto",
        noise: float = 0.0,
        sparsity: float | None = None,
        pretrain_epochs: int = 25,
        epochs: int = 100,
        lr: float = 0.005,
        batch_size: int | str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        device: str = "auto",
    ) -> None:
        self.sizes = sizes
        self.activation = activation
        self.scaler = scaler
        self.noise = noise
        self.sparsity = sparsity
        self.pretrain_epochs = pretrain_epochs
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Replace ``{arguments}`` in the docstring of a subclass by the common arguments."""
        super().__init_subclass__(**kwargs)
        if cls.__doc__ and BaseAutoencoder.__doc__:  # both are gone under python -OO
            shared = BaseAutoencoder.__doc__.partition("Args:\n")[2].strip()
            cls.__doc__ = cls.__doc__.replace("{arguments}", shared)

    # Defaults that a subclass may override

    def _default_sizes(self, features: int) -> list[int]:
        """A wide layer, and a code with a quarter as many units as features.

        The code has at least two units if there are more than two features: with a single unit,
        most outliers would not be detected.
        """
        code = max(-(-features // 4), min(2, features - 1))
        return [min(256, max(32, 4 * features)), min(32, code)]

    def _has_linear_code(self) -> bool:
        """Whether the code has no activation; a sparse code needs one."""
        return self.sparsity is None

    # Training

    def _learn(
        self,
        X: NDArray,
        labelled: NDArray | None = None,
        y: NDArray | None = None,
        objective: kinds.Settings | None = None,
    ) -> StackedAutoencoder:
        """Fit the scaler and the network; sets ``scaler_``, ``stack_`` and ``n_iter_``.

        Args:
            X: Samples, (n, features), float32 or float64.
            labelled: Indices of the samples that have a label; only with ``y``.
            y: Their labels 0, 1, ….
            objective: Objective of the fine-tuning; None for reconstruction.

        Returns:
            The trained model, on the CPU.

        Raises:
            InputError: An option is out of its range, or they do not fit each other.
        """
        sizes = [X.shape[1], *self._checked_sizes(X.shape[1])]
        stage, finetune = self._recipe("pretrain_epochs"), self._recipe("epochs")
        if not stage.epochs + finetune.epochs:
            found = "0, and pretrain_epochs 0"
            raise InputError("epochs", "at least one training", found, "increase one of them")
        batch, place = self._checked_batch_size(len(X)), _trainer_options(self.device)
        scaler = fitted_scaler(self.scaler, X)
        with np.errstate(over="ignore"):  # the training reports values that are too large
            x = torch.from_numpy(scaled(scaler, X).astype(np.float32))
        train, own, n_classes = TensorLoader(x, None, batch, shuffle=True), None, 0
        if labelled is not None and y is not None:
            few = self._checked_batch_size(len(y))
            own = TensorLoader(x[labelled], torch.from_numpy(y), few, shuffle=True)
            n_classes = int(y.max()) + 1
        # A given RandomState is advanced, so the next fit differs.
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        pretrainer = GreedyPretrainer(
            [stage] * (len(sizes) - 1), finetune, partial(_trainer, place, self.verbose), seed
        )
        # There is no validation set: the trained network is checked on some training samples.
        seen = (own or train).sample(LOOKED_AT)
        with undisturbed():
            model = StackedAutoencoder(
                sizes,
                self.activation,
                linear_code=self._has_linear_code(),
                output="linear",
                objective=objective,
            )
            results = pretrainer.fit(model, train, seen, own, n_classes)
        self.scaler_, self.stack_ = scaler, model.stack.eval().requires_grad_(False)
        self.n_iter_ = sum(result.epochs for result in results)
        self._report(results)
        return model

    def _checked_sizes(self, features: int) -> list[int]:
        """Units of each layer."""
        if self.sizes is None:
            return self._default_sizes(features)
        if isinstance(self.sizes, str) or not isinstance(self.sizes, (Sequence, np.ndarray)):
            raise InputError("sizes", "units of each layer", show(self.sizes), _SIZES)
        if not len(self.sizes):
            raise InputError("sizes", "one layer or more", "none", _SIZES)
        return [_whole(f"sizes[{k}]", units, _SIZES) for k, units in enumerate(self.sizes)]

    def _checked_batch_size(self, n: int) -> int:
        """Return the samples of a step: with little data fewer, so that an epoch has many steps."""
        if isinstance(self.batch_size, str) and self.batch_size == "auto":
            return min(256, max(16, n // 25))
        return _whole("batch_size", self.batch_size, "give a number of samples, or auto")

    def _recipe(self, epochs: str) -> Recipe:
        """How one training is done; ``epochs`` names the option that says how long."""
        remedy = "give a fraction such as 0.2, or 0 for none"
        check_number("noise", self.noise, 0.0, 1.0, remedy, high_open=True)
        if self.sparsity is not None:
            remedy = "give a fraction such as 0.05, or None"
            ends = {"low_open": True, "high_open": True}
            check_number("sparsity", self.sparsity, 0.0, 1.0, remedy, **ends)
        passes = "give the number of passes over the samples"
        return Recipe(
            epochs=_whole(epochs, getattr(self, epochs), passes, low=0),
            lr=self.lr,
            schedule="one_cycle",
            keep="last",
            corruption=Corruption("masking", self.noise) if self.noise else None,
            sparsity=None if self.sparsity is None else Sparsity(rho=self.sparsity, weight=1.0),
        )

    def _report(self, results: Sequence[PhaseResult]) -> None:
        """Print a line per training if ``verbose``; always warn about a failed training."""
        for result in results if self.verbose else ():
            print(result.line(""))
        ratio = results[-1].health.get("loss_ratio")
        if ratio is not None and ratio >= LEAST_LOSS_RATIO:
            warnings.warn(
                f"The reconstructions of {type(self).__name__} are hardly better than the mean "
                f"sample: {ratio:.0%} of its squared error is left. Try more epochs, another lr "
                "or a larger code.",
                ConvergenceWarning,
                stacklevel=4,
            )

    # Use of the trained network

    def _taken(self, X: ArrayLike) -> NDArray:
        """Check samples, and scale them: (n, features)."""
        check_is_fitted(self)
        return scaled(self.scaler_, validate_data(self, X, reset=False, dtype=TYPES))

    def _encoded(self, x: NDArray) -> NDArray:
        """Encode scaled samples from :meth:`_taken`: (n, units)."""
        stack = in_precision_of(x, self.stack_)
        return np.concatenate([stack.encode(rows).numpy() for rows in chunks(x)])

    def _rebuilt(self, x: NDArray) -> NDArray:
        """Reconstruct scaled samples from :meth:`_taken`: (n, features)."""
        stack = in_precision_of(x, self.stack_)
        return np.concatenate([stack(rows).numpy() for rows in chunks(x)])

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that float32 input gives float32 output."""
        tags = super().__sklearn_tags__()
        if tags.transformer_tags is not None:
            tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def chunks(x: NDArray) -> Iterator[torch.Tensor]:
    """Yield rows, (n, features), in chunks as tensors."""
    step, x = chunk_rows(x.shape[1]), np.require(x, requirements=["C", "W"])  # torch needs this
    return (torch.from_numpy(x[first : first + step]) for first in range(0, len(x), step))


def in_precision_of(x: NDArray, net: M) -> M:
    """The network itself for float32 inputs, or a float64 copy for float64 inputs.

    In float64 the result of a row does not depend on the other rows, as scikit-learn requires.
    """
    return net if x.dtype == np.float32 else copy.deepcopy(net).double()


def _whole(key: str, value: Any, remedy: str, low: int = 1) -> int:
    """Check and return an integer, which may be numpy's.

    Raises:
        InputError: ``value`` is not an integer, or below ``low``.
    """
    try:
        number = -1 if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        number = -1
    if number < low:
        raise InputError(key, f"an integer of {low} or more", show(value), remedy)
    return number


def _trainer_options(device: str) -> dict[str, Any]:
    """The options of a Trainer that select a device.

    Raises:
        InputError: ``device`` is not the name of a device.
    """
    if device == "auto":
        return {"accelerator": "auto", "devices": 1}
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError):
        expected = "auto, or a device such as cpu, cuda or cuda:1"
        raise InputError("device", expected, show(device), "choose one of these") from None
    one: Any = 1 if place.index is None or place.type == "cpu" else [place.index]
    return {"accelerator": place.type, "devices": one}


def _trainer(place: dict[str, Any], verbose: int, phase: Phase, module: TrainingModule) -> Trainer:
    """A Trainer that only trains: without validation, logs or files."""
    bar = StageProgressBar(phase.name, phase.title, phase.epochs_before, phase.epochs_overall)
    try:
        return Trainer(
            **place,
            max_epochs=phase.recipe.epochs,
            callbacks=[bar] if verbose else [],
            enable_progress_bar=bool(verbose),
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            # Also on a cluster a single process trains, and does not resume from a file.
            plugins=[LightningEnvironment()],
        )
    except MisconfigurationException as error:
        found = f"none ({' '.join(str(error).split())[:200]})"
        remedy = "choose cpu or auto"
        raise InputError("device", f"a device {place['accelerator']}", found, remedy) from None
