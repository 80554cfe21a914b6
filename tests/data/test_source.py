import numpy as np
import pytest

from sae.data.source import Source, kinds_of_source, open_source
from sae.data.sources.numpy_files import NpySource
from sae.errors import InputError


class Counting(Source):
    def __init__(self, n):
        self.n = n

    def chunks(self, rows):
        for first in range(0, self.n, rows):
            yield np.arange(first, min(first + rows, self.n))[:, None]


def test_the_suffix_decides(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    assert isinstance(open_source(tmp_path / "x.npy"), NpySource)
    assert isinstance(open_source(str(tmp_path)), NpySource)


def test_every_kind_names_suffixes_of_its_own():
    ours = kinds_of_source()
    assert NpySource in ours
    suffixes = [suffix for kind in ours for suffix in kind.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in suffixes)


def test_all_samples_at_once():
    assert Counting(5).whole().tolist() == [[0], [1], [2], [3], [4]]


def test_what_is_not_there_is_refused_with_what_is_near(tmp_path):
    np.save(tmp_path / "wine.npy", np.zeros((3, 2)))
    with pytest.raises(InputError, match=r"found none; perhaps you meant wine\.npy"):
        open_source(tmp_path / "wines.npy")


def test_another_format_is_refused_with_those_that_are_read(tmp_path):
    (tmp_path / "x.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"a known format \(.*\.npy.*found '\.xlsx'"):
        open_source(tmp_path / "x.xlsx")
    with pytest.raises(InputError, match="a folder of something else"):
        open_source(tmp_path)


def test_an_option_of_another_kind_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    with pytest.raises(InputError, match=r"^sep: expected no such option for \.npy"):
        open_source(tmp_path / "x.npy", sep=";")
    assert open_source(tmp_path / "x.npy", sep=None).n == 3
