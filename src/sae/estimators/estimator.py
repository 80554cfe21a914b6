"""What the estimators have in common: options, training, and the network at work."""

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

# What samples may be of; all else becomes the first.
TYPES = (np.float64, np.float32)
# Training samples on which the trained network is looked at for faults.
LOOKED_AT = 256
_SIZES = "give the units of each layer, such as (64, 16), or None"


class BaseAutoencoder(BaseEstimator):
    """A stacked autoencoder with the manners of scikit-learn.

    Each layer is trained alone first, on the codes of those below it, then all of them together,
    by the :class:`~sae.training.pretrain.GreedyPretrainer` of the command line. A subclass says
    for what, and has its arguments from here.

    Args:
        sizes: Units of each layer, the code's last. None chooses by the number of features.
        activation: Of the units: sigmoid, tanh, relu, leaky_relu, gelu, silu or identity.
        scaler: What brings the features to one scale: minmax, standard, robust, squashed (robust,
            with values far out by their logarithm) or none. auto takes none where all values lie in
            [0, 1], else squashed for features with a few values far out, and standard for others.
        noise: Part of the scaled inputs that is set to zero in training, in [0, 1); the clean ones
            are to be restored (a denoising autoencoder).
        sparsity: Mean activity, in (0, 1), near which each unit of a code is held by a penalty, for
            activation sigmoid, tanh or relu; None for no penalty.
        pretrain_epochs: Passes over the samples, for each layer alone; 0 leaves that out.
        epochs: Passes over the samples, for all layers together; 0 leaves that out.
        lr: Highest learning rate of Adam: it rises for 30 % of the steps, then falls.
        batch_size: Samples of a step; auto takes a 25th of them, at least 16 and at most 256.
        random_state: Seed of weights, order and noise. With None each fit is another one; it draws
            one number from numpy's global generator, as scikit-learn has it. Beside that no global
            random state is touched.
        verbose: 1 tells of each training, with a progress bar in a terminal; 0 tells nothing.
        device: Where to train: auto (a GPU where there is one), cpu, cuda, cuda:1 or mps. The
            trained network lies on the CPU and works there.
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
        """Put the arguments that all have into the description of the class, at ``{arguments}``."""
        super().__init_subclass__(**kwargs)
        if cls.__doc__ and BaseAutoencoder.__doc__:  # both are gone under python -OO
            shared = BaseAutoencoder.__doc__.partition("Args:\n")[2].strip()
            cls.__doc__ = cls.__doc__.replace("{arguments}", shared)

    # What a subclass may have otherwise

    def _default_sizes(self, features: int) -> list[int]:
        """A wide layer, and a code of a quarter of the features.

        Of few features it has two units, but fewer than features: one curve through the samples
        misses most of what is odd about them.
        """
        code = max(-(-features // 4), min(2, features - 1))
        return [min(256, max(32, 4 * features)), min(32, code)]

    def _has_linear_code(self) -> bool:
        """Whether the code has no activation, and so may hold any value; a sparse one may not."""
        return self.sparsity is None

    # Training

    def _learn(
        self,
        X: NDArray,
        labelled: NDArray | None = None,
        y: NDArray | None = None,
        objective: kinds.Settings | None = None,
    ) -> StackedAutoencoder:
        """Fit scaler and network: ``scaler_``, ``stack_`` and ``n_iter_``.

        Args:
            X: Samples, (n, features), float32 or float64.
            labelled: Numbers of those that have a label; only with ``y``.
            y: Their labels, 0, 1, …
            objective: What the stack is fine-tuned for; to reconstruct if left out.

        Returns:
            The trained model, on the CPU.

        Raises:
            InputError: An option is out of its range, or they do not fit each other.
        """
        sizes = [X.shape[1], *self._checked_sizes(X.shape[1])]
        stage, finetune = self._recipe("pretrain_epochs"), self._recipe("epochs")
        if not stage.epochs + finetune.epochs:
            found = "0, and pretrain_epochs 0"
            raise InputError("epochs", "a training at least", found, "give one of them more")
        batch, place = self._checked_batch_size(len(X)), _trainer_options(self.device)
        scaler = fitted_scaler(self.scaler, X)
        with np.errstate(over="ignore"):  # what is too large is named by the training
            x = torch.from_numpy(scaled(scaler, X).astype(np.float32))
        train, own, n_classes = TensorLoader(x, None, batch, shuffle=True), None, 0
        if labelled is not None and y is not None:
            few = self._checked_batch_size(len(y))
            own = TensorLoader(x[labelled], torch.from_numpy(y), few, shuffle=True)
            n_classes = int(y.max()) + 1
        # One that is given is drawn from, so that the next fit is another.
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        pretrainer = GreedyPretrainer(
            [stage] * (len(sizes) - 1), finetune, partial(_trainer, place, self.verbose), seed
        )
        # Nothing is validated; the trained network is looked at on some of its own samples.
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
        """Samples of a step: of few samples few, so that there are steps enough."""
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
        """Tell of the trainings, where that is asked for; and of one that has failed, always."""
        for result in results if self.verbose else ():
            print(result.line(""))
        ratio = results[-1].health.get("loss_ratio")
        if ratio is not None and ratio >= LEAST_LOSS_RATIO:
            warnings.warn(
                f"{type(self).__name__} rebuilds its samples hardly better than their mean would: "
                f"{ratio:.0%} of the squared error is left. Try more epochs, another lr or a "
                "larger code.",
                ConvergenceWarning,
                stacklevel=4,
            )

    # The network at work

    def _taken(self, X: ArrayLike) -> NDArray:
        """Samples like those of ``fit``, checked, and brought to one scale: (n, features)."""
        check_is_fitted(self)
        return scaled(self.scaler_, validate_data(self, X, reset=False, dtype=TYPES))

    def _encoded(self, x: NDArray) -> NDArray:
        """The code of samples that :meth:`_taken` gave, (n, units)."""
        stack = in_precision_of(x, self.stack_)
        return np.concatenate([stack.encode(rows).numpy() for rows in chunks(x)])

    def _rebuilt(self, x: NDArray) -> NDArray:
        """Samples that :meth:`_taken` gave, once through the network, (n, features)."""
        stack = in_precision_of(x, self.stack_)
        return np.concatenate([stack(rows).numpy() for rows in chunks(x)])

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that single precision stays single."""
        tags = super().__sklearn_tags__()
        if tags.transformer_tags is not None:
            tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def chunks(x: NDArray) -> Iterator[torch.Tensor]:
    """Rows, (n, features), some at a time."""
    step, x = chunk_rows(x.shape[1]), np.require(x, requirements=["C", "W"])  # torch takes no other
    return (torch.from_numpy(x[first : first + step]) for first in range(0, len(x), step))


def in_precision_of(x: NDArray, net: M) -> M:
    """A network that computes as precisely as its inputs are.

    In double precision a row gives the same whichever rows are beside it, as scikit-learn asks.
    """
    return net if x.dtype == np.float32 else copy.deepcopy(net).double()


def _whole(key: str, value: Any, remedy: str, low: int = 1) -> int:
    """A whole number, numpy's too.

    Raises:
        InputError: It is none, or too low.
    """
    try:
        number = -1 if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        number = -1
    if number < low:
        raise InputError(key, f"a whole number of {low} or more", show(value), remedy)
    return number


def _trainer_options(device: str) -> dict[str, Any]:
    """How a Trainer is told where to work.

    Raises:
        InputError: That is no device.
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
    """A Trainer that trains, validates nothing and leaves nothing behind."""
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
            # On a cluster, too, one process trains, and goes on from no file.
            plugins=[LightningEnvironment()],
        )
    except MisconfigurationException as error:
        found = f"none ({' '.join(str(error).split())[:200]})"
        remedy = "choose cpu or auto"
        raise InputError("device", f"a device {place['accelerator']}", found, remedy) from None
