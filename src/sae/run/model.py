"""Use a finished run on new samples. Only the run's folder is needed, not its data."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from sae.data.loader import chunk_rows
from sae.data.npy import DIVISORS
from sae.data.prepare import FILE, Pixels, Preparation, read_preparation
from sae.data.rows import TILE_ROWS, encode_rows
from sae.errors import InputError, error_prefix, show
from sae.look.scores import squared_errors, totals
from sae.nets.stack import Stack
from sae.objectives.objective import Objective
from sae.run import hub_folder
from sae.run.checkpoint_io import UnreadableError, read_weights
from sae.run.reference import threshold, validation_errors
from sae.run.unseen import Unseen
from sae.terms.corruption import Corruption
from sae.text import program
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder

OF_OBJECTIVE, OF_NET = "objective.", "net."
# Samples as an array, a tensor or a data frame; results have the same type.
Data = Any
# Default name of the table column that names the samples.
ID = "id"
# Our data sets whose images are uint8.
_OF_BYTES = {"mnist", "digits"}


class TrainedRun:
    """A finished run: its network, and the preparation of samples for it.

    All methods take samples in the units of the run's own data, as arrays, tensors or data frames,
    one row per sample; images are (n, pixels) or (n, height, width, …). Columns of a data frame are
    found by their names, in any order. The methods work batch by batch, so memory is only needed
    for samples and results. Nothing is random, and the code of a sample does not depend on other
    samples. Categories that no training row has count as missing; a warning gives their number.

    Results are in single precision and have the type of the samples: an array, a tensor on the same
    device, or a pandas data frame with the same index.

    Attributes:
        folder: Folder of the run.
        stack: The stack with its weights, in eval mode.
        preparation: Turns samples into inputs of the network, (n, columns) -> (n, features), and
            reconstructions back into samples with ``inverse``.
        objective: The objective of the fine-tuning, with its weights.
        image_shape: Height and width of the images, and 3 if they have colours.
        class_names: Names of the classes 0, 1, …; empty if they have none.
        columns: Names of the columns of a table, in order; None for other data.
        n_columns: Number of values of a sample, before the preparation.
        denoises: Whether it was fine-tuned to restore corrupted samples.
        id_name: Name of the table column that names the samples.
        image_options: How to read image files so that they match the training images; empty if the
            run was not trained on images.
    """

    def __init__(
        self,
        folder: Path,
        stack: Stack,
        preparation: Preparation,
        objective: Objective,
        image_shape: tuple[int, ...],
        class_names: Sequence[str] = (),
        denoises: bool = False,
        id_name: str = ID,
        device: torch.device | str = "cpu",
        reading: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.image_shape = folder, image_shape
        self.class_names, self.denoises = [str(name) for name in class_names], denoises
        self.columns = preparation.columns
        self.n_columns = preparation.inverse(torch.zeros(1, stack.n_in)).shape[1]
        self.id_name, self.device = id_name, torch.device(device)
        self.stack, self.objective = stack, objective
        self.preparation = preparation.eval()
        self.image_options = self._image_options(reading or {})
        for module in (stack, objective):
            module.eval().requires_grad_(False).to(self.device)

    # Methods for users

    def encode(self, X: Data) -> Data:
        """Return the codes of samples: (n, columns) -> (n, units), without noise.

        Raises:
            InputError: The samples do not fit the run.
        """
        return self._given("encode", X)

    def decode(self, Z: Data) -> Data:
        """Return samples from codes: (n, units) -> (n, columns), in the units of the run's data.

        Raises:
            InputError: The run has no trained decoder, or the codes have another size.
        """
        return self._given("decode", Z)

    def reconstruct(self, X: Data) -> Data:
        """Return the reconstructions of samples, in their units and of their shape.

        If the run denoises, these are the restored samples.

        Raises:
            InputError: The run has no trained decoder, or the samples do not fit it.
        """
        return self._given("reconstruct", X)

    def denoise(self, X: Data) -> Data:
        """Return restored samples; the same as :meth:`reconstruct`.

        Raises:
            InputError: The run was not trained to denoise, or as in :meth:`reconstruct`.
        """
        return self._given("denoise", X)

    def score(self, X: Data, per_feature: bool = False) -> Data:
        """Return the reconstruction error of samples: larger means more unusual.

        Args:
            X: Samples.
            per_feature: Whether to return the squared error of each feature instead of their sum.

        Returns:
            Squared errors in the units of the network's inputs: (n,), or (n, features). The error
            of a missing value is NaN; the sum counts it as the average of the other features
            (:func:`~sae.look.scores.totals`). The score of a row without any value is NaN.

        Raises:
            InputError: The run has no trained decoder, or the samples do not fit it.
        """
        return self._given("errors" if per_feature else "score", X)

    def missing(self, X: Data) -> Data:
        """Return the number of missing values and unknown categories of each sample, (n,).

        A category is unknown if no training row has it.

        Raises:
            InputError: The samples do not fit the run.
        """
        return self._given("missing", X)

    @property
    def may_miss(self) -> bool:
        """Whether samples may have missing values, or categories that no training row has."""
        of_table = getattr(self.preparation, "missing", "error") != "error"
        return of_table or bool(getattr(self.preparation.outputs, "groups", ()))

    def threshold(self, quantile: float = 0.99) -> float:
        """Return a quantile of the scores of the run's validation samples.

        Args:
            quantile: Part of the validation samples with a score up to the result, in (0, 1].

        Raises:
            InputError: The run did not save the errors of its validation samples.
        """
        return threshold(self.folder, quantile)

    @property
    def n_validation(self) -> int:
        """Number of validation samples that a threshold is computed from.

        Raises:
            InputError: The run did not save their errors.
        """
        return len(validation_errors(self.folder))

    def predict(self, X: Data) -> NDArray[Any]:
        """Return the most probable class of each sample, (n,): its name or, without names, number.

        Raises:
            InputError: The run is not a classifier, or the samples do not fit it.
        """
        most = np.argmax(self._given("classes", self._array(X)), axis=1)
        return np.asarray(np.array(self.class_names)[most] if self.class_names else most)

    def predict_proba(self, X: Data) -> Data:
        """Return the probability of each class: (n, classes).

        Raises:
            InputError: As in :meth:`predict`.
        """
        return self._given("classes", X)

    def apply(
        self, what: str, values: NDArray[Any], first_row: int = 0, unseen: Unseen | None = None
    ) -> NDArray[Any]:
        """Return the result of one of these methods, by name, for an array or a part of one.

        Args:
            what: ``encode``, ``decode``, ``reconstruct``, ``denoise``, ``score``, ``errors`` (of
                each feature), ``missing`` or ``classes`` (their probabilities).
            values: Samples, or codes to decode: (n, …).
            first_row: Number of the first row, for messages.
            unseen: Counts categories that no training row has; if left out, a warning is issued.

        Returns:
            Single precision, (n,) or (n, …); objects for a table that has texts; whole numbers for
            ``missing``.

        Raises:
            InputError: The run cannot do that, or the samples do not fit it.
        """
        self.check_can(what)
        of_codes = what == "decode"
        width = self.stack.n_code if of_codes else self.n_columns
        rows = self._rows(values, width, "codes" if of_codes else "samples")
        if not of_codes:
            check_units(rows, getattr(self.preparation, "divisor", None))
        step, done = max(TILE_ROWS, chunk_rows(width)), []
        seen = Unseen(self.preparation) if unseen is None else unseen
        with torch.no_grad():
            for first in range(0, len(rows), step):
                part = rows[first : first + step]
                if of_codes:
                    done.append(self._made(what, self._codes_in(part).to(self.device)))
                    continue
                raw = self._raw(part, first_row + first)
                seen.add(raw, part, first_row + first)
                absent = self._absent(raw)
                if what == "missing":
                    done.append(absent.sum(dim=1).numpy())
                    continue
                x = self._inputs(part, raw, first_row + first)
                made = self._made(what, x.to(self.device))
                if what == "score" and absent.shape[1]:  # also if all are replaced by means
                    made[absent.all(dim=1).numpy()] = np.nan
                done.append(made)
        if unseen is None and (line := str(seen)):
            warnings.warn(f"samples: {line}", stacklevel=4)  # the line that called the method
        return done[0] if len(done) == 1 else np.concatenate(done)

    def _made(self, what: str, x: Tensor) -> NDArray[Any]:
        """Return the result for a batch of network inputs, or of codes."""
        if what in ("score", "errors"):
            errors = squared_errors(self.stack, x)
            return _numpy(errors if what == "errors" else totals(errors))
        h = x if what == "decode" else encode_rows(self.stack, x)
        if what == "encode":
            return _numpy(h)
        if what == "classes":
            logits: Tensor = self.objective.logits(h)  # type: ignore[operator]
            return _numpy(logits.softmax(dim=1))
        return self.preparation.from_raw(self.preparation.inverse(self.stack.decode(h).cpu()))

    # Names

    @property
    def n_classes(self) -> int:
        """Number of classes; 0 if the run is not a classifier."""
        return int(getattr(self.objective, "n_classes", 0))

    def names_of(self, what: str) -> list[str]:
        """Return the names of the columns of a result.

        Args:
            what: As in :meth:`apply`.
        """
        if what in ("score", "missing"):
            return [what]
        if what == "classes":
            return self.class_names or [str(k) for k in range(self.n_classes)]
        if what == "errors":
            return self.feature_names
        return self.code_names if what == "encode" else self.column_names

    @property
    def code_names(self) -> list[str]:
        """Names of the units of the code: ``h0``, ``h1``, …."""
        return [f"h{k}" for k in range(self.stack.n_code)]

    @property
    def column_names(self) -> list[str]:
        """Names of the columns of a sample; ``x0``, ``x1``, … if they have none."""
        return list(self.columns or (f"x{k}" for k in range(self.n_columns)))

    @property
    def text_columns(self) -> list[str]:
        """Names of the columns whose values are texts."""
        table = getattr(self.preparation, "table", ())
        return [column.name for column in table if column.is_text]

    @property
    def feature_names(self) -> list[str]:
        """Names of the inputs of the network; ``x0``, ``x1``, … if they have none."""
        names: list[str] | None = getattr(self.preparation, "feature_names", None)
        return names or [f"x{k}" for k in range(self.stack.n_in)]

    # Checks

    def check_can(self, what: str) -> None:
        """Raise :class:`InputError` if this kind of run cannot do it.

        Args:
            what: As in :meth:`apply`.
        """
        if what in ("encode", "missing"):
            return
        if what == "classes":
            if not (hasattr(self.objective, "logits") and self.n_classes):
                remedy = "train one such as configs/classify.yaml"
                raise InputError("run", "a classifier", "one without classes", remedy)
            return
        if not self.objective.reconstructs:
            remedy = "encode samples with it, or train one without model.objective"
            found = "one whose decoder was not trained"
            raise InputError("run", "a run that reconstructs", found, remedy)
        if what == "denoise" and not self.denoises:
            remedy = "use reconstruct, or train one such as configs/denoising.yaml"
            found = "one without finetune.corruption"
            raise InputError("run", "a run that was trained to denoise", found, remedy)

    # Conversion of samples and results

    def _raw(self, part: NDArray[Any], first_row: int) -> Tensor:
        """Return samples as numbers: see :class:`~sae.data.prepare.Preparation`."""
        # torch warns if an array is read-only.
        part = np.require(part, requirements="W")
        try:
            return self.preparation.to_raw(part, self.columns)
        except InputError as error:
            found = _shifted(error.found, first_row)
            raise InputError("samples", error.expected, found, error.remedy) from None

    def _absent(self, raw: Tensor) -> Tensor:
        """Return which values are missing, bool, (n, columns); (n, 0) if none can be missing."""
        absent = getattr(self.preparation, "absent", None)
        return absent(raw) if absent else torch.zeros(len(raw), 0, dtype=torch.bool)

    def _inputs(self, part: NDArray[Any], raw: Tensor, first_row: int) -> Tensor:
        """Return the inputs of the network."""
        x: Tensor = self.preparation(raw)
        if part.dtype.kind in "iub":
            return x
        odd = ~x.isfinite()
        if odd.any():
            row = first_row + int(odd.any(dim=1).nonzero()[0])
            found = f"others, the first in row {row}"
            raise InputError("samples", "finite numbers", found, "fill them in, or leave them out")
        return x

    def _codes_in(self, part: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.array(part, dtype=np.float32))

    def places(self, names: Sequence[str], of: str) -> list[int]:
        """Return the positions of the run's columns among the columns of a table.

        Args:
            names: Names of the columns of the table, which may include a column of ids.
            of: Name of the table in messages: a file, or ``samples``.

        Raises:
            InputError: A column is missing or unknown.
        """
        order = getattr(self.preparation, "order_of", None)
        if order is None or self.columns is None:
            known = self.columns or ()
            return [k for k, name in enumerate(names) if name in known or name != self.id_name]
        found: list[int] = order(names, of, self.id_name)
        return found

    def _array(self, X: Data) -> NDArray[Any]:
        """Return samples as an array, with the columns of a data frame in the run's order."""
        if not _is_frame(X) or self.columns is None:
            return _plain(X)
        places = self.places([str(name) for name in X.columns], "samples")
        return np.asarray(X[[X.columns[k] for k in places]].to_numpy())

    def _rows(self, values: NDArray[Any], width: int, what: str) -> NDArray[Any]:
        """Return values as rows, (n, width)."""
        texts = what == "samples" and self.columns is not None
        if values.dtype.kind not in ("fiubOUT" if texts else "fiub"):
            raise InputError(what, "numbers", str(values.dtype), "turn all of them into numbers")
        if what == "samples":
            self.check_colours(values.shape[1:])
        flat = values.reshape(len(values), -1) if values.ndim >= 2 and values.size else values
        if flat.ndim == 2 and flat.shape[1] == width and len(flat):
            return flat
        shape = ""
        if what == "samples" and self.is_of_images:
            shape = f" or (n, {', '.join(map(str, self.image_shape))})"
        expected = f"{what} of shape (n, {width}){shape}"
        remedy = "add an axis: x[None]" if values.size == width else "give a row for each"
        raise InputError(what, expected, f"one of {values.shape}", remedy)

    def check_colours(self, shape: Sequence[int], of: str = "samples") -> None:
        """Raise :class:`InputError` for images with colours first; here they come last.

        Args:
            shape: Shape of one sample.
            of: Name of the samples in messages.
        """
        last = tuple(self.image_shape)
        first = (*last[2:], *last[:2])
        if len(last) == 3 and tuple(shape) == first != last:
            remedy = "move them to the end: x.transpose(0, 2, 3, 1), for tensors x.permute"
            expected = f"colours last, (n, {', '.join(map(str, last))})"
            raise InputError(of, expected, f"(n, {', '.join(map(str, first))})", remedy)

    @property
    def is_of_images(self) -> bool:
        """Whether the samples are images, not rows of values."""
        return self.columns is None and min(self.image_shape[:2]) > 1

    def _image_options(self, reading: Mapping[str, Any]) -> dict[str, Any]:
        """Return options of :class:`~sae.data.sources.images.ImageSource` as in the training."""
        if not self.is_of_images:
            return {}
        deep = getattr(self.preparation, "divisor", 1) == DIVISORS["uint16"]
        return {
            "size": list(self.image_shape[:2]),
            "colour": "rgb" if len(self.image_shape) == 3 else "grey",
            "bits": reading.get("bits") or (16 if deep else 8),
            "crop": bool(reading.get("crop", False)),
        }

    def _given(self, what: str, X: Data) -> Data:
        """Return results in the type of the samples: array, tensor or pandas data frame."""
        frame = _is_frame(X)
        values = self.apply(what, _plain(X) if what == "decode" else self._array(X))
        if what in ("reconstruct", "denoise") and not frame:
            values = values.reshape(np.shape(X))
        if isinstance(X, Tensor):
            if values.dtype == object:
                remedy = "give an array or a data frame"
                raise InputError("samples", "numbers for a tensor", "texts", remedy)
            return torch.from_numpy(values).to(X.device)
        if not frame or type(X).__module__.partition(".")[0] != "pandas":
            return values
        if values.ndim == 1:
            return X.iloc[:, 0]._constructor(values, index=X.index, name=what)
        found = type(X)(values, index=X.index, columns=self.names_of(what))
        return found.infer_objects() if values.dtype == object else found


