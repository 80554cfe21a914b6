"""Tables by config alone: read, prepared on training rows, trained on, or refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from helpers import refusal, verb

from sae.cli.command import main
from sae.data import TableDataModule, tables
from sae.data.prepare import read_preparation
from sae.data.tables import PreparedRows
from sae.errors import InputError
from sae.nets.columns import is_missing

R = np.random.default_rng(0)
X = R.random((300, 3))
Y = R.integers(0, 3, 300)


def rows_of(cell, n=200, columns=3):
    return "".join(",".join(cell(i, j) for j in range(columns)) + "\n" for i in range(n))


def gap(i, j):
    """Column a does not vary; b lacks every seventh value, c one."""
    if j == 0:
        return "5"
    return "" if j == 1 and i % 7 == 3 else "NA" if j == 2 and i == 9 else f"{X[i, j]:.6f}"


LABELLED = "id,label,x1,x2,x3\n" + "".join(
    f"{i},{'abc'[Y[i]]},{X[i, 0]:.6f},{X[i, 1]:.6f},{X[i, 2]:.6f}\n" for i in range(200)
)
GAPS = "a,b,c\n" + rows_of(gap)
CATEGORIES = "colour,size,weight\n" + "".join(
    f"{('red', 'green', 'blue')[Y[i]]},{'SML'[i * 7 % 3]},{X[i, 0]:.4f}\n" for i in range(300)
)


def table(text: str | bytes = "", name: str = "x.csv", **options) -> TableDataModule:
    if text:
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    data = TableDataModule(name, **options)
    data.setup()
    return data


def said(data) -> list[str]:
    return data.remarks(data.train_dataloader().survey())


def all_of(data) -> torch.Tensor:
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    return torch.cat([part for loader in loaders for part in loader.whole()])


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + LABELLED.encode(),
        LABELLED.replace("\n", "\r\n").encode(),
        LABELLED.replace(",", ";").replace(".", ",").encode(),
    ],
)
def test_bom_line_ends_semicolons_and_decimal_commas_give_the_same_rows(content):
    data = table(content, label="label", id="id")
    assert data.class_names == ["a", "b", "c"]
    assert (len(data.train), len(data.val), len(data.test)) == (160, 20, 20)
    found = all_of(data).numpy()
    order = np.lexsort(found.T)
    expected = np.round(X[:200], 6).astype("f4")
    assert np.array_equal(found[order], expected[np.lexsort(expected.T)])
    # The labels stay with their rows.
    for x, y in zip(data.train.x.numpy(), data.train.y.tolist(), strict=True):
        assert Y[np.abs(expected - x).sum(axis=1).argmin()] == y


def test_missing_values_are_counted_by_column_with_the_first_row():
    with pytest.raises(InputError) as caught:
        table(GAPS)
    found = str(caught.value)
    assert "29 in column b, first in row 3 (line 5)" in found
    assert "1 in column c, first in row 9 (line 11)" in found
    assert "column a" not in found
    assert "--data.missing mask" in found


def test_missing_values_are_masked_or_filled_on_request():
    masked = table(GAPS, missing="mask")
    x = all_of(masked)
    assert is_missing(x).sum(dim=0).tolist() == [29, 1]
    assert masked.preparation.outputs.numbers == 2
    assert (
        "data: x.csv: 30 missing: 29 in column b, first in row 3 (line 5); 1 in column c, first in "
        "row 9 (line 11): left out of the loss"
    ) in said(masked)
    assert "data: a is left out: it is constant in the training samples" in said(masked)
    mean = table(GAPS, missing="mean")
    x = all_of(mean)
    assert not is_missing(x).any()
    assert mean.preparation.outputs is None
    filled = (x[:, 0] == mean.preparation.fill[1]).sum()  # in [0, 1] they are left as they are
    assert filled == 29


def test_categories_are_an_input_for_each_value():
    data = table(CATEGORIES)
    assert sorted(data.preparation.feature_names) == sorted(
        ["weight", "colour=blue", "colour=green", "colour=red", "size=L", "size=M", "size=S"]
    )
    assert data.train.x.shape == (240, 7)
    assert data.preparation.outputs.groups == (3, 3)
    assert torch.equal(data.train.x[:, 1:4].sum(dim=1), torch.ones(240))
    assert "2 of categories (3 + 3 values); 7 inputs in all" in said(data)[0]
    raw = data.preparation.inverse(data.train.x)
    assert set(data.preparation.from_raw(raw)[:, 0]) == {"red", "green", "blue"}


def test_numbers_are_taken_as_categories_on_request():
    text = "month,x\n" + "".join(f"{1 + i % 12},{X[i, 0]}\n" for i in range(120))
    data = table(text, preparation={"month": "categories", "x": "standard"})
    assert data.preparation.outputs.groups == (12,)
    assert data.preparation.table[1].scaling == "standard"


def test_the_preparation_knows_training_rows_alone():
    text = "x,kind\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(100))
    Path("test.csv").write_text("x,kind\n1000000,new\n3,a\n")
    data = table(text, test="test.csv", preparation="minmax")
    train = data.train.x[:, 0]
    assert (train.min().item(), train.max().item()) == (0, 1)
    assert data.test.x[0, 0] > 1000
    assert data.preparation.table[1].values == ["a", "b"]
    assert is_missing(data.test.x[:, 1:]).tolist() == [[True, True], [False, False]]
    assert any(
        "warning: data: 1 test sample has a value in column kind that no" in line
        for line in said(data)
    )


def test_columns_by_choice():
    both = [table(LABELLED, label="label", id="id", **options) for options in (
        {"columns": ["x3", "x1"]}, {"ignore": ["x2"]},
    )]  # fmt: skip
    assert [data.preparation.columns for data in both] == [("x1", "x3")] * 2
    assert torch.equal(both[0].train.x, both[1].train.x)
    # A new file may hold what was passed over.
    names = ["id", "label", "x1", "x2", "x3"]
    assert both[0].preparation.to_raw([[1, 2, 3, 4, 5]], names).tolist() == [[3, 5]]


def test_classes_by_whole_numbers_of_any_kind():
    text = "x,y\n" + "".join(f"{X[i, 0]},{(3, 5, 9)[Y[i]]}\n" for i in range(60))
    data = table(text, label="y")
    assert data.class_names == ["3", "5", "9"]
    assert set(data.train.y.tolist()) == {0, 1, 2}
    assert table(text.replace(",3\n", ",0\n").replace(",5\n", ",1\n").replace(",9\n", ",2\n"),
                 label="y").class_names == []  # fmt: skip


def test_arrays_and_parquet_give_what_the_csv_gives():
    frame = {f"c{j}": X[:, j].astype("f4") * 9 for j in range(3)}
    pq.write_table(pa.table(frame), "x.parquet", row_group_size=50)
    np.save("x.npy", np.stack(list(frame.values()), axis=1))
    np.savez("x.npz", other=Y, x=np.load("x.npy"))
    text = "c0,c1,c2\n" + "".join(
        ",".join(map(repr, row.tolist())) + "\n" for row in np.load("x.npy")
    )
    found = [
        table(text), table(name="x.parquet"), table(name="x.npy"), table(name="x.npz", key="x"),
    ]  # fmt: skip
    for data in found[1:]:
        assert torch.equal(data.train.x, found[0].train.x)
    assert found[2].preparation.columns is None
    assert found[1].preparation.columns == ("c0", "c1", "c2")


def test_whole_numbers_of_any_type_are_scaled():
    np.save("x.npy", (X * 1000).astype("i8"))
    data = table(name="x.npy")
    assert [each.scaling for each in data.preparation.table] == ["standard"] * 3
    assert data.train.x.mean(dim=0).abs().max() < 1e-5


def test_natural_units_are_standardised_and_what_is_constant_left_out():
    units = [R.normal(8, 1.7, 600), R.normal(0.5, 0.2, 600), R.normal(0.997, 0.002, 600)]
    np.save("x.npy", np.stack([*units, np.full(600, 3.0)], axis=1).astype("f4"))
    data = table(name="x.npy")
    assert data.train.x.std(dim=0, correction=0).tolist() == pytest.approx([1] * 3, abs=1e-4)
    assert said(data) == [
        "data: columns of numbers: 3 standardised; 3 inputs in all",
        "data: 3 is left out: it is constant in the training samples",
    ]


def test_larger_tables_lie_in_a_file_aside(monkeypatch):
    small = table(CATEGORIES)
    monkeypatch.setattr(tables, "IN_MEMORY", 1000)
    large = table(CATEGORIES)
    folder = Path(large._aside.name)
    assert isinstance(large.train.x, PreparedRows)
    assert [path.suffix for path in folder.iterdir()] == [".npy"]
    # Rows of files keep their order, those in memory are drawn.
    assert torch.equal(large.val.x[slice(0, 30)], small.val.x)
    assert torch.equal(
        large.train.x[slice(0, 240)].sort(dim=0).values, small.train.x.sort(dim=0).values
    )
    assert large.preparation.settings == small.preparation.settings
    large._aside.cleanup()


def test_a_validation_set_suits_a_small_table():
    data = table("x,y\n" + "".join(f"{i},{i * i}\n" for i in range(12)))
    assert (len(data.train), len(data.val), len(data.test)) == (10, 1, 1)
    assert (len(table(name="x.csv", val_size=3).val)) == 3


PLAIN = "a,b\n1,2\n3,5\n5,7\n2,9\n"
REFUSED = {
    "an empty file": ("", {}, "expected a line of column names, and rows below, found an empty"),
    "a header only": ("a,b\n", {}, "x.csv: expected rows below the column names"),
    "duplicate names": ("a,a\n1,2\n", {}, "found 'a' twice"),
    "no names": ("1,2\n3,4\n", {}, "column names in line 1"),
    "a row too short": ("a,b,c\n1,2,3\n4,5\n6,7,8\n", {}, r"found 2 in row 1 \(line 3\)"),
    "text in numbers": (
        "a,b\n1,2\n3,four\n5,6\n", {}, r"found 'four' in column b, row 1 \(line 3\)",
    ),
    "other letters": ("a,b\nx,1\né,2\n".encode("latin-1"), {}, "byte 0xe9 in line 3"),
    "an infinite value": ("a,b\n1,2\n2,inf\n3,4\n", {}, r"found inf in column b, row 1 \(line 3\)"),
    "a value beyond single precision": ("a,b\n1,2\n2,1e300\n", {}, "inf in column b"),
    "more digits than there are": (
        "t,near\n" + "".join(f"{1.7e9 + i},{1000 + i}\n" for i in range(60)), {},
        "single precision can distinguish, found 1700000000 to 1700000059 in column t; subtract",
    ),
    "missing values": ("a,b\n1,2\n2,\n3,4\n", {}, "1 missing: 1 in column b, first in row 1"),
    "an empty column": ("a,b\n1,\n2,\n3,\n", {"missing": "mask"}, "found none in column b; leave"),
    "dates": ("a,b\n1,2024-01-01\n2,2024-01-02\n", {}, "found date or time in column b; leave"),
    "texts of their own": (
        "a,b\n" + "".join(f"{i},text {i}\n" for i in range(20)), {}, "found 20 in column b, among",
    ),
    "nothing that varies": ("a,b\n" + "1,2\n" * 9, {}, "expected columns that vary"),
    "too few rows": ("a,b\n1,2\n3,4\n", {}, "expected rows to train on beside 1"),
    "no such label": (PLAIN, {"label": "c"}, "data.label: expected a column of .*x.csv, found 'c'"),
    "a table without classes": (
        PLAIN, {"label": "class"}, "are a, b; if the table has no classes, add --data.label null",
    ),
    "a near name": ("alpha,b\n1,2\n", {"label": "alhpa"}, "perhaps you meant alpha"),
    "a label that is none": ("a,b\n1,2\n2,2.5\n", {"label": "b"}, r"found 2.5 in row 1 \(line 3\)"),
    "a label that lacks": ("a,b\n1,x\n2,\n", {"label": "b"}, r"none in row 1 \(line 3\)"),
    "more classes than samples": (PLAIN, {"label": "b"}, "found 4 classes in column b, among 4"),
    "no inputs": ("a,b\n1,2\n", {"ignore": ["a", "b"]}, "at least one input column, found none"),
    "both": (PLAIN, {"ignore": ["a"], "columns": ["b"]}, "columns or ignore, found both"),
    "no such scaling": (PLAIN, {"preparation": "max"}, "one of auto, minmax, standard, robust"),
    "scaling of no column": (PLAIN, {"preparation": {"c": "none"}}, "preparation: .*found 'c'"),
    "no such treatment": (PLAIN, {"missing": "drop"}, "one of error, mask, mean"),
    "no file": (None, {}, "x.csv: expected a file or folder, found none"),
    "an option of others": (PLAIN, {"key": "x"}, "key: expected no such option for .csv"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "options", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_named(text, options, message):
    if text is not None:
        Path("x.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        TableDataModule("x.csv", **options).setup()
    found = str(caught.value.under("data"))
    assert re.search(message, found), found
    assert not re.search(r"\bNone\b|nan\b|Traceback", found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n1\n2\n", "expected a column 'b', as in train, found none; its columns are a"),
        ("a,b,c\n1,2,3\n", "expected only the columns of train, found also 'c'"),
        (
            "a,c,d,e,f,g,h,i,j\n" + "1," * 8 + "1\n",
            "found none; its columns are a, c, d, e, f, g, h, i, …",
        ),
        (
            "a,b\n1,2\n1,\n1,x\n2,y\n",
            "test.csv: expected numbers, as in train, found 'x' in column b, row 2 (line 4) "
            "(and 1 more); correct it or leave it empty.",
        ),
    ],
)
def test_a_test_file_with_other_columns_is_refused(text, message):
    Path("test.csv").write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        table(PLAIN, test="test.csv")


def test_numbers_that_are_stored_as_texts_in_the_test_file_are_refused():
    pq.write_table(pa.table({"a": [1.0, 2.0], "b": ["3", "4"]}), "test.parquet")
    with pytest.raises(InputError, match=r"numbers in column b, as in train, found texts; store"):
        table(PLAIN, test="test.parquet")
    pq.write_table(pa.table({"a": [1.0, 2.0], "b": ["3", "x"]}), "test.parquet")
    with pytest.raises(InputError, match=r"found 'x' in column b, row 1; correct it"):
        table(PLAIN, test="test.parquet")


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("missing", ["error", "mask"])
def test_a_value_far_out_that_no_training_row_has_is_named(part, missing):
    """Trained on without it, the network has nearly all of its error in this row."""
    text = "size,plan,orders\n" + "".join(f"{i},{'ab'[i % 2]},{i % 11}\n" for i in range(300))
    options = {"missing": missing, "split_seed": 3}
    data = table(text, **options)
    assert not [line for line in said(data) if "warning" in line]
    samples = data.val if part == "validation" else data.test
    row = round(data.preparation.inverse(samples.x[:1])[0, 0].item())
    lines = text.splitlines()
    lines[row + 1] = f"{row},a,9999"
    data = table("\n".join(lines), **options)
    found = [line for line in said(data) if line.startswith("warning")]
    orders = np.delete(np.arange(300) % 11, row)
    (line,) = found
    start = (
        f"warning: data: x.csv: the farthest {part} value is orders 9999, row {row} "
        f"(line {row + 2}), "
    )
    assert line.startswith(start)
    out = float(line[len(start) :].split(" standard")[0].replace(",", ""))
    assert out == pytest.approx((9999 - orders.mean()) / orders.std(), rel=0.05)
    assert line.endswith(
        f"it will dominate the {part} error; correct or remove it, or add --data.preparation "
        "squashed"
    )
    squashed = table("\n".join(lines), preparation="squashed", **options)
    (line,) = [line for line in said(squashed) if line.startswith("warning")]
    assert float(re.search(r"([\d,]+) standard", line)[1].replace(",", "")) < out / 50
    assert line.endswith("error; correct or remove it"), "of 30 rows it still has most of the error"
    squashed = table("\n".join(lines), preparation={"size": "standard"}, **options)
    (line,) = [line for line in said(squashed) if line.startswith("warning")]
    assert line.endswith("or write orders: squashed in preparation")


def test_a_test_file_takes_its_columns_of_texts_from_train():
    kinds = ("a", "b", "c", "01", "2")
    train = "size,kind\n" + "".join(f"{X[i, 0]:.4f},{kinds[i % 5]}\n" for i in range(200))
    Path("test.csv").write_text("size,kind\n0.1,01\n0.2,2\n0.3,2\n")  # all look like numbers
    data = table(train, test="test.csv")
    assert data.preparation.feature_names == ["size", *(f"kind={each}" for each in sorted(kinds))]
    assert data.test.x[:, 1:].argmax(dim=1).tolist() == [0, 1, 1]
    assert data.test.x[:, 1:].sum(dim=1).tolist() == [1, 1, 1]
    Path("test.csv").write_text("size,kind\n0.1,01\n0.2,2\n0.3,a\n")  # most look like numbers
    data = table(train, test="test.csv")
    assert data.test.x[:, 1:].argmax(dim=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_python_objects_are_never_read(name):
    x = np.array([[1, 2], [3]], dtype=object)
    np.save("x.npy", x, allow_pickle=True)
    np.savez("x.npz", x=x, allow_pickle=True)
    with pytest.raises(InputError, match=r"Python objects|pickle"):
        table(name=name)


def test_images_in_an_array_are_told_where_they_are_read():
    np.save("x.npy", np.zeros((5, 4, 4, 3), "u1"))
    with pytest.raises(InputError, match="samples of 4x4x3; read arrays of images with Array"):
        table(name="x.npy")


def test_a_value_far_out_is_named_with_its_row_and_does_not_bring_a_second_warning():
    cells = rows_of(lambda i, j: "-1e5" if (i, j) == (7, 0) else f"{X[i, j] * 9:.4f}", columns=2)
    lines = said(table("size,ratio\n" + cells))
    (line,) = [each for each in lines if "data: outliers" in each]
    assert "-100000 in column size, row 7 (line 9) (median 4." in line
    assert not [each for each in lines if each.startswith("warning")]


def test_a_scaling_that_does_not_help_is_named_by_columns_with_another():
    far = "size,ratio\n" + rows_of(lambda i, j: f"{X[i, j] * (1 if j else 5000):.4f}", columns=2)
    (line,) = [each for each in said(table(far, preparation="none")) if "warning" in each]
    assert "in column ratio" in line
    assert "in column size" in line
    assert line.endswith("choose preparation auto or squashed, or add the column to ignore")


def test_a_file_replaced_while_it_is_trained_on_ends_the_run():
    data = table(CATEGORIES)
    data.check_unchanged()
    Path("x.csv").write_text(CATEGORIES + "red,S,1\n")
    with pytest.raises(InputError, match="expected the same file as"):
        data.check_unchanged()


# The whole path

FIT = ["fit", "--data", "TableDataModule", "--data.train", "x.csv", "--pretrain.epochs", "1"]
FIT += ["--finetune.epochs", "3", "--finetune.lr", "0.01"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A run on numbers and categories with gaps; and what it printed."""
    import contextlib
    import io
    import os

    where, before = tmp_path_factory.mktemp("mixed"), os.getcwd()
    draw, cells = np.random.default_rng(1), []
    hidden = draw.normal(size=200)
    for h in hidden:
        row = [f"{50 + 9 * h:.3f}", f"{h / 100:.6f}", "low" if h < 0 else "high"]
        cells.append(",".join("" if draw.random() < 0.1 else cell for cell in row))
    os.chdir(where)
    try:
        Path("x.csv").write_text("size,ratio,kind\n" + "\n".join(cells) + "\n")
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            main([*FIT, "--data.missing", "mask", "--model.sizes", "[4, 6, 2]"])
    finally:
        os.chdir(before)
    return where / "lightning_logs" / "sae" / "version_0", out.getvalue()


