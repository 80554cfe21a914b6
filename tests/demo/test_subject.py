from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from helpers import fit

from sae.demo.subject import MNIST, NEIGHBOURS, Subject, centred, part_drawn
from sae.errors import InputError
from sae.export.write import export_run
from sae.run.model import load_run

PLAIN = ["--pictures_every", "-1", "--trainer.logger", "false"]


@pytest.fixture(scope="module")
def subject(finished) -> Subject:
    return Subject(load_run(finished[0]))


@pytest.fixture(scope="module")
def of_rows(tmp_path_factory) -> Subject:
    """A run on a table of three columns, in [0, 1]."""
    where = tmp_path_factory.mktemp("rows")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        path = where / "x.npy"
        np.save(path, np.random.default_rng(0).random((120, 3), dtype=np.float32))
        data = ["--data", "ArrayDataModule", "--data.train", str(path), "--data.val_size", "30"]
        run = fit(*PLAIN, *data, "--model.sizes", "[3, 4, 2]").resolve()
        return Subject(load_run(run))


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def pixels_of(shown: dict) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(shown["png"]))))


def test_it_tells_what_the_run_is(subject):
    about = subject.about()
    assert (about["images"], about["shape"], about["units"]) == (True, [28, 28], 4)
    assert about["network"] == "784→12→4→12→784"
    assert about["samples"] == len(subject.gallery.x)
    assert about["remarks"] == []
    low, high = np.array(about["ranges"]).T
    np.testing.assert_allclose(low, subject.gallery.codes.min(axis=0))
    np.testing.assert_allclose(high, subject.gallery.codes.max(axis=0))
    json.dumps(about)


def test_what_it_makes_of_an_image_is_what_the_run_makes_of_it(subject):
    shades = (subject.gallery.x[3] * 255).round().to(torch.uint8).view(28, 28).numpy()
    found = subject.image(png(shades), drawn=False)
    np.testing.assert_array_equal(pixels_of(found["input"]), shades)
    run, given = subject.run, shades[None].copy()
    np.testing.assert_allclose(found["code"], run.encode(given)[0], rtol=1e-5)
    np.testing.assert_allclose(
        pixels_of(found["reconstruction"]), run.reconstruct(given)[0], atol=1
    )
    score, beyond = float(run.score(given)[0]), found["score"]["beyond"]
    assert found["score"]["value"] == pytest.approx(score, rel=1e-4)
    assert run.threshold(max(beyond, 1) / 100) <= score <= run.threshold((beyond + 1) / 100)
    assert len(found["neighbours"]) == NEIGHBOURS
    assert found["neighbours"][0]["distance"] == pytest.approx(0, abs=1e-4), "it is among them"


def test_a_sample_is_not_its_own_neighbour(subject):
    found = subject.sample(3)
    assert found["label"] == subject.gallery.name(3)
    near = subject.gallery.nearest(np.array(found["code"], np.float32), NEIGHBOURS + 1)
    others = [subject.gallery.name(k) for k, _ in near if k != 3][:NEIGHBOURS]
    assert [each["label"] for each in found["neighbours"]] == others
    assert subject.sample(3 + len(subject.gallery.x)) == found, "around they go"


def test_odd_images_are_odder_than_all(subject):
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    assert subject.image(png(noise), drawn=False)["score"]["beyond"] == 100


def test_images_of_any_size_and_mode_are_fitted(subject):
    colour = np.zeros((60, 90, 3), np.uint8)
    colour[:, 40:50] = 255
    plain = pixels_of(subject.image(png(colour), drawn=False)["input"])
    assert plain.shape == (28, 28)
    swapped = pixels_of(subject.image(png(colour), drawn=False, invert=True)["input"])
    np.testing.assert_array_equal(plain, 255 - swapped)


def test_a_place_in_the_code_is_decoded(subject):
    code = [0.1, 0.9, 0.5, 0.5]
    shown = pixels_of(subject.decode(code))
    with torch.no_grad():
        expected = subject.run.stack.decode(torch.tensor([code])).view(28, 28)
    np.testing.assert_allclose(shown, expected.numpy() * 255, atol=1)
    for wrong in ([1.0], [1.0, 2.0, 3.0, float("nan")], ["a", 1, 2, 3], [[1], 2, 3, 4]):
        with pytest.raises(InputError, match="code: expected 4 finite numbers"):
            subject.decode(wrong)


