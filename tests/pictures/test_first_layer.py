from __future__ import annotations

import numpy as np
from helpers import tiny_scene

from sae.pictures import first_layer


def test_the_first_layer_of_a_stack_is_shown_beside_its_code():
    scene = tiny_scene()
    np.testing.assert_array_equal(
        first_layer.numbers(scene)["images"][0].reshape(6, 12), scene.stack[0].weight.detach()
    )
    assert first_layer.numbers(tiny_scene(sizes=[12, 6])) is None