def test_a_table_is_trained_on_by_its_name_alone(mixed):
    folder, out = mixed
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["model"]["output"] == "linear"
    assert config["data"]["init_args"]["train"] == str(folder.parents[2] / "x.csv")
    assert "SSE and nats per sample" in out
    assert "left out of the loss" in out
    found = json.loads((folder / "summary.json").read_text())
    assert found["test"]["sse"] > 0
    assert found["data_description"] == "x (180 + 20 rows of 3 columns)"


def test_what_is_no_image_is_not_called_one(mixed):
    folder, out = mixed
    words = out + (folder / "summary.json").read_text() + (folder / "manifest.json").read_text()
    for word in ("image", "pixel"):
        assert not re.search(rf"\b{word}s?\b", words), word
    assert "PCA-2, test SSE per sample" in out
    assert "test MSE per value" in out


def test_the_preparation_is_kept_with_the_run(mixed):
    found = read_preparation(mixed[0] / "preparation.safetensors")
    assert found.columns == ("size", "ratio", "kind")
    assert found.outputs.groups == (2,)
    raw = found.to_raw(np.array([["50", None, "low"]], object))
    assert found.from_raw(found.inverse(found(raw)))[0, 2] == "low"


def test_a_checkpoint_gives_the_figures_again(mixed, capsys, monkeypatch):
    folder, out = mixed
    monkeypatch.chdir(folder.parents[2])
    verb("test", folder)
    again = capsys.readouterr().out
    (line,) = [
        line for line in out.splitlines() if "test SSE per sample" in line and "PCA" not in line
    ]
    assert line in again


