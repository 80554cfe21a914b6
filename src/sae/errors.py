"""One sentence for bad input: what was expected, what was found, what to do."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

# A key with one of these endings is a file, not an option.
FILES = (".npy", ".npz", ".csv", ".tsv", ".parquet", ".arrow", ".feather")


class InputError(ValueError):
    """Input that the user can correct. The command line prints it and exits with ``exit_code``.

    Args:
        key: The option or file at fault, as the user wrote it (``"pretrain.epochs"``).
        expected: What the input should be.
        found: What it is.
        remedy: What to do.
    """

    exit_code = 2

    def __init__(self, key: str, expected: str, found: str, remedy: str) -> None:
        self.key, self.expected, self.found, self.remedy = key, expected, found, remedy
        super().__init__(f"{key}: expected {expected}, found {found}; {remedy}.")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str, str]]:
        """Pass all four parts to another process; the default would pass only the sentence."""
        return type(self), (self.key, self.expected, self.found, self.remedy)

    def under(self, prefix: str) -> InputError:
        """The same error with its key below ``prefix``; a file keeps its name."""
        if os.sep in self.key or self.key.endswith(FILES):
            return self
        return InputError(f"{prefix}.{self.key}", self.expected, self.found, self.remedy)


class DivergedError(InputError):
    """The loss is not finite any more: the training diverged."""


@contextmanager
def error_prefix(prefix: str) -> Iterator[None]:
    """Add the option group to the key of an :class:`InputError` raised inside."""
    try:
        yield
    except InputError as error:
        raise error.under(prefix) from None


def exit_with(sentence: object, code: int = 2) -> NoReturn:
    """Print an error as one line on stderr, and exit with ``code``."""
    line = " ".join(str(sentence).split())
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    print(f"error: {shown}", file=sys.stderr)
    sys.exit(code)


def show(value: Any) -> str:
    """A value as in YAML; a long one is shortened in the middle, since a path ends in its name."""
    text = "nothing (null)" if value is None else str(value)
    text = text if len(text) <= 80 else f"{text[:39]}…{text[-40:]}"
    return repr(text) if isinstance(value, str) else text


def check_integer(key: str, value: Any, low: int, remedy: str, high: int = 2**63 - 1) -> None:
    """Raise :class:`InputError` unless ``value`` is an integer from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        too_large = isinstance(value, int) and value > high
        expected = f"an integer of at most {high}" if too_large else f"an integer of {low} or more"
        raise InputError(key, expected, show(value), remedy)


def check_number(
    key: str,
    value: Any,
    low: float,
    high: float,
    remedy: str,
    *,
    low_open: bool = False,
    high_open: bool = False,
) -> None:
    """Raise :class:`InputError` unless ``value`` is a finite number in the given interval."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and abs(value) < 1e300:  # else inf, nan, or an integer too large for a float
        above = value > low if low_open else value >= low
        below = value < high if high_open else value <= high
        if above and below:
            return
    if math.isinf(high):
        expected = f"a finite number {'above' if low_open else 'of at least'} {low:g}"
    else:
        expected = (
            f"a number in {'(' if low_open else '['}{low:g}, {high:g}{')' if high_open else ']'}"
        )
    raise InputError(key, expected, show(value), remedy)


def check_bool(key: str, value: Any) -> None:
    """Raise :class:`InputError` unless ``value`` is true or false."""
    if not isinstance(value, bool):
        raise InputError(key, "true or false", show(value), "write one of these")


def check_choice(key: str, value: Any, choices: Sequence[str]) -> None:
    """Raise :class:`InputError` unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise InputError(key, f"one of {', '.join(choices)}", show(value), "choose one of these")
