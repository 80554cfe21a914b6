from __future__ import annotations

import pytest
from exported import made, pixels

from sae.errors import InputError
from sae.export.parity import TOLERANCE, compare
from sae.export.part import part_of

TOP = [{"kind": "topk", "units": 4, "k": 1}]


def test_it_tells_the_largest_difference():
    part, x = part_of(made(), "encoder"), pixels()
    (code,) = part(x)
    found = code.clone()
    found[3, 1] += 2e-5
    parity = compare(part, x, [found])
    assert parity.difference == pytest.approx(2e-5, rel=0.01)
    assert parity.relative == pytest.approx(2e-5 / float(code.abs().max()), rel=0.01)
    line = parity.line("twenty samples")
    assert line == (
        f"parity: largest difference 2e-05, {parity.relative:.1e} of the largest value "
        "(at most 1e-04), on twenty samples"
    )
    assert compare(part, x, [code]).difference == 0


@pytest.mark.parametrize("wrong", [2 * TOLERANCE, float("nan"), float("inf")])
def test_a_larger_one_is_refused(wrong):
    part, x = part_of(made(), "encoder"), pixels()
    (code,) = part(x)
    found = code.clone()
    found[3, 1] += wrong
    with pytest.raises(
        InputError, match=r"outputs within 0.0001 of the largest value.*now deleted"
    ):
        compare(part, x, [found])


def test_other_shapes_are_refused():
    part, x = part_of(made(), "encoder"), pixels()
    with pytest.raises(InputError, match="outputs of the shapes"):
        compare(part, x, [part(x)[0][:, :2]])


def test_samples_that_rounding_decides_are_left_out_and_counted():
    """For one sample two units are equal but for the last bits: either may be the largest."""
    run, x = made(TOP), pixels()
    (layer,) = run.stack
    layer.bias[:2], layer.bias[2:] = 9.0, -99.0
    ahead = (layer.weight[0] - layer.weight[1]) @ (x[4] / 255)
    layer.bias[1] += ahead
    part = part_of(run, "encoder")
    (code,) = part(x)
    other = code.clone()
    other[4] = code[4][[1, 0, 2, 3]]
    parity = compare(part, x, [other])
    assert (parity.undecided, parity.difference) == (1, 0)
    assert parity.line("all").endswith("on all; 1 left out: rounding decides them")
    other[5] = code[5][[1, 0, 2, 3]]
    with pytest.raises(InputError, match="a difference of"):
        compare(part, x, [other])
    with pytest.raises(InputError, match="depend on rounding"):
        compare(part, x[4:5], [code[4:5]])


def test_a_predicted_class_that_is_not_the_most_probable_is_refused():
    part, x = part_of(made(objective="classify"), "classifier"), pixels()
    probability, predicted = part(x)
    assert compare(part, x, [probability, predicted]).difference == 0
    with pytest.raises(InputError, match="the most probable class"):
        compare(part, x, [probability, (predicted + 1) % 3])
