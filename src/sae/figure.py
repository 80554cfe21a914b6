"""A figure: what a number is called, how it reads, and which way is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """How a number reads. It is declared where it is computed; nothing else has to know it.

    Attributes:
        label: What it is, with its unit: ``"{part} SSE per image"``. ``{part}`` stands for the
            samples it is of: test, validation.
        form: How the number reads.
        better: ``lower``, ``higher``, or empty where neither is.
    """

    label: str
    form: str = "{:.2f}"
    better: str = "lower"

    @property
    def unit(self) -> str:
        """What stands after the number, such as ``%``."""
        return self.form.rpartition("}")[2].strip()

    def line(self, value: float, part: str = "test") -> tuple[str, str]:
        """What it is, and the number, for a table."""
        return self.label.format(part=part), self.form.format(value)


@dataclass(frozen=True)
class Measured:
    """A figure with its value.

    Attributes:
        figure: What it is.
        value: The number.
        part: Which samples it is of: ``test`` or ``validation``.
    """

    figure: Figure
    value: float
    part: str = "test"

    def line(self) -> tuple[str, str]:
        """What it is, and the number, for a table."""
        return self.figure.line(self.value, self.part)


Figures = Mapping[str, Figure]
