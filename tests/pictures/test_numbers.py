from __future__ import annotations

import numpy as np
import pytest

from sae.pictures.numbers import load, save, texts


def test_numbers_need_no_pickle(tmp_path):
    with pytest.raises(AssertionError):
        save(tmp_path / "x.npz", {"x": np.array([object()])})


def test_arrays_and_words_come_back_as_they_were(tmp_path):
    made = {
        "images": np.random.default_rng(0).random((2, 3, 4), dtype=np.float32),
        "dead": np.array([True, False]),
        "names": texts(word for word in ("stage 1", "Größe")),
        "title": np.array("784→12"),
    }
    save(tmp_path / "x.npz", made)
    found = load(tmp_path / "x.npz")
    assert found.keys() == made.keys()
    for name, array in made.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_a_file_that_holds_objects_is_not_unpickled(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        load(tmp_path / "x.npz")
