"""The base of every format of an export."""

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
    """What is written.

    Attributes:
        run: The run that it is of.
        what: Name of the part.
        part: The part.
        about: What the file says of itself; plain values.
    """

    run: Trained
    what: str
    part: Part
    about: Mapping[str, Any]


class Format(ABC):
    """How a part of a run is written down, and run from what was written. A kind is one file.

    Attributes:
        suffix: Of its files; empty for a folder.
        whole: Whether it holds all of a run, and no part can be chosen.
        packages: What it needs beyond what sae needs; ``pip install 'sae[export]'`` brings it.
    """

    suffix: ClassVar[str]
    whole: ClassVar[bool] = False
    packages: ClassVar[Sequence[str]] = ()

    @abstractmethod
    def write(self, export: Export, path: Path) -> None:
        """Write it.

        Args:
            export: What.
            path: The file, or the folder; nothing is there yet.

        Raises:
            InputError: The format cannot hold it.
        """

    @abstractmethod
    def outputs(self, export: Export, path: Path, inputs: Tensor) -> list[Tensor]:
        """What the written file itself makes of inputs.

        Args:
            export: What was written.
            path: Where.
            inputs: (n, size).

        Returns:
            The outputs, in order.
        """

    @classmethod
    def check_installed(cls) -> None:
        """Raise :class:`~sae.errors.InputError` where a package is missing."""
        missing = [name for name in cls.packages if importlib.util.find_spec(name) is None]
        if missing:
            name = cls.__module__.rpartition(".")[2]
            remedy = f"install it: pip install {' '.join(missing)}"
            found = f"no {' and no '.join(missing)}"
            raise InputError("format", f"the packages that {name} needs", found, remedy)


def traced(export: Export, name: str) -> ExportedProgram:
    """A part as torch.export writes it down, for batches of any size.

    Nothing of the machine or of the data is left in it: neither paths nor samples.

    Args:
        export: What.
        name: Of the format, for messages.

    Raises:
        InputError: Its code cannot be traced.
    """
    part, example = export.part.trimmed(), (torch.zeros(2, export.part.given.size),)
    shapes, first = ({0: Dim("batch")},), None
    # Strict tracing reads the code itself: it is slower, and takes a few things that the other does
    # not, such as len(x).
    for strict in (False, True):
        try:
            with torch.no_grad():
                program = torch.export.export(part, example, dynamic_shapes=shapes, strict=strict)
        except Exception as error:  # it runs anybody's code, and raises many things
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
        line = "it works for one size of a batch alone"
    found = f"code that torch.export cannot trace ({line[:200]})"
    expected = f"layers ({', '.join(kinds)}) whose code a file of {name} can hold"
    remedy = "choose --format safetensors, or mend the layer"
    return InputError("format", expected, found, remedy)