def test_the_map_has_a_point_a_sample(subject):
    found = subject.map(0, 2)
    np.testing.assert_allclose(found["points"], subject.gallery.codes[:, [0, 2]], atol=1e-5)
    assert found["classes"] == [int(label) for label in subject.gallery.labels]
    with pytest.raises(InputError, match="unit: expected a number from 0 to 3, found 4"):
        subject.map(0, 4)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused(subject, content):
    with pytest.raises(InputError, match="file: expected an image, found something else"):
        subject.image(content, drawn=False)


def test_a_run_without_its_data_says_what_it_lacks(finished, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["data"]["sha256"] = "0"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "validation_errors.npy").unlink()
    subject = Subject(load_run(folder))
    assert [remark.split(":")[0] for remark in subject.remarks] == [
        "no neighbours and no samples",
        "no comparison of the score",
    ]
    found = subject.image(png(np.zeros((28, 28), np.uint8)), drawn=True)
    assert "neighbours" not in found
    assert found["score"]["beyond"] is None
    assert subject.map(0, 1) == {"points": [], "classes": []}
    assert subject.about()["ranges"] == [[0.0, 1.0]] * 4, "of a sigmoid"
    with pytest.raises(InputError, match="sample: expected validation samples, found none"):
        subject.sample(0)


def test_a_folder_for_a_hub_does_without_its_data(finished):
    export_run(finished[0], "hub", output=Path("hub"))
    subject = Subject(load_run("hub"))
    assert [remark.split(":")[0] for remark in subject.remarks] == ["no neighbours and no samples"]
    found = subject.image(png(np.zeros((28, 28), np.uint8)), drawn=True)
    assert found["score"]["beyond"] is not None


def test_rows_have_a_field_a_column(of_rows):
    about = of_rows.about()
    assert (about["images"], about["shape"], about["names"]) == (False, [3], ["x0", "x1", "x2"])
    x = of_rows.gallery.x.numpy()
    assert [field["low"] for field in about["fields"]] == pytest.approx(x.min(axis=0).tolist())
    found = of_rows.row([0.25, 0.5, 0.75])
    assert found["input"]["values"] == [0.25, 0.5, 0.75]
    row = np.array([[0.25, 0.5, 0.75]], np.float32)
    rebuilt = of_rows.run.reconstruct(row)[0]
    assert found["reconstruction"]["values"] == pytest.approx(rebuilt.tolist(), rel=1e-4)
    assert len(found["neighbours"][0]["values"]) == 3


@pytest.mark.parametrize(
    "values",
    [[], [1], [1, 2, 3, 4], [1, 2, None], [1, 2, "x"], [1, 2, [3]], [1, 2, 1e999], [1, {}, 3]],
)
def test_rows_that_do_not_fit_are_refused(of_rows, values):
    with pytest.raises(InputError, match=r"^row: expected "):
        of_rows.row(values)


def test_a_file_has_rows(of_rows):
    buffer = io.BytesIO()
    rows = np.random.default_rng(1).random((5, 3), dtype=np.float32)
    np.save(buffer, rows)
    found = of_rows.file("mine.npy", buffer.getvalue(), row=4)
    assert (found["rows"], found["row"]) == (5, 4)
    assert found["input"]["values"] == pytest.approx(rows[4].tolist(), rel=1e-4)
    with pytest.raises(InputError, match="row: expected a number from 0 to 4, found 5"):
        of_rows.file("mine.npy", buffer.getvalue(), row=5)
    with pytest.raises(InputError, match=r"^mine\.xyz: expected a file of a known format"):
        of_rows.file("mine.xyz", b"1,2,3")
    with pytest.raises(InputError, match=r"^mine\.npy: expected "):
        of_rows.file("../mine.npy", b"junk")
    with pytest.raises(InputError, match="file: expected a table, like the run's data"):
        of_rows.image(b"", drawn=False)
    wide = io.BytesIO()
    np.save(wide, np.zeros((2, 4)))
    with pytest.raises(InputError, match=r"wide\.npy: expected 3 values in a row, found 4"):
        of_rows.file("wide.npy", wide.getvalue())


