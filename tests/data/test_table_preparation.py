import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sae.data import table_preparation
from sae.data.prepare import read_preparation, write_preparation
from sae.data.table_preparation import CATEGORY, CONSTANT, Column, TablePreparation
from sae.errors import InputError
from sae.nets.columns import is_missing

NAN = float("nan")


def numbers(scaling, n=1):
    return [Column(f"x{k}", scaling=scaling) for k in range(n)]


def fitted(rows, columns, **options):
    return TablePreparation.fit(torch.tensor(rows), columns, **options)[0]


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ("minmax", [0, 0.25, 0.5, 0.75, 1]),
        ("standard", [-(2**0.5), -(0.5**0.5), 0, 0.5**0.5, 2**0.5]),
        # The quartiles are 1 and 3: two apart, where those of N(0, 1) are 1.349 apart.
        ("robust", [-1.348980, -0.674490, 0, 0.674490, 1.348980]),
        ("none", [0, 1, 2, 3, 4]),
    ],
)
def test_each_scaling_by_hand(scaling, expected):
    rows = [[0.0], [1.0], [2.0], [3.0], [4.0]]
    found = fitted(rows, numbers(scaling))
    assert found(torch.tensor(rows)).flatten().tolist() == pytest.approx(expected, abs=1e-6)
    assert found.table[0].scaling == scaling


def test_auto_looks_at_each_column():
    draw = np.random.default_rng(0)
    plain, unit = draw.normal(50, 9, 1000), draw.random(1000)
    tails = draw.normal(0, 1, 1000)
    tails[:5] *= 1000
    rows = np.stack([plain, unit, tails], axis=1).astype("f4")
    found = fitted(rows, numbers("auto", 3))
    assert [each.scaling for each in found.table] == ["standard", "standard", "squashed"]
    assert not found.bounded
    found = fitted(rows[:, 1:2], numbers("auto"))
    assert found.table[0].scaling == "none"
    assert found.bounded
    # It fills little of [0, 1]: as it is it would count for nothing.
    assert fitted(rows[:, 1:2] / 100, numbers("auto")).table[0].scaling == "standard"


@pytest.mark.parametrize("n_far", [1, 5, 25])
def test_values_far_out_leave_the_others_their_scale_and_come_back(n_far):
    draw = np.random.default_rng(0)
    rows = draw.normal(50, 9, (500, 1)).astype("f4")
    rows[:n_far] = 100_000
    found = fitted(rows, numbers("auto"))
    x = found(torch.from_numpy(rows))
    assert x[n_far:].std().item() == pytest.approx(1, abs=0.1)
    assert (x[:n_far] < 20).all()  # by the quartiles alone it is 11,000
    assert torch.allclose(found.inverse(x), torch.from_numpy(rows), rtol=1e-5)


def test_what_does_not_vary_is_left_out_and_comes_back():
    rows = [[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]]
    found = fitted(rows, numbers("standard", 2))
    assert found.table[1].kind == CONSTANT
    assert found.feature_names == ["x0"]
    assert found(torch.tensor(rows)).shape == (3, 1)
    assert found.inverse(found(torch.tensor(rows))).tolist() == [pytest.approx(row) for row in rows]
    assert found.outputs is None


COLOURS = Column("colour", CATEGORY, values=["blue", "green", "red"])
MIXED = [COLOURS, Column("weight", scaling="standard")]
# Nobody is green among these.
ROWS = [[0.0, 1.0], [2.0, 3.0], [2.0, 2.0]]


@pytest.fixture
def mixed():
    return TablePreparation.fit(torch.tensor(ROWS), MIXED)


def test_a_category_has_a_feature_for_each_value_that_is_trained_on(mixed):
    found, renumbered = mixed
    assert found.feature_names == ["weight", "colour=blue", "colour=red"]
    assert renumbered[0].tolist() == [0, -1, 1]
    assert found.outputs.groups == (2,)
    x = found(torch.tensor([[0.0, 2.0], [1.0, 2.0]]))
    assert x.tolist() == [[0, 1, 0], [0, 0, 1]]