def check_units(rows: NDArray[Any], divisor: float | None, of: str = "samples") -> None:
    """Check that samples are not obviously in other units than the run's data.

    Args:
        rows: Samples, (n, columns).
        divisor: The number that the run divides by: 255 for uint8 data, 65,535 for uint16, 1 for
            floats; None if any units are possible.
        of: Name of the samples in messages.

    Raises:
        InputError: The samples lie in [0, 1] but the run's data went up to ``divisor``; or the
            samples have an integer type that the run's data did not have.
    """
    if divisor is None:
        return
    name = rows.dtype.name
    if divisor == 1:
        if rows.dtype.kind in "iu" and rows.max() > 1:
            remedy = f"divide pixels by {DIVISORS.get(name, 255)}, and give other numbers as floats"
            raise InputError(of, "floats, as the run's data", name, remedy)
        return
    # The same integer type as the run's data: values up to 1 are then just dark images.
    if DIVISORS.get(name) == divisor:
        return
    high = float(rows.max())
    if 0 < high <= 1 and float(rows.min()) >= 0:
        found = f"some in [0, {high:.3g}]"
        expected = f"values from 0 to {divisor:,.0f}, as the run's data"
        remedy = f"multiply by {divisor:.0f}: the run divides by it"
        raise InputError(of, expected, found, remedy)
    kind = next((kind for kind, value in DIVISORS.items() if value == divisor), name)
    if name in DIVISORS and kind != name:
        found, remedy = name, f"bring them to the range of {kind}"
        raise InputError(of, f"{kind}, as the run's data", found, remedy)