def test_a_table_has_choices_and_says_what_it_has_not_seen():
    lines = [f"{k / 60},{'red' if k % 3 else 'blue'}" for k in range(60)]
    Path("mine.csv").write_text("\n".join(["size,colour", *lines, ""]))
    data = ["--data", "TableDataModule", "--data.train", "mine.csv", "--data.val_size", "12"]
    subject = Subject(load_run(fit(*PLAIN, *data, "--model.sizes", "[auto, 4, 2]").resolve()))
    size, colour = subject.about()["fields"]
    assert (size["name"], colour) == ("size", {"name": "colour", "choices": ["blue", "red"]})
    assert 0 <= size["low"] < size["high"] <= 1
    found = subject.row([0.5, "red"])
    assert found["input"]["values"] == [pytest.approx(0.5, rel=1e-4), "red"]
    assert found["reconstruction"]["values"][1] in ("red", "blue")
    assert "note" not in found
    for values in ([], [0.5], [0.5, "red", 1]):
        with pytest.raises(InputError, match=f"^row: expected 2 values, found {len(values)}; "):
            subject.row(values)
    content = b"colour,size\ngreen,0.25\n"  # in another order
    found = subject.file("new.csv", content)
    assert found["input"]["values"][0] == pytest.approx(0.25, rel=1e-4)
    assert "colour = 'green'" in found["note"]


@pytest.mark.parametrize("name", ["..", "../..", "a\0b.npy", "a/b\\" + "é" * 300 + ".npy"])
def test_a_file_may_be_called_anything(of_rows, name):
    buffer = io.BytesIO()
    np.save(buffer, np.full((1, 3), 0.5, np.float32))
    if name.endswith(".npy"):
        assert of_rows.file(name, buffer.getvalue())["rows"] == 1
        with pytest.raises(InputError) as caught:
            of_rows.file(name, b"junk")
        assert len(caught.value.key) < 100
    else:
        with pytest.raises(InputError, match=r"^file: expected a name with a suffix such as \.csv"):
            of_rows.file(name, buffer.getvalue())


def test_nothing_is_left_of_a_file(of_rows, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(InputError):
        of_rows.file("mine.npy", b"junk")
    assert list(Path(tmp_path).iterdir()) == []


def test_a_classifier_names_classes_and_decodes_nothing():
    short = ["--finetune.epochs", "1", "--model.objective", "classify"]
    run = load_run(fit(*PLAIN, *short, "--pretrain.epochs", "0").resolve())
    subject = Subject(run)
    assert subject.about()["reconstructs"] is False
    assert subject.remarks == []
    found = subject.sample(0)
    assert "reconstruction" not in found
    assert "score" not in found
    assert [each["name"] for each in found["classes"]] == [str(k) for k in range(10)]
    assert sum(each["probability"] for each in found["classes"]) == pytest.approx(1, abs=1e-5)
    values = run.preparation.inverse(subject.gallery.x[:1]).numpy()
    best = max(found["classes"], key=lambda each: each["probability"])["name"]
    assert best == str(run.predict(values)[0])
    with pytest.raises(InputError, match="run: expected one that reconstructs"):
        subject.decode([0.0] * 4)


# Drawings


def test_a_drawing_is_as_long_as_a_digit_and_in_the_middle():
    drawn = np.zeros((280, 280), np.uint8)
    drawn[20:60, 30:40] = 255
    made = np.asarray(centred(PIL.Image.fromarray(drawn), (28, 28)))
    rows, columns = np.flatnonzero(made.any(axis=1)), np.flatnonzero(made.any(axis=0))
    assert len(rows) == 20
    assert (rows[0], rows[-1]) == (4, 23)
    assert len(columns) == 5
    assert columns.mean() == pytest.approx(13.5, abs=1)


def test_a_lopsided_drawing_is_not_cut_off():
    drawn = np.zeros((100, 100), np.uint8)
    drawn[10:12, 10:90], drawn[10:90, 50] = 255, 60
    made = np.asarray(centred(PIL.Image.fromarray(drawn), (28, 28), part=1.0))
    assert made.any(axis=1).sum() >= 27


def test_nothing_drawn_is_black():
    made = centred(PIL.Image.new("L", (50, 50)), (28, 28))
    assert made.size == (28, 28)
    assert not np.asarray(made).any()


def test_how_long_drawings_are_is_seen_from_the_data():
    images = np.zeros((3, 10, 10), np.float32)
    images[0, 2:8, 4], images[1, 3:9, 2:6] = 1, 0.5
    assert part_drawn(images) == pytest.approx(0.6), "a blank one has no say"
    assert part_drawn(np.zeros((2, 4, 4), np.float32)) == MNIST
