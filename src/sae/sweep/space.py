"""The search space: a range or a list of values for each option."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sae.errors import InputError, check_bool, check_choice, check_integer, check_number, show

if TYPE_CHECKING:
    from optuna.trial import Trial

_FIELDS = ("low", "high", "log", "step")
_HOW = "write {low: 0.001, high: 0.1, log: true}, or a list of values to choose from"


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; integers if both of these are integers.

    Attributes:
        key: The dotted name of the option: ``pretrain.lr``.
        low: Smallest value.
        high: Largest value.
        log: Whether to choose uniformly on a logarithmic scale.
        step: Distance between values; None for no fixed distance.
    """

    key: str
    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        """Whether the values are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def suggest(self, trial: Trial) -> Any:
        """Choose a value for a trial."""
        if self.whole:
            step = int(self.step or 1)
            return trial.suggest_int(
                self.key, int(self.low), int(self.high), step=step, log=self.log
            )
        # Round to six digits, which are enough and easy to type.
        value = trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.log)
        return min(max(float(f"{value:.6g}"), self.low), self.high)


@dataclass(frozen=True)
class Choice:
    """One of several values of any type.

    Attributes:
        key: The dotted name of the option: ``model.sizes``.
        values: The values.
    """

    key: str
    values: tuple[Any, ...]

    def suggest(self, trial: Trial) -> Any:
        """Choose a value for a trial."""
        names = [json.dumps(value) for value in self.values]  # Optuna cannot store lists
        return json.loads(trial.suggest_categorical(self.key, names))


Dimension = Range | Choice


def read_space(settings: Any) -> list[Dimension]:
    """Read the search space of a config.

    Args:
        settings: For each option ``{low: …, high: …}``, optionally with ``log: true`` or ``step``,
            or a list of values.

    Raises:
        InputError: The settings are not of this form.
    """
    if not isinstance(settings, Mapping) or not settings:
        remedy = "write `space: {pretrain.lr: {low: 0.001, high: 0.1, log: true}}`"
        raise InputError("sweep.space", "options with a range or a list", show(settings), remedy)
    return [_dimension(str(key), values) for key, values in settings.items()]


def _dimension(key: str, values: Any) -> Dimension:
    name = f"sweep.space.{key}"
    if key.split(".")[0] in ("sweep", "config", "name", "resume"):
        raise InputError(name, "an option of a run", "an option of the search", "leave it out")
    if isinstance(values, list):
        if len({json.dumps(value) for value in values}) < 2:
            raise InputError(name, "two values or more", show(values), _HOW)
        return Choice(key, tuple(values))
    if not isinstance(values, Mapping) or not {"low", "high"} <= values.keys():
        raise InputError(name, "a range or a list", show(values), _HOW)
    for field in values:
        check_choice(f"{name}.{field}", field, _FIELDS)
    log, step = values.get("log", False), values.get("step")
    check_bool(f"{name}.log", log)
    low, high = values["low"], values["high"]
    limits = float("-inf"), float("inf")
    check_number(f"{name}.low", low, *limits, "give the smallest value", high_open=True)
    check_number(f"{name}.high", high, low, limits[1], "give a value above low", low_open=True)
    if log:
        check_number(f"{name}.low", low, 0.0, limits[1], "leave out log: true", low_open=True)
    found = Range(key, low, high, log, step)
    if step is not None:
        if log:
            raise InputError(
                f"{name}.step", "no step with log: true", show(step), "leave out one of them"
            )
        if found.whole:
            check_integer(f"{name}.step", step, 1, "give an integer step between integers")
        check_number(f"{name}.step", step, 0.0, high - low, "give a smaller step", low_open=True)
    return found


def with_values(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a config and set some of its options.

    Args:
        config: The config as nested mappings of plain values.
        values: The values by dotted option; a number is an index in a list: ``model.sizes.1``.

    Raises:
        InputError: A part of a dotted name is neither a group of options nor an index.
    """
    made = copy.deepcopy(dict(config))
    for key, value in values.items():
        *groups, last = key.split(".")
        place: Any = made
        for group in groups:
            place = _inner(place, group, key)
        if isinstance(place, list):
            place[_index(place, last, key)] = value
        elif isinstance(place, dict):
            place[last] = value
        else:
            raise _no_way(key, place)
    return made


def _inner(place: Any, group: str, key: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, group, key)]
    if not isinstance(place, dict):
        raise _no_way(key, place)
    if place.get(group) is None:
        place[group] = {}
    return place[group]


def _index(place: list[Any], name: str, key: str) -> int:
    if not name.isdecimal() or int(name) >= len(place):
        expected = f"an index from 0 to {len(place) - 1} in a list"
        raise InputError(f"sweep.space.{key}", expected, show(name), "correct the index")
    return int(name)


def _no_way(key: str, place: Any) -> InputError:
    remedy = "add the group to the config, or correct the name"
    return InputError(f"sweep.space.{key}", "a group of options", show(place), remedy)
