from __future__ import annotations

import inspect

import pytest
from plugins.picture import Averages

from sae import kinds
from sae.errors import InputError
from sae.pictures.gallery import captions, ours, with_own
from sae.pictures.picture import Picture


def test_there_is_one_of_each_file_in_the_order_of_the_story():
    names = [picture.name for picture in ours()]
    assert sorted(names) == kinds.names("sae.pictures", Picture)
    ranks = [picture.rank for picture in ours()]
    assert ranks == sorted(ranks)
    assert not any(inspect.isabstract(type(picture)) for picture in ours())


def test_each_has_a_caption_and_so_has_the_whole_path():
    found = captions()
    assert list(found) == ["losses", "scatter", *(picture.name for picture in ours())]
    assert all(caption.endswith(".") for caption in found.values())


def test_a_users_own_come_after_ours():
    assert with_own(None) == with_own([]) == ours()
    *first, last = with_own(["plugins.picture.Averages"])
    assert tuple(first) == ours()
    assert type(last) is Averages
    assert last.name == "averages"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("plugins.picture.Averages", "pictures: expected a list of pictures, found 'plugins.pic"),
        (5, "pictures: expected a list of pictures, found 5; write [my_package.MyPicture]."),
        (["codse"], "found 'codse'; perhaps codes is meant"),
        (["codes", "sae.terms.l1.L1"], "pictures[1]: expected a kind of Picture, found"),
    ],
)
def test_what_is_no_list_of_pictures_is_refused(settings, sentence):
    with pytest.raises(InputError) as caught:
        with_own(settings)
    assert sentence in str(caught.value)