def test_an_unknown_value_is_missing_and_counted(mixed):
    found, _ = mixed
    raw = found.to_raw(np.array([["green", 2], ["red", 2.0]], object))
    assert raw.tolist() == [[-1, 2], [1, 2]]
    assert found.unknown(raw) == {"colour": 1}
    assert is_missing(found(raw)).tolist() == [[False, True, True], [False, False, False]]


def test_the_most_likely_value_comes_back_by_name(mixed):
    found, _ = mixed
    raw = found.inverse(torch.tensor([[0.0, 0.6, 0.4], [0.0, 0.1, 0.9]]))
    assert raw.tolist() == [[0, 2], [1, 2]]
    assert found.from_raw(raw).tolist() == [["blue", 2], ["red", 2]]


def test_categories_of_numbers():
    columns = [Column("month", CATEGORY, values=[1.0, 4.0, 12.0])]
    found, _ = TablePreparation.fit(torch.tensor([[0.0], [1.0], [2.0]]), columns)
    assert found.to_raw([[12], [4], [5], [1]]).flatten().tolist() == [2, 1, -1, 0]
    assert found.from_raw(torch.tensor([[2.0], [0.0]])).tolist() == [[12.0], [1.0]]


def test_missing_values_are_marked_or_become_the_mean():
    rows = [[0.0, 1.0], [1.0, NAN], [1.0, 4.0], [NAN, 1.0]]
    columns = [Column("c", CATEGORY, values=["a", "b"]), Column("x", scaling="standard")]
    masked = fitted(rows, columns, missing="mask")
    x = masked(torch.tensor(rows))
    assert is_missing(x).tolist()[1] == [True, False, False]
    assert is_missing(x).tolist()[3] == [False, True, True]
    mean = fitted(rows, columns, missing="mean")
    x = mean(torch.tensor(rows))
    assert x[1, 0].item() == pytest.approx(0, abs=1e-6)
    assert x[3, 1:].tolist() == [0, 1]  # the most frequent one, b
    assert not is_missing(x).any()


def test_only_numbers_none_missing_is_no_matter_of_columns():
    assert fitted([[1.0], [2.0]], numbers("standard")).outputs is None
    assert fitted([[1.0], [2.0]], numbers("standard"), missing="mask").outputs.numbers == 1


@settings(max_examples=40, deadline=None)
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(2, 30), st.integers(1, 4)),
        elements=st.floats(-1000, 1000, width=32),
    ),
    st.sampled_from(["auto", "minmax", "standard", "robust", "squashed", "none"]),
)
def test_the_inverse_gives_back_what_went_in(rows, scaling):
    found = fitted(rows, numbers(scaling, rows.shape[1]))
    back = found.inverse(found(torch.from_numpy(rows))).numpy()
    spread = np.abs(rows).max(axis=0)
    assert (np.abs(back - rows) <= 1e-4 * spread + 1e-6).all()


@pytest.mark.parametrize("scaling", ["auto", "minmax", "standard", "robust", "squashed", "none"])
@pytest.mark.parametrize("column", [[1e-45, 0], [0, 0, 1e-40, 1e-40, 0, 1000]])
def test_a_scale_is_never_too_small_to_divide_by(column, scaling):
    rows = np.array(column, "f4")[:, None]
    found = fitted(rows, numbers(scaling))
    x = found(torch.from_numpy(rows))
    assert x.isfinite().all()
    assert torch.allclose(found.inverse(x), torch.from_numpy(rows), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 50))
def test_fitted_in_chunks_as_on_the_whole(seed, step):
    draw = np.random.default_rng(seed)
    rows = np.c_[draw.normal(3, 2, 60), draw.random(60), draw.integers(0, 3, 60)].astype("f4")
    rows[draw.random(rows.shape) < 0.1] = np.nan
    columns = [*numbers("auto", 2), Column("c", CATEGORY, values=["a", "b", "c"])]
    whole = fitted(rows, columns, missing="mask")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(table_preparation, "chunk_rows", lambda features: step)
        parts = fitted(rows, columns, missing="mask")
    assert parts.settings == whole.settings
    for name, value in whole.state_dict().items():
        assert torch.allclose(parts.state_dict()[name], value, rtol=1e-5, atol=1e-6)


