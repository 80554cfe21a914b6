"""Sizes that the data decide: what ``auto`` stands for in the options of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sae.errors import InputError, show

AUTO = "auto"
# No layer that nobody asked for has more units.
MOST_CHOSEN = 1024
RULE = "the largest power of two in half of the features, at most 1,024, and a quarter of it"


def chosen_sizes(features: int) -> list[int]:
    """Sizes where none are given: 784 features become [784, 256, 64].

    The first layer has the largest power of two that is at most half of the features, and at most
    1,024; the second one has a quarter of that. A second one of less than two units is left out.

    Args:
        features: Of a sample, 1 or more.
    """
    first = min(MOST_CHOSEN, 2 ** int(math.log2(max(1, features // 2))))
    return [features, first, first // 4] if first >= 8 else [features, first]


def are_open(options: Mapping[str, Any]) -> bool:
    """Whether the data have to say how large a network of these options is.

    Args:
        options: Those of :class:`~sae.training.stacked.StackedAutoencoder`.
    """
    sizes, layers, shape = (options.get(key) for key in ("sizes", "layers", "input_shape"))
    if layers is not None:
        return sizes is None and shape in (None, AUTO)
    return shape is None and (sizes in (None, AUTO) or (isinstance(sizes, list) and AUTO in sizes))


def settled(
    options: Mapping[str, Any], features: int, image_shape: Sequence[int]
) -> dict[str, list[int]]:
    """The sizes that open options come to.

    Args:
        options: Those of the model; see :func:`are_open`.
        features: Of a sample.
        image_shape: Its height and width, and 3 where it has colours.

    Returns:
        What to put in place of ``sizes`` or ``input_shape``.

    Raises:
        InputError: ``auto`` stands where no data can tell.
    """
    if options.get("layers") is not None:
        flat = min(image_shape) == 1 or math.prod(image_shape) != features  # no image
        return {"input_shape": [features] if flat else list(image_shape)}
    sizes = options.get("sizes")
    if not isinstance(sizes, list):
        return {"sizes": chosen_sizes(features)}
    if AUTO in sizes[1:]:
        found = show(sizes)
        raise InputError("sizes", "auto as the first size alone", found, "give units to the others")
    return {"sizes": [features, *sizes[1:]]}
