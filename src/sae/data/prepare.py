"""Preparation: what lies between samples in the user's units and inputs of the network.

It is fitted on training samples, saved with the run, and used wherever samples come in or
reconstructions go out: codes, export, estimator. A kind is one class; its settings name it by its
import path, so that a class of anybody's is found again.
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
    """Samples in the user's units to inputs of the network, and back. Buffers only.

    There are three forms of a sample. *Values* are what the user has: numbers, or texts where a
    column holds categories. The *raw* form is values as numbers, a category as its index: float32,
    (n, raw columns). *Inputs* are what the network sees: float32, (n, features).

    Attributes:
        columns: Names of the raw columns; None where they have none.
        bounded: Whether inputs lie in [0, 1], as far as it knows.
        words: What words on images become: for samples that are none, others.
    """

    columns: tuple[str, ...] | None = None
    bounded: bool = True
    words: Callable[[str], str] = staticmethod(str)

    @property
    def outputs(self) -> Columns | None:
        """What the decoder ends in, where features differ in kind; None where they do not."""
        return None

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What :meth:`from_settings` makes it of, beside its buffers: values that go into JSON."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Preparation:
        """One with these settings; its buffers are read afterwards.

        Args:
            settings: Those of :attr:`settings`.
        """
        return cls(**settings)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Inputs of the network: (b, raw columns) -> (b, features), float32."""

    @abstractmethod
    def inverse(self, x: Tensor) -> Tensor:
        """Back into the user's units: (b, features) -> (b, raw columns), float32.

        Of a category the index of the most likely one.
        """

    def to_raw(self, values: ArrayLike, columns: Sequence[str] | None = None) -> Tensor:
        """Values as the user has them in the form that :meth:`forward` takes.

        Args:
            values: (n, …).
            columns: Their names, where they have some.

        Returns:
            float32, (n, raw columns).
        """
        array = np.asarray(values)
        return torch.from_numpy(np.ascontiguousarray(array.reshape(len(array), -1), np.float32))

    def from_raw(self, raw: Tensor) -> NDArray:
        """Raw numbers as values: those of a category by name.

        Args:
            raw: (n, raw columns).

        Returns:
            (n, raw columns): float32, or objects where there are texts.
        """
        return raw.detach().cpu().numpy()


class Pixels(Preparation):
    """Whole numbers, divided by the greatest one that there may be.

    Args:
        divisor: 255 of uint8, 65,535 of uint16; 1 leaves samples as they are.
    """

    def __init__(self, divisor: float = 1) -> None:
        super().__init__()
        self.divisor = divisor

    @property
    def settings(self) -> dict[str, Any]:
        """The divisor."""
        return {"divisor": self.divisor}

    def forward(self, x: Tensor) -> Tensor:
        """Divided; to the last bit as the loaders do it, which multiply."""
        x = x.float()
        return x if self.divisor == 1 else x * (1 / self.divisor)

    def inverse(self, x: Tensor) -> Tensor:
        """Multiplied."""
        return x.float() if self.divisor == 1 else x.float() * self.divisor


def write_preparation(path: Path, preparation: Preparation) -> None:
    """Write one file: buffers as safetensors, settings as JSON in its metadata.

    Args:
        path: Of the file.
        preparation: What to write.
    """
    kind = type(preparation)
    about = {"class_path": f"{kind.__module__}.{kind.__qualname__}", **preparation.settings}
    tensors = {k: v.detach().cpu().contiguous() for k, v in preparation.state_dict().items()}
    metadata = {"preparation": json.dumps(about, sort_keys=True)}
    write_atomically(path, safetensors.torch.save(tensors, metadata=metadata))


def read_preparation(path: Path) -> Preparation:
    """Read what :func:`write_preparation` wrote.

    Args:
        path: Of the file.

    Raises:
        InputError: It is not there, is damaged, or is of a class that is not found.
    """
    expected, remedy = "a preparation that a run wrote", "name another run, or run it again"
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
        raise InputError(str(path), expected, "one whose parts do not fit", remedy) from None
    return preparation
