"""The base of all export formats."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from sae.errors import InputError
from sae.export.part import Part
from sae.export.trained import Trained

ROOM = "sae.export.formats"


@dataclass(frozen=True)
class Export:
    """The part of a run to write.

    Attributes:
        run: The run.
        what: Name of the part.
        part: The part.
        about: Metadata of the file, as plain values.
    """

    run: Trained
    what: str
    part: Part
    about: Mapping[str, Any]


class Format(ABC):
    """The base of a format: writes a part of a run, and runs the written file.

    Attributes:
        suffix: Suffix of its files; empty for a folder.
        whole: Whether it always holds the whole run, so that no part can be chosen.
        packages: Additional packages that it needs; ``pip install 'sae[export]'`` installs them.
    """

    suffix: ClassVar[str]
    whole: ClassVar[bool] = False
    packages: ClassVar[Sequence[str]] = ()

    @abstractmethod
    def write(self, export: Export, path: Path) -> None:
        """Write a part of a run.

        Args:
            export: The part and its metadata.
            path: The file or folder to create; it does not exist.

        Raises:
            InputError: The format cannot hold the part.
        """

    @abstractmethod
    def outputs(self, export: Export, path: Path, inputs: Tensor) -> list[Tensor]:
        """Run the written file.

        Args:
            export: The part that was written.
            path: The file or folder.
            inputs: Inputs of the part, (n, size).

        Returns:
            The outputs, in the order of ``export.part.gives``.
        """

    @classmethod
    def check_installed(cls) -> None:
        """Raise :class:`~sae.errors.InputError` if a package is missing."""
        missing = [name for name in cls.packages if importlib.util.find_spec(name) is None]
        if missing:
            name = cls.__module__.rpartition(".")[2]
            remedy = f"install it: pip install {' '.join(missing)}"
            found = f"no {' and no '.join(missing)}"
            raise InputError("format", f"the packages that {name} needs", found, remedy)


def traced(export: Export, name: str) -> ExportedProgram:
    """Trace a part with torch.export, for batches of any size.

    The program contains no paths and no samples.

    Args:
        export: The part.
        name: Name of the format, for messages.

    Raises:
        InputError: torch.export cannot trace the code of the part.
    """
    part, example = export.part.trimmed(), (torch.zeros(2, export.part.given.size),)
    shapes, first = ({0: Dim("batch")},), None
    # Strict tracing is slower, but supports some code that the other mode does not, such as len(x).
    for strict in (False, True):
        try:
            with torch.no_grad():
                program = torch.export.export(part, example, dynamic_shapes=shapes, strict=strict)
        except Exception as error:  # users' layers may raise anything
            first = first or error
            continue
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)
        return program
    raise _cannot(export, name, str(first))


def _cannot(export: Export, name: str, reason: str) -> InputError:
    kinds = dict.fromkeys(type(layer).__name__ for layer in export.run.stack)
    line = next((line.strip() for line in reason.splitlines() if line.strip()), "no reason given")
    if "Constraints violated" in line:
        line = "it works only for one batch size"
    found = f"code that torch.export cannot trace ({line[:200]})"
    expected = f"layers ({', '.join(kinds)}) whose code a file of {name} can hold"
    remedy = "choose --format safetensors, or change the layer"
    return InputError("format", expected, found, remedy)