def test_a_sigmoid_that_is_asked_for_is_not_changed(capsys):
    Path("x.csv").write_text("a,b\n" + "".join(f"{i},{i % 7}\n" for i in range(60)))
    line = refusal(capsys, *FIT, "--model.sizes", "[2, 2]", "--model.output", "sigmoid")
    assert "values in [0, 1] for a sigmoid output" in line
    line = refusal(capsys, *FIT, "--model.sizes", "[2, 2]", "--model.loss", "bce")
    assert line.startswith("model.loss: expected mse for numbers outside [0, 1], found 'bce'")
    assert not Path("lightning_logs").exists()


def test_bad_input_leaves_nothing_behind(capsys):
    Path("x.csv").write_text("a,b\n1,2\n3,four\n5,6\n")
    line = refusal(capsys, *FIT, "--model.sizes", "[2, 2]")
    assert "'four' in column b" in line
    assert not Path("lightning_logs").exists()


def test_a_column_that_names_the_rows_may_be_the_id():
    text = "who,x\n" + "".join(f"K{i},{X[i, 0]:.4f}\n" for i in range(200))
    with pytest.raises(
        InputError, match=r"200 in column who.* different; .* --data\.id who; otherwise"
    ):
        table(text)
    assert table(text, id="who").image_shape == (1, 1)


@pytest.mark.parametrize("form", ["{:02d}.{:02d}.{}", "{2}-{1:02d}-{0:02d}"])
def test_dates_are_called_dates(form):
    days = [form.format(i % 28 + 1, i % 12 + 1, 1900 + i) for i in range(200)]
    text = "when,x\n" + "".join(f"{day},{X[i, 0]:.4f}\n" for i, day in enumerate(days))
    dates = r'(dates|date or time) in column when.*leave it out.*--data\.ignore "\[when\]"'
    with pytest.raises(InputError, match=dates):
        table(text)
    assert table(text, ignore=["when"]).image_shape == (1, 1)
