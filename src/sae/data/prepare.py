"""Preparation: converts samples in the user's units to inputs of the network, and back.

It is fitted on training samples, saved with the run, and used by all commands that read samples
or write reconstructions. The saved settings contain the import path of its class, so users can
write their own.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from sae import kinds
from sae.errors import InputError, show
from sae.files import write_atomically
from sae.nets.columns import Columns

FILE = "preparation.safetensors"


class Preparation(nn.Module, ABC):
    """The base of all preparations. It may have buffers, but no parameters.

    A sample has three forms. *Values* are the user's: numbers, or texts in columns of categories.
    The *raw* form has only numbers, with the index of each category: float32, (n, raw columns).
    *Inputs* are the form for the network: float32, (n, features).

    Attributes:
        columns: Names of the raw columns; None if they have no names.
        bounded: Whether all inputs are expected in [0, 1].
        words: Rewrites a text about images for samples that are not images.
    """

    columns: tuple[str, ...] | None = None
    bounded: bool = True
    words: Callable[[str], str] = staticmethod(str)

    @property
    def outputs(self) -> Columns | None:
        """The kinds of the decoder's output columns; None if all features are of one kind."""
        return None

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The arguments of :meth:`from_settings`, as values for JSON; without the buffers."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Preparation:
        """Create a preparation; its buffers are loaded afterwards.

        Args:
            settings: The saved :attr:`settings`.
        """
        return cls(**settings)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Convert the raw form to inputs: (b, raw columns) -> (b, features), float32."""

    @abstractmethod
    def inverse(self, x: Tensor) -> Tensor:
        """Convert inputs or reconstructions to the raw form: (b, features) -> (b, raw columns).

        Categories become the index of the most likely one.
        """

    def to_raw(self, values: ArrayLike, columns: Sequence[str] | None = None) -> Tensor:
        """Convert the user's values to the raw form.

        Args:
            values: (n, …).
            columns: Names of the columns; None if they have no names.

        Returns:
            float32, (n, raw columns).
        """
        array = np.asarray(values)
        return torch.from_numpy(np.ascontiguousarray(array.reshape(len(array), -1), np.float32))

    def from_raw(self, raw: Tensor) -> NDArray:
        """Convert the raw form to values; a category becomes its name.

        Args:
            raw: (n, raw columns).

        Returns:
            (n, raw columns): float32, or objects if there are texts.
        """
        return raw.detach().cpu().numpy()


class Pixels(Preparation):
    """Divides pixels by their largest possible value.

    Args:
        divisor: 255 for uint8, 65,535 for uint16; 1 does not change samples.
    """

    def __init__(self, divisor: float = 1) -> None:
        super().__init__()
        self.divisor = divisor

    @property
    def settings(self) -> dict[str, Any]:
        """The divisor."""
        return {"divisor": self.divisor}

    def forward(self, x: Tensor) -> Tensor:
        """Divide by the divisor; equal to the last bit to the loaders, which multiply."""
        x = x.float()
        return x if self.divisor == 1 else x * (1 / self.divisor)

    def inverse(self, x: Tensor) -> Tensor:
        """Multiply by the divisor."""
        return x.float() if self.divisor == 1 else x.float() * self.divisor


def write_preparation(path: Path, preparation: Preparation) -> None:
    """Write a preparation to a safetensors file, with its settings as JSON in the metadata.

    Args:
        path: The file to write.
        preparation: The preparation.
    """
    kind = type(preparation)
    about = {"class_path": f"{kind.__module__}.{kind.__qualname__}", **preparation.settings}
    tensors = {k: v.detach().cpu().contiguous() for k, v in preparation.state_dict().items()}
    metadata = {"preparation": json.dumps(about, sort_keys=True)}
    write_atomically(path, safetensors.torch.save(tensors, metadata=metadata))


def read_preparation(path: Path) -> Preparation:
    """Read a file that :func:`write_preparation` wrote.

    Args:
        path: The file.

    Raises:
        InputError: The file is missing or damaged, or its class is not found.
    """
    expected, remedy = "a preparation that a run wrote", "choose another run, or train again"
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            settings = json.loads((file.metadata() or {})["preparation"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        kind = kinds.find(str(settings.pop("class_path")), "sae.data", Preparation, str(path))
        preparation = kind.from_settings(settings)
        preparation.load_state_dict(tensors)
    except FileNotFoundError:
        raise InputError(str(path), expected, "none", remedy) from None
    except InputError:
        raise
    except (safetensors.SafetensorError, OSError, LookupError, TypeError, ValueError) as error:
        raise InputError(str(path), expected, show(f"a damaged one ({error})"), remedy) from None
    except RuntimeError:  # buffers of other names or shapes
        raise InputError(str(path), expected, "one with wrong buffers", remedy) from None
    return preparation
