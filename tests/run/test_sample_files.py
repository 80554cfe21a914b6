"""A run at work on files, batch by batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sae.data.prepare import Pixels, Preparation
from sae.data.sinks.sink import Layout
from sae.data.source import Source
from sae.data.table_preparation import Column, TablePreparation
from sae.errors import InputError
from sae.run import sample_files as files
from sae.run.model import TrainedRun, load_run
from sae.run.sample_files import SampleFile, as_ids, layout_of, write_result
from sae.training.stacked import StackedAutoencoder


class Rows(Source):
    """Rows in memory, two at a time."""

    path = Path("rows")

    def __init__(self, rows: list, columns: list[str] | None, ids: list | None = None) -> None:
        self.rows = np.array(rows, object if columns else np.float32)
        self.columns, self.ids, self.n = columns, ids, len(rows)
        self.sample_shape, self.dtype = self.rows.shape[1:], "table" if columns else "float32"

    def chunks(self, rows):
        assert rows > 2
        yield from (self.rows[first : first + 2] for first in range(0, self.n, 2))


def opened(monkeypatch, source: Source, run: TrainedRun, of_codes: bool = False) -> SampleFile:
    monkeypatch.setattr(files, "open_source", lambda path, key: source)
    return SampleFile(Path("rows"), run, of_codes)


def made(preparation: Preparation, features: int = 2, id_name: str = "id") -> TrainedRun:
    model = StackedAutoencoder([features, 3])
    aim, shape = model.objective, (1, features)
    return TrainedRun(Path(), model.stack, preparation, aim, shape, id_name=id_name)


def plain(features: int = 2) -> TrainedRun:
    """A run of an array of floats."""
    return made(Pixels(1), features)


def of_table(*names: str, id_name: str = "id") -> TrainedRun:
    """A run of a table of numbers, which had a label, too."""
    preparation = TablePreparation([Column(name) for name in names], passed_over=["label"])
    return made(preparation, len(names), id_name)


def everything(samples: SampleFile) -> tuple[list, list]:
    ids, rows = zip(*samples.chunks(), strict=True)
    return np.concatenate(ids).tolist(), np.concatenate(rows).tolist()


def test_rows_without_names_are_numbered(monkeypatch):
    samples = opened(monkeypatch, Rows([[1, 2], [3, 4], [5, 6]], None), plain())
    assert everything(samples) == ([0, 1, 2], [[1, 2], [3, 4], [5, 6]])
    assert samples.id_name == "row"


@pytest.mark.parametrize("name", ["id", "customer"])
def test_columns_are_put_in_order_and_ids_are_kept(name, monkeypatch):
    source = Rows([[7.0, 1, "x", 2], [9.0, 3, "y", 4]], [name, "b", "label", "a"])
    samples = opened(monkeypatch, source, of_table("a", "b", id_name=name))
    assert everything(samples) == ([7, 9], [[2, 1], [4, 3]])
    assert samples.id_name == name


def test_an_id_is_no_sample_of_a_run_without_names(monkeypatch):
    samples = opened(monkeypatch, Rows([["p", 1, 2]], ["id", "b", "a"]), plain())
    assert everything(samples) == (["p"], [[1, 2]])


def test_a_column_that_the_run_was_trained_on_is_no_id(monkeypatch):
    samples = opened(monkeypatch, Rows([[5, 1]], ["id", "b"]), of_table("b", "id"))
    assert everything(samples) == ([0], [[1, 5]])


@pytest.mark.parametrize("name", ["row", "id"])
def test_codes_that_were_written_with_their_ids_are_read_again(name, monkeypatch):
    source = Rows([[5, 1, 2, 3], [6, 4, 5, 6]], [name, "h0", "h1", "h2"])
    samples = opened(monkeypatch, source, plain(), of_codes=True)
    assert everything(samples) == ([5, 6], [[1, 2, 3], [4, 5, 6]])


def test_numbers_beside_texts_are_numbers(monkeypatch):
    source = Rows([["p", 1.5, 2]], ["id", "h0", "h1"])
    ((_, rows),) = opened(monkeypatch, source, plain()).chunks()
    assert rows.dtype == np.float32
    source = Rows([["p", 1.5, 2], ["q", "many", 2]], ["id", "h0", "h1"])
    with pytest.raises(InputError, match=r"rows: expected numbers, found .*'many' in one of the"):
        list(opened(monkeypatch, source, plain()).chunks())


def test_the_sources_own_ids_go_first(monkeypatch):
    source = Rows([[1, 2], [3, 4], [5, 6]], None, ["u", "v", "w"])
    assert everything(opened(monkeypatch, source, plain()))[0] == ["u", "v", "w"]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (["a", "b"], r"rows: expected the columns .*, found none called 'c'"),
        (
            ["a", "b", "c", "d"],
            r"rows: expected only the columns .*, found also 'd'; remove the others",
        ),
    ],
)
def test_columns_that_differ_are_named_with_the_file(columns, says, monkeypatch):
    with pytest.raises(InputError, match=says):
        opened(monkeypatch, Rows([[1] * len(columns)], columns), of_table("a", "b", "c"))


def test_samples_of_another_size_are_refused(monkeypatch):
    with pytest.raises(InputError, match=r"rows: expected samples of 3 values.*found some of 2"):
        opened(monkeypatch, Rows([[1, 2]], None), plain(3))


@pytest.mark.parametrize(
    ("column", "kind", "values"),
    [
        (np.array([1.0, 2.0]), "i", [1, 2]),
        (np.array([1.5, 2.0]), "f", [1.5, 2]),
        (np.array(["a", "b"], object), "U", ["a", "b"]),
        (np.array([3, 4], object), "i", [3, 4]),
    ],
)
def test_ids_are_whole_numbers_where_they_can_be(column, kind, values):
    found = as_ids(column)
    assert (found.dtype.kind, found.tolist()) == (kind, values)


def test_results_are_written_in_order_with_the_number_of_each_chunk(monkeypatch):
    samples = opened(monkeypatch, Rows([[1], [2], [3], [4], [5]], None), plain(1))
    seen = []

    def work(chunk, first):
        seen.append((first, len(chunk)))
        return [10 * chunk]

    write_result(samples, work, Path("x.npy"), Layout(["a"], 5), quiet=True)
    assert seen == [(0, 2), (2, 2), (4, 1)]
    assert np.load("x.npy").ravel().tolist() == [10, 20, 30, 40, 50]


def test_bad_samples_name_their_file_and_leave_nothing(monkeypatch):
    samples = opened(monkeypatch, Rows([[1], [2], [3]], None), plain(1))

    def work(chunk, first):
        if first:
            raise InputError("samples", "finite numbers", f"others in row {first}", "correct them")
        return [chunk]

    with pytest.raises(InputError, match="rows: expected finite numbers, found others in row 2"):
        write_result(samples, work, Path("x.npy"), Layout(["a"], 3), quiet=True)
    assert list(Path().iterdir()) == []


def test_progress_is_shown_on_a_terminal_alone(monkeypatch, capsys):
    samples = opened(monkeypatch, Rows([[1]], None), plain(1))
    write_result(samples, lambda chunk, first: [chunk], Path("x.npy"), Layout(["a"], 1))
    assert capsys.readouterr() == ("", "")
    write_result(samples, lambda chunk, _: [chunk], Path("y.npy"), Layout(["a"], 1), quiet=False)
    assert "0/1" in capsys.readouterr().err


def test_what_the_rows_of_a_result_look_like(finished):
    run = load_run(finished[0])
    np.save("flat.npy", np.zeros((3, 784), np.uint8))
    np.save("wide.npy", np.zeros((3, 14, 56), np.uint8))
    flat, wide = (SampleFile(Path(name), run) for name in ("flat.npy", "wide.npy"))
    assert layout_of(run, "encode", wide) == Layout(["h0", "h1", "h2", "h3"], 3, white=255)
    assert layout_of(run, "reconstruct", wide).sample_shape == (14, 56)
    assert layout_of(run, "denoise", flat).sample_shape == (28, 28)
    assert layout_of(run, "decode", flat).sample_shape == (28, 28)
    assert layout_of(run, "reconstruct", flat).names[-1] == "x783"


def test_categories_that_look_like_numbers_in_a_file_are_those_of_the_run(tmp_path):
    deck = Column("deck", "category", "none", ["01", "2a"])
    run = made(TablePreparation([deck, Column("size")]), 3)
    (tmp_path / "x.csv").write_text("size,deck\n7,01\n8,01\n")
    ((_, rows),) = SampleFile(tmp_path / "x.csv", run).chunks()
    assert run.preparation.to_raw(rows, run.columns).tolist() == [[0, 7], [0, 8]]


def test_long_ids_keep_all_digits(tmp_path):
    (tmp_path / "x.csv").write_text("id,a,b\n900000000000000001,1,2\n900000000000000002,3,4\n")
    for run in (plain(), of_table("a", "b")):
        ((ids, rows),) = SampleFile(tmp_path / "x.csv", run).chunks()
        assert ids.tolist() == [900000000000000001, 900000000000000002]
        assert run.apply("encode", rows).shape == (2, 3)


def test_a_text_among_numbers_is_named_with_its_row_and_line(tmp_path):
    """The second part is the one at fault: its rows go on counting."""
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "1,2\n" * 5000 + "\n1,old\n")
    samples, run = SampleFile(path, of_table("a", "b")), of_table("a", "b")
    layout = layout_of(run, "encode", samples)
    says = r"x\.csv: expected numbers, found 'old' in column b, row 5000 \(line 5003\); correct it"
    with pytest.raises(InputError, match=says):
        write_result(
            samples, lambda x, first: [run.apply("encode", x, first)], tmp_path / "y.npy", layout
        )
    assert not (tmp_path / "y.npy").exists()


def test_colours_that_come_first_are_refused(tmp_path):
    model, path = StackedAutoencoder([24, 3]), tmp_path / "x.npy"
    run = TrainedRun(Path(), model.stack, Pixels(1), model.objective, (2, 4, 3))
    x = np.zeros((5, 2, 4, 3), np.float32)
    assert run.encode(x).shape == (5, 3)
    np.save(path, np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    says = r"expected colours last, \(n, 2, 4, 3\), found \(n, 3, 2, 4\)"
    with pytest.raises(InputError, match=f"samples: {says}"):
        run.encode(np.load(path))
    with pytest.raises(InputError, match=rf"x\.npy: {says}"):
        SampleFile(path, run)
