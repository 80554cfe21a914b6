import numpy as np
import pytest

from sae.data.source import open_source
from sae.errors import InputError


def test_an_array_in_its_own_unit_row_by_row(tmp_path):
    x = np.arange(10 * 6, dtype="u2").reshape(10, 2, 3)
    np.save(tmp_path / "x.npy", x)
    source = open_source(tmp_path / "x.npy")
    assert (source.n, source.sample_shape, source.dtype) == (10, (2, 3), "uint16")
    assert (source.columns, source.ids) == (None, None)
    chunks = list(source.chunks(4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 2]
    assert np.array_equal(np.concatenate(chunks), x.reshape(10, 6))


def test_files_of_a_folder_one_after_another(tmp_path):
    parts = {"b": np.arange(3.0)[:, None], "a": np.arange(10.0, 14)[:, None]}
    for name, part in parts.items():
        np.save(tmp_path / f"{name}.npy", part)
    source = open_source(tmp_path)
    assert [chunk.ravel().tolist() for chunk in source.chunks(3)] == [[10, 11, 12], [13, 0, 1], [2]]
    assert source.whole().ravel().tolist() == [10, 11, 12, 13, 0, 1, 2]


def test_one_array_of_several_by_its_key(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((3, 2)), z=np.ones((5, 4)))
    assert open_source(tmp_path / "x.npz", key="z").whole().shape == (5, 4)
    with pytest.raises(InputError, match=r"2 \('x', 'z'\).*choose one with key"):
        open_source(tmp_path / "x.npz")
    with pytest.raises(InputError, match=r"found 'y'; name one of 'x', 'z'"):
        open_source(tmp_path / "x.npz", key="y")


def test_files_of_two_kinds_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 2)))
    np.save(tmp_path / "b.npy", np.zeros((3, 4)))
    with pytest.raises(InputError, match=r"b\.npy: expected float64 of \(2,\), as in a\.npy"):
        open_source(tmp_path)


def test_python_objects_are_never_read(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[1, 2], [3]], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="Python objects"):
        open_source(tmp_path / "x.npy")
