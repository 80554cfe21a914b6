from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from sae.data import ArrayDataModule
from sae.errors import InputError


def brought(x: np.ndarray, name: str = "x.npy", **kwargs) -> ArrayDataModule:
    np.save(name, x, allow_pickle=True)
    return set_up(name, **kwargs)


def set_up(name: str, **kwargs) -> ArrayDataModule:
    data = ArrayDataModule(name, **{"val_size": 10, **kwargs})
    data.setup()
    return data


def follow(error: InputError) -> None:
    """Do what the remedy says, as it stands."""
    code = re.search(r"(x = )?numpy\.(load|save).*\)", error.remedy)
    assert code is not None, error
    exec(code[0], {"numpy": np})


X = np.random.default_rng(0).random((60, 6))


def every_row(data: ArrayDataModule) -> np.ndarray:
    rows = torch.cat([part.x[:] for part in (data.train, data.val, data.test)]).numpy()
    return rows[np.lexsort(rows.T)]


def test_16_bits_are_divided_by_their_greatest_value():
    x = (X * 65535).astype(np.uint16)
    data = brought(x)
    wanted = x.astype(np.float64) / 65535
    np.testing.assert_allclose(every_row(data), wanted[np.lexsort(wanted.T)], atol=1e-7)
    seen = data.train_dataloader().survey()
    assert 0 <= seen.low < seen.high <= 1
    assert data.remarks(seen)[0] == "data: uint16, divided by 65,535"
    assert data.train.x[torch.tensor([3, 1])].dtype == torch.float32


def test_16_bits_lie_in_several_files_too():
    Path("many").mkdir()
    x = (X * 65535).astype(np.uint16)
    for k, part in enumerate(np.split(x, [11, 40])):
        np.save(f"many/{k}.npy", part)
    np.testing.assert_array_equal(every_row(set_up("many")), every_row(brought(x)))


def test_truth_values_are_0_and_1():
    data = brought(X > 0.5)
    assert data.train.x[:].unique().tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("x", "found"),
    [
        ((X * 1000).astype(np.int64), "int64"),
        ((X * 200 - 100).astype(np.int8), "int8"),
        ((X * 10).astype(np.uint32) + 7, "uint32"),
    ],
)
def test_other_whole_numbers_are_refused_with_code_that_works_at_once(x, found):
    with pytest.raises(InputError, match=f"found {found}") as caught:
        brought(x)
    follow(caught.value)
    rows = every_row(set_up("x_scaled.npy"))
    assert (rows.min(), rows.max()) == (0, 1) or (found == "int64" and rows.max() == 1)
    wide = x.astype(float)
    low = 0 if found == "int64" else wide.min()
    wanted = (wide - low) / (wide.max() - low)
    np.testing.assert_allclose(rows, wanted[np.lexsort(wanted.T)], atol=1e-6)


def test_a_test_set_of_another_kind_is_refused():
    np.save("test.npy", (X * 255).astype(np.uint8))
    with pytest.raises(InputError, match="test: expected uint16, as in train, found uint8"):
        brought((X * 65535).astype(np.uint16), test="test.npy")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_only_array_of_an_archive_is_read(save):
    save("x.npz", x=X)
    np.testing.assert_array_equal(every_row(set_up("x.npz")), every_row(brought(X)))
    Path("folder").mkdir()
    save("folder/x.npz", anything=X)
    np.testing.assert_array_equal(every_row(set_up("folder")), every_row(brought(X)))


def test_several_arrays_of_an_archive_are_named():
    np.savez("x.npz", x=X, y=np.zeros(60))
    with pytest.raises(InputError, match=r"x\.npz: expected one array, found 2 \('x', 'y'\)") as e:
        set_up("x.npz")
    follow(e.value)
    np.testing.assert_array_equal(every_row(set_up("x.npy")), every_row(brought(X, "y.npy")))


def test_whole_numbers_in_an_archive():
    np.savez("x.npz", x=(X * 1000).astype(np.int64))
    with pytest.raises(InputError, match="int64") as caught:
        set_up("x.npz")
    follow(caught.value)
    assert every_row(set_up("x_scaled.npy")).max() == 1


class Trap:
    def __reduce__(self):
        return Path.touch, (Path("sprung"),)


@pytest.mark.parametrize("save", [np.save, lambda name, x: np.savez(name, x=x)])
def test_objects_are_never_unpickled(save):
    save("x", np.array([[Trap(), 2], [3, 4]], dtype=object))
    (path,) = Path().glob("x.np?")
    with pytest.raises(InputError, match=r"Python objects.*never read") as caught:
        set_up(path.name)
    assert not Path("sprung").exists()
    # The remedy: what holds rows of one length is readable, once saved like this.
    x = np.empty(60, dtype=object)
    x[:] = list(X)
    assert "numpy.array(list(x), dtype='float32')" in caught.value.remedy
    assert brought(np.array(list(x), dtype="float32")).n_features == 6


def test_what_is_no_array_is_said_to_be_none():
    Path("x.npy").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"no NumPy array; save your samples x with"):
        set_up("x.npy")
