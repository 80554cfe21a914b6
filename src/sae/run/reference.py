"""Files that a run keeps in addition to its weights, to compare new samples with.

``validation_errors.npy`` holds the squared error of each validation sample. ``pca.safetensors``,
only for a run that restores images, holds the principal components to compare restorations with.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from sae.errors import InputError, check_number
from sae.files import write_atomically
from sae.look.pca import PCA
from sae.run.checkpoint_io import UnreadableError, read_weights

ERRORS, COMPONENTS = "validation_errors.npy", "pca.safetensors"


def write_errors(folder: Path, errors: NDArray[np.float32]) -> None:
    """Write the error of each validation sample, (n,)."""
    buffer = io.BytesIO()
    np.save(buffer, errors)
    write_atomically(folder / ERRORS, buffer.getvalue())


def threshold(folder: Path, quantile: float) -> float:
    """Return a quantile of the errors of the validation samples.

    Args:
        folder: Folder of the run.
        quantile: Part of the validation samples with an error up to the result, in (0, 1]; between
            two samples the error is interpolated.

    Raises:
        InputError: The quantile is out of range, or the run has saved no errors.
    """
    remedy = "give a fraction such as 0.99"
    check_number("quantile", quantile, 0.0, 1.0, remedy, low_open=True)
    return float(np.quantile(validation_errors(folder), quantile))


def validation_errors(folder: Path) -> NDArray[np.float32]:
    """Return the error of each validation sample, (n,).

    Args:
        folder: Folder of the run.

    Raises:
        InputError: The run has saved none, or the file is damaged.
    """
    path, found = folder / ERRORS, "none"
    try:
        with path.open("rb") as file:
            errors = np.load(file, allow_pickle=False)
        if errors.ndim == 1 and errors.size and np.isfinite(errors).all():
            return np.asarray(errors)
        found = "a damaged one"
    except FileNotFoundError:
        pass
    except (OSError, ValueError, EOFError):
        found = "a damaged one"
    remedy = "train the run again: it is written at the end"
    raise InputError("run", f"a file {ERRORS} for a threshold", found, remedy)


def write_pca(folder: Path, pca: PCA, n_components: int) -> None:
    """Write the first principal components, in single precision."""
    tensors = {
        "mean": torch.from_numpy(pca.mean).float(),
        "components": torch.from_numpy(pca.components[:n_components]).float().contiguous(),
        "variance_share": torch.from_numpy(pca.variance_share[:n_components]).float(),
    }
    write_atomically(folder / COMPONENTS, safetensors.torch.save(tensors))


def read_pca(folder: Path) -> PCA | None:
    """Return the principal components; None if the run has saved none."""
    try:
        tensors = read_weights(folder / COMPONENTS)
        names = ("mean", "components", "variance_share")
        mean, components, share = (tensors[name].double().numpy() for name in names)
        return PCA(mean, components, share)
    except (UnreadableError, KeyError):
        return None
