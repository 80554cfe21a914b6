from __future__ import annotations

import numpy as np
import pytest
from helpers import tiny_scene
from matplotlib.figure import Figure

from sae.pictures.gallery import ours
from sae.pictures.picture import Picture


class MeanCode(Picture):
    """As little as a kind must define."""

    def numbers(self, scene):
        return {"mean": scene.codes().mean(axis=0)}

    def draw(self, numbers):
        figure = Figure()
        figure.add_subplot().bar(range(len(numbers["mean"])), numbers["mean"])
        return figure


def test_a_kind_needs_numbers_and_a_figure_of_them_alone():
    picture, scene = MeanCode(), tiny_scene()
    made = picture.numbers(scene)
    bars = picture.draw(made).axes[0].patches
    np.testing.assert_allclose([bar.get_height() for bar in bars], made["mean"])
    assert picture.table(made, scene) is None


def test_by_default_it_is_drawn_of_every_phase_at_its_end_and_comes_last():
    picture = MeanCode()
    assert (picture.of_phases, picture.slides, picture.needs_decoder) == (True, False, False)
    assert picture.rank > max(each.rank for each in ours())


def test_ours_are_called_by_their_file_and_others_by_their_class():
    assert MeanCode().name == "meancode"
    for picture in ours():
        assert type(picture).__module__ == f"sae.pictures.{picture.name}"


@pytest.mark.parametrize("method", ["numbers", "draw"])
def test_without_either_it_is_no_kind(method):
    assert method in Picture.__abstractmethods__
    with pytest.raises(TypeError, match=method):
        Picture()
