"""Layer sizes that depend on the data: the meaning of ``auto`` in the options of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sae.errors import InputError, show

AUTO = "auto"
# Most units of a layer whose size is chosen automatically.
MOST_CHOSEN = 1024
RULE = "the largest power of two in half of the features, at most 1,024, and a quarter of it"


def chosen_sizes(features: int) -> list[int]:
    """Return sizes for a number of features: 784 gives [784, 256, 64].

    The first layer has as many units as the largest power of two that is at most half of the
    features, and at most 1,024. The second layer has a quarter of that; it is left out if it would
    have fewer than two units.

    Args:
        features: Features of a sample, 1 or more.
    """
    first = min(MOST_CHOSEN, 2 ** int(math.log2(max(1, features // 2))))
    return [features, first, first // 4] if first >= 8 else [features, first]


def are_open(options: Mapping[str, Any]) -> bool:
    """Return whether the size of the network depends on the data.

    Args:
        options: Options of :class:`~sae.training.stacked.StackedAutoencoder`.
    """
    sizes, layers, shape = (options.get(key) for key in ("sizes", "layers", "input_shape"))
    if layers is not None:
        return sizes is None and shape in (None, AUTO)
    return shape is None and (sizes in (None, AUTO) or (isinstance(sizes, list) and AUTO in sizes))


def settled(
    options: Mapping[str, Any], features: int, image_shape: Sequence[int]
) -> dict[str, list[int]]:
    """Return the sizes to use where the options leave them to the data.

    Args:
        options: Options of the model for which :func:`are_open` is true.
        features: Features of a sample.
        image_shape: Height and width of an image, and 3 if it has colours.

    Returns:
        A value for the option ``sizes`` or ``input_shape``, by its name.

    Raises:
        InputError: ``auto`` stands for a size that the data do not decide.
    """
    if options.get("layers") is not None:
        flat = min(image_shape) == 1 or math.prod(image_shape) != features  # not an image
        return {"input_shape": [features] if flat else list(image_shape)}
    sizes = options.get("sizes")
    if not isinstance(sizes, list):
        return {"sizes": chosen_sizes(features)}
    if AUTO in sizes[1:]:
        found = show(sizes)
        raise InputError("sizes", "auto as the first size alone", found, "give units to the others")
    return {"sizes": [features, *sizes[1:]]}