def _is_frame(X: Data) -> bool:
    """Return whether samples are a data frame of pandas or polars."""
    return hasattr(X, "columns") and hasattr(X, "to_numpy")


def _shifted(words: str, rows: int) -> str:
    """Return a message with ``rows`` added to its row numbers."""
    return re.sub(r"\brow (\d+)", lambda match: f"row {int(match[1]) + rows}", words)


def _plain(X: Data) -> NDArray[Any]:
    """Return an array, a tensor, a list of rows or a data frame as an array."""
    if isinstance(X, Tensor):
        return _numpy(X)
    return np.asarray(X.to_numpy() if _is_frame(X) else X)


def _numpy(x: Tensor) -> NDArray[Any]:
    x = x.detach().cpu()
    return (x.float() if x.dtype == torch.bfloat16 else x).numpy()


def load_run(folder: str | Path, device: torch.device | str = "cpu") -> TrainedRun:
    """Load a finished run, to use it on new samples.

    Args:
        folder: ``lightning_logs/NAME/version_N``, or a folder that was exported for a hub.
        device: Device to compute on.

    Returns:
        The run; see :class:`TrainedRun`.

    Raises:
        InputError: The folder is not a run's, the run is not finished or has no weights, a file in
            it is damaged, or the device does not exist.
    """
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        found = f"{show(str(device))} ({' '.join(str(error).split())[:80]})"
        raise InputError("device", "one that is there", found, "choose cpu or cuda") from None
    return read_run(Path(folder), device)