def test_a_file_gives_it_back(tmp_path, mixed):
    found, _ = mixed
    write_preparation(tmp_path / "p", found)
    again = read_preparation(tmp_path / "p")
    assert again.settings == found.settings
    assert list(again.parameters()) == []
    raw = torch.tensor([[0.0, 2.5], [1.0, 9.0]])
    assert torch.equal(again(raw), found(raw))
    assert again.columns == ("colour", "weight")


def test_an_empty_column_may_stand_for_one_that_is_not_there():
    found = TablePreparation([Column("a"), Column("b"), Column("c")], missing="mask")
    assert found.order_of(["c", "key", "b", "a"], id="key") == [3, 2, 0]
    says = r"'b'; add an empty column of that name if its values are missing; its columns are key, "
    with pytest.raises(InputError, match=says):
        found.order_of(["key", "a", "c"], id="key")
    with pytest.raises(InputError, match="an empty column of each name if"):
        found.order_of(["a"])
    with pytest.raises(InputError, match=r"found also 'key'"):
        found.order_of(["c", "key", "b", "a"])


def test_absent_are_gaps_and_categories_that_are_none():
    columns = [Column("c", "category", values=["x", "y"]), Column("k", "constant"), Column("n")]
    raw = torch.tensor([[0, torch.nan, -3], [-1, 1, 2], [torch.nan, 1, torch.nan]])
    found = TablePreparation(columns, missing="mask").absent(raw)
    assert found.tolist() == [[False, False], [False, True], [True, True]]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["colour", "size"], r"training data, found none called 'weight'; its columns are colour"),
        (["weight", "colour", "height"], r"found also 'height'; remove the others"),
    ],
)
def test_other_columns_are_refused(mixed, names, message):
    with pytest.raises(InputError, match=message):
        mixed[0].to_raw(np.zeros((2, len(names)), object), names)


def test_columns_are_found_by_name_in_any_order_and_labels_passed_over():
    found = TablePreparation([COLOURS, Column("weight")], passed_over=["label"])
    raw = found.to_raw(np.array([[7, "yes", "red"]], object), ["weight", "label", "colour"])
    assert raw.tolist() == [[2, 7]]


def test_a_data_frame_names_its_columns():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"weight": [7.0, 8.0], "colour": ["red", "blue"]})
    assert TablePreparation(MIXED).to_raw(frame).tolist() == [[2, 7], [0, 8]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([["red", NAN]], "1 missing in column weight, first in row 0"),
        ([["red", 1], ["red", "heavy"]], "'heavy' in column weight, row 1"),
        ([["red", float("inf")]], "inf in column weight, row 0"),
        ([["red", 1, 2]], "expected 2 columns, found 3"),
        ([[None, 1]], "1 missing in column colour, first in row 0"),
    ],
)
def test_values_that_do_not_fit_are_refused(mixed, values, message):
    with pytest.raises(InputError, match=message):
        mixed[0].to_raw(np.array(values, object))


def test_texts_that_came_as_whole_numbers_are_known():
    found = TablePreparation([Column("deck", "category", "none", ["1", "2a"])], missing="mask")
    raw = found.to_raw(np.array([["1"], [1], [1.0], [np.float64(1)], ["2a"]], object))
    assert raw.flatten().tolist() == [0, 0, 0, 0, 1]


def test_what_pandas_calls_missing_is_missing():
    pandas = pytest.importorskip("pandas")
    weight = pandas.array([7, None], dtype="Int64")
    colour = pandas.array([None, "blue"], dtype="string")
    frame = pandas.DataFrame({"colour": colour, "weight": weight})
    raw = TablePreparation(MIXED, missing="mask").to_raw(frame)
    np.testing.assert_array_equal(raw, [[NAN, 7], [0, NAN]])
