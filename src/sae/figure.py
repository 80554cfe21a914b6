"""A figure: name, unit and format of a number, and whether lower or higher is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """How a number is shown. Each figure is defined in the file that computes it.

    Attributes:
        label: Name with unit: ``"{part} SSE per image"``. ``{part}`` stands for test or validation.
        form: Format of the number.
        better: ``lower``, ``higher``, or empty if neither is better.
    """

    label: str
    form: str = "{:.2f}"
    better: str = "lower"

    @property
    def unit(self) -> str:
        """The text after the number, such as ``%``."""
        return self.form.rpartition("}")[2].strip()

    def line(self, value: float, part: str = "test") -> tuple[str, str]:
        """Return label and number as texts, for a table."""
        return self.label.format(part=part), self.form.format(value)


@dataclass(frozen=True)
class Measured:
    """A figure with its value.

    Attributes:
        figure: The figure.
        value: The number.
        part: The samples: ``test`` or ``validation``.
    """

    figure: Figure
    value: float
    part: str = "test"

    def line(self) -> tuple[str, str]:
        """Return label and number as texts, for a table."""
        return self.figure.line(self.value, self.part)


Figures = Mapping[str, Figure]