def read_run(folder: Path, device: torch.device | str = "cpu") -> TrainedRun:
    """Load a finished run, as :func:`load_run`, without checking the device."""
    manifest = read_mapping(folder, "manifest.json")
    if manifest.get("status") != "finished":
        remedy = f"resume it: {program()} fit --resume {folder}"
        raise InputError("run", "a finished run", f"one that is {manifest.get('status')}", remedy)
    config = read_mapping(folder, "config.yaml")
    options: Any = config.get("model")
    path = hub_folder.weights_path(folder)
    try:
        weights = read_weights(path)
    except UnreadableError as error:
        remedy = "run it again, with checkpoints"
        raise InputError("run", f"weights at {path}", f"some that are {error}", remedy) from None
    # If the objective has parameters, the file holds two groups of weights.
    own: dict[str, Tensor] = {}
    if any(name.startswith(OF_OBJECTIVE) for name in weights):
        own = {k.removeprefix(OF_OBJECTIVE): v for k, v in weights.items() if OF_OBJECTIVE in k}
        weights = {k.removeprefix(OF_NET): v for k, v in weights.items() if k.startswith(OF_NET)}
    try:
        about = manifest["data"]
        shape = tuple(int(n) for n in about["image_shape"])
        preparation = _preparation(folder, about)
        with error_prefix("model"):
            model = StackedAutoencoder(**options)
        model.suit(preparation)
        model.stack.load_state_dict(weights)
        if own:
            # The last layer of a head has one bias for each class.
            model.objective.attach(model.stack, len(list(own.values())[-1]))
            model.objective.load_state_dict(own)
        names = about.get("class_names") or ()
        denoises = _recipe(config.get("finetune") or {}).denoises
        of_data = (config.get("data") or {}).get("init_args") or {}
        return TrainedRun(
            folder,
            model.stack,
            preparation,
            model.objective,
            shape,
            names,
            denoises,
            of_data.get("id") or ID,
            device,
            of_data,
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        found = f"something else ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        expected = "a config and weights that fit each other"
        raise InputError("run", expected, found, "name another run") from None


def _recipe(settings: Mapping[str, Any]) -> Recipe:
    """Return epochs and corruption of the fine-tuning: they decide whether the run denoises."""
    with error_prefix("finetune"):
        noise = settings.get("corruption")
        corruption = Corruption(**noise) if noise else None
        return Recipe(epochs=settings.get("epochs", Recipe.epochs), corruption=corruption)


def _preparation(folder: Path, about: Mapping[str, Any]) -> Preparation:
    """Return the run's preparation; for older runs without one, that of pixels."""
    path = folder / FILE
    if path.exists():
        return read_preparation(path)
    return Pixels(255 if about.get("name") in _OF_BYTES else 1)


def read_mapping(folder: Path, name: str) -> dict[str, Any]:
    """Return the content of a file of the run, which must be a mapping."""
    if hub_folder.is_hub(folder):
        return hub_folder.mapping(folder, name)
    path, found = folder / name, "none"
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
        if isinstance(content, dict):
            return content
        found = "a damaged one"
    except FileNotFoundError:
        pass
    except (OSError, ValueError, yaml.YAMLError):
        found = "a damaged one"
    remedy = "give the folder of a run, such as lightning_logs/variational/version_0"
    raise InputError("run", f"a file {name} in {show(str(folder))}", found, remedy)
