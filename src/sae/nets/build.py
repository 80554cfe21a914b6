"""A stack from plain settings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sae.errors import InputError, check_choice, check_integer, show
from sae.nets.activations import ACTIVATIONS
from sae.nets.dense import Dense
from sae.nets.losses import LOSSES
from sae.nets.stack import Stack

MOST_UNITS, MOST_WEIGHTS = 1_000_000, 10**9
OUTPUTS = ("sigmoid", "linear")


def build_stack(
    sizes: Sequence[int],
    activation: str | Sequence[str] = "sigmoid",
    linear_code: bool = False,
    output: str = "sigmoid",
    loss: str = "mse",
    tied: bool = False,
) -> Stack:
    """A stack with new weights; the arguments are those of :class:`StackedAutoencoder`."""
    if not isinstance(sizes, Sequence) or len(sizes) < 2:
        remedy = "give the input size, then the units of each layer, such as [784, 256, 128]"
        raise InputError("sizes", "a list of two sizes or more", show(sizes), remedy)
    for k, size in enumerate(sizes):
        check_integer(f"sizes[{k}]", size, 1, "give the number of units", high=MOST_UNITS)
    n_weights = sum(below * above for below, above in pairwise(sizes))
    if n_weights > MOST_WEIGHTS:  # checked before memory runs out
        expected = f"layers of at most {MOST_WEIGHTS:,} weights together"
        raise InputError("sizes", expected, f"{n_weights:,}", "give fewer units")
    for key, switch in (("linear_code", linear_code), ("tied", tied)):
        if not isinstance(switch, bool):
            raise InputError(key, "true or false", show(switch), "write one of these")
    units = _units(activation, len(sizes) - 1, linear_code)
    check_choice("output", output, OUTPUTS)
    check_choice("loss", loss, LOSSES)
    if loss == "bce" and output != "sigmoid":
        remedy = "choose --model.output sigmoid, or --model.loss mse"
        raise InputError("loss", "mse with a linear output", "'bce'", remedy)
    outputs = ["sigmoid" if output == "sigmoid" else "identity", *units[:-1]]
    layers = []
    for k, (unit, out) in enumerate(zip(units, outputs, strict=True)):
        layer_loss = loss if out == "sigmoid" else "mse"
        layers.append(Dense(sizes[k], sizes[k + 1], unit, out, layer_loss, tied))
    return Stack(layers)


def _units(activation: str | Sequence[str], n_layers: int, linear_code: bool) -> list[str]:
    """The activation of each encoder layer."""
    if not isinstance(activation, Sequence):
        remedy = "name one, such as sigmoid"
        raise InputError("activation", "a name, or a list of names", show(activation), remedy)
    units = [activation] * n_layers if isinstance(activation, str) else list(activation)
    if len(units) != n_layers:
        expected = f"one name, or a list of {n_layers}, one for each encoder layer"
        raise InputError(
            "activation", expected, f"{len(units)} names", "mend the list or the sizes"
        )
    for unit in units:
        check_choice("activation", unit, list(ACTIVATIONS))
    return [*units[:-1], "identity"] if linear_code else units
