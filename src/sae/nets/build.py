"""Build a stack from settings: sizes for dense layers, or a description of each layer."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from sae import kinds
from sae.errors import InputError, check_bool, check_choice, check_integer, show
from sae.nets.activations import ACTIVATIONS
from sae.nets.dense import MOST_UNITS, MOST_WEIGHTS, Dense
from sae.nets.layer import Layer
from sae.nets.reconstruction_loss import LOSSES
from sae.nets.stack import Stack

ROOM = "sae.nets"
OUTPUTS = ("sigmoid", "linear")


def build_stack(
    sizes: Sequence[int | str] | None = None,
    activation: str | Sequence[str] = "sigmoid",
    linear_code: bool = False,
    output: str = "sigmoid",
    loss: str = "mse",
    tied: bool = False,
    input_shape: Sequence[int] | str | None = None,
    layers: Sequence[Mapping[str, Any]] | None = None,
) -> Stack:
    """Return a stack with new weights; arguments and errors as in :class:`StackedAutoencoder`."""
    for key, switch in (("linear_code", linear_code), ("tied", tied)):
        check_bool(key, switch)
    check_choice("output", output, OUTPUTS)
    check_choice("loss", loss, LOSSES)
    if loss == "bce" and output != "sigmoid":
        remedy = "choose --model.output sigmoid, or --model.loss mse"
        raise InputError("loss", "mse with a linear output", "'bce'", remedy)
    ends = {"output": "sigmoid" if output == "sigmoid" else "identity", "loss": loss}
    if layers is not None:
        if sizes is not None:
            remedy = "leave out either; layers go with input_shape"
            raise InputError("layers", "sizes or layers", "both", remedy)
        return _of_kinds(layers, input_shape, activation, linear_code, tied, ends)
    if input_shape is not None:
        raise InputError("input_shape", "layers, too", "none", "give layers, or sizes alone")
    return _dense(sizes, activation, linear_code, tied, ends)


def _dense(
    sizes: Sequence[int | str] | None,
    activation: str | Sequence[str],
    linear_code: bool,
    tied: bool,
    ends: Mapping[str, str],
) -> Stack:
    if not isinstance(sizes, Sequence) or isinstance(sizes, str) or len(sizes) < 2:
        remedy = "give the input size, then the units of each layer, such as [784, 256, 128]"
        raise InputError("sizes", "a list of two sizes or more", show(sizes), remedy)
    for k, size in enumerate(sizes):
        check_integer(f"sizes[{k}]", size, 1, "give the number of units", high=MOST_UNITS)
    units_of = [int(size) for size in sizes]
    n_weights = sum(below * above for below, above in pairwise(units_of))
    if n_weights > MOST_WEIGHTS:  # checked before memory runs out
        expected = f"layers of at most {MOST_WEIGHTS:,} weights together"
        raise InputError("sizes", expected, f"{n_weights:,}", "give fewer units")
    units = _units(activation, len(sizes) - 1, linear_code)
    stack: list[Layer] = []
    for (n_in, n_code), unit in zip(pairwise(units_of), units, strict=True):
        stack.append(Dense(n_in, n_code, unit, **_above(stack, ends), tied=tied))
    return Stack(stack)


def _of_kinds(
    layers: Sequence[Mapping[str, Any]],
    input_shape: Sequence[int] | str | None,
    activation: str | Sequence[str],
    linear_code: bool,
    tied: bool,
    ends: Mapping[str, str],
) -> Stack:
    """Build layers of any kind; the model's settings are the defaults of each layer."""
    if not isinstance(layers, Sequence) or isinstance(layers, str) or not layers:
        remedy = "write a mapping for each, such as {kind: dense, units: 128}"
        raise InputError("layers", "a list of layers", show(layers), remedy)
    if not isinstance(input_shape, Sequence) or isinstance(input_shape, str) or not input_shape:
        remedy = "give that of an image, such as [28, 28], or the number of features, such as [784]"
        raise InputError("input_shape", "a list of sizes", show(input_shape), remedy)
    for k, size in enumerate(input_shape):
        check_integer(f"input_shape[{k}]", size, 1, "give a number of pixels", high=MOST_UNITS)
    units = _units(activation, len(layers), linear_code)
    shape, stack = tuple(int(size) for size in input_shape), list[Layer]()
    for k, (settings, unit) in enumerate(zip(layers, units, strict=True)):
        key = f"layers[{k}]"
        settings = _with_defaults(settings, {"activation": unit, "tied": tied}, key)
        stack.append(kinds.build(settings, ROOM, Layer, key, shape, **_above(stack, ends)))
        shape = stack[-1].code_shape
    if linear_code and stack[-1].activation != "identity":
        remedy = "leave linear_code out, or choose another kind for the last layer"
        raise InputError("linear_code", "a last layer that can be linear", "none", remedy)
    if tied and not any(layer.tied for layer in stack):
        raise InputError("tied", "a layer that can be tied", "none", "leave tied out")
    return Stack(stack)


def _above(stack: Sequence[Layer], ends: Mapping[str, str]) -> dict[str, str]:
    """Return output unit and loss of the next layer, which rebuilds the code of the one below."""
    if not stack:
        return dict(ends)
    unit = stack[-1].activation
    return {"output": unit, "loss": ends["loss"] if unit == "sigmoid" else "mse"}


def _with_defaults(settings: Any, given: Mapping[str, Any], key: str) -> Any:
    """Return the settings of a layer, with the model's own as defaults where it has the option."""
    name = kinds.name_of(settings, key)
    takes = inspect.signature(kinds.find(name, ROOM, Layer, key)).parameters
    return kinds.with_defaults(settings, {k: v for k, v in given.items() if k in takes})


def _units(activation: str | Sequence[str], n_layers: int, linear_code: bool) -> list[str]:
    """Return the activation of each encoder layer."""
    if not isinstance(activation, Sequence):
        remedy = "name one, such as sigmoid"
        raise InputError("activation", "a name, or a list of names", show(activation), remedy)
    units = [activation] * n_layers if isinstance(activation, str) else list(activation)
    if len(units) != n_layers:
        expected = f"one name, or a list of {n_layers}, one for each encoder layer"
        raise InputError(
            "activation", expected, f"{len(units)} names", "correct the list or the layers"
        )
    for unit in units:
        check_choice("activation", unit, list(ACTIVATIONS))
    return [*units[:-1], "identity"] if linear_code else units
