"""A finished run is read from its folder alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from helpers import ROOT
from plugins.source import Blobs

import sae
from sae.cli.command import main
from sae.data import DigitsDataModule
from sae.data.prepare import FILE, Pixels, write_preparation
from sae.data.table_preparation import Column, TablePreparation
from sae.errors import InputError
from sae.objectives.reconstruct import Reconstruct
from sae.run.checkpoint_io import read_weights
from sae.run.model import TrainedRun, check_units, load_run, read_run
from sae.training.stacked import StackedAutoencoder


@pytest.fixture
def folder(finished) -> Path:
    """A copy of a finished run."""
    return Path(shutil.copytree(finished[0], "run"))


def change(folder: Path, **entries) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **entries}))


def test_it_gives_the_stack_with_its_weights(folder):
    run = read_run(folder)
    assert run.image_shape == (28, 28)
    assert run.stack.sizes == [784, 12, 4]
    weights = read_weights(folder / "finetune" / "weights.safetensors")
    found = run.stack.state_dict()
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert not run.stack.training
    assert not any(parameter.requires_grad for parameter in run.stack.parameters())


def test_an_unfinished_run_is_refused(folder):
    change(folder, status="interrupted")
    with pytest.raises(InputError, match="expected a finished run, found one that is interrupted"):
        read_run(folder)


def test_a_run_without_weights_is_refused(folder):
    (folder / "finetune" / "weights.safetensors").unlink()
    with pytest.raises(InputError, match="found some that are not there"):
        read_run(folder)


def test_damaged_weights_are_refused(folder):
    (folder / "finetune" / "weights.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="found some that are damaged"):
        read_run(folder)


@pytest.mark.parametrize("name", ["manifest.json", "config.yaml"])
@pytest.mark.parametrize("content", [None, "{[", "just words", "\xff"])
def test_a_missing_or_damaged_file_is_named(folder, name, content):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=f"a file {name}"):
        read_run(folder)


def test_a_config_that_does_not_fit_the_weights_is_refused(folder):
    config = (folder / "config.yaml").read_text()
    assert "- 12\n" in config
    (folder / "config.yaml").write_text(config.replace("- 12\n", "- 13\n", 1))
    with pytest.raises(InputError, match="a config and weights that fit each other"):
        read_run(folder)


def test_a_manifest_without_the_shape_is_refused(folder):
    change(folder, data={"name": "digits"})
    with pytest.raises(InputError, match="KeyError: 'image_shape'"):
        read_run(folder)


# At work on samples


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """Test images, uint8, (n, 784)."""
    data = DigitsDataModule()
    data.setup()
    return data.test.x.numpy()


@pytest.fixture(scope="module")
def run(finished) -> TrainedRun:
    return load_run(str(finished[0]))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Path:
    """A finished run that tells four named classes apart."""
    folder = tmp_path_factory.mktemp("classifier")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["fit", "--config", str(ROOT / "configs" / "classify.yaml"), "--name", "run"]
        words += ["--data", "plugins.source.Blobs", "--model.sizes", "[64, 12, 6]"]
        words += ["--pretrain.epochs", "1", "--finetune.epochs", "8", "--finetune.lr", "0.02"]
        main([*words, "--pictures_every", "-1", "--trainer.logger", "false"])
    return folder / "lightning_logs" / "run" / "version_0"


def test_codes_are_those_of_the_network_on_prepared_samples(run, digits):
    inputs = torch.from_numpy(digits).float().mul_(1 / 255)
    np.testing.assert_allclose(run.encode(digits), run.stack.encode(inputs), atol=1e-6)
    np.testing.assert_allclose(run.reconstruct(digits), 255 * run.stack(inputs).numpy(), atol=1e-3)
    errors = (run.stack(inputs) - inputs).square()
    np.testing.assert_allclose(run.score(digits, per_feature=True), errors, atol=1e-5)
    np.testing.assert_allclose(run.score(digits), errors.sum(dim=1), rtol=1e-5)


def test_a_code_decodes_to_the_reconstruction(run, digits):
    np.testing.assert_allclose(
        run.decode(run.encode(digits[:20])), run.reconstruct(digits[:20]), atol=1e-3
    )


def test_a_sample_has_the_same_code_in_any_company(run, digits, monkeypatch):
    from sae.run import model

    together = run.encode(digits)
    assert np.array_equal(run.encode(digits[17:18]), together[17:18])
    monkeypatch.setattr(model, "chunk_rows", lambda features: 1)  # less than a tile
    assert np.array_equal(run.encode(digits), together)
    assert np.array_equal(run.score(digits)[300:], run.score(digits[300:]))


def test_images_and_tensors_come_back_in_the_shape_that_they_had(run, digits):
    images = digits.reshape(-1, 28, 28)[:5]
    flat = run.reconstruct(digits[:5])
    assert flat.shape == (5, 784)
    rebuilt = run.reconstruct(images)
    assert (rebuilt.shape, rebuilt.dtype) == ((5, 28, 28), np.float32)
    np.testing.assert_array_equal(rebuilt.reshape(5, -1), flat)
    tensor = run.reconstruct(torch.from_numpy(images))
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor, rebuilt)
    assert isinstance(run.score(torch.from_numpy(images)), torch.Tensor)
    listed = digits[:2].astype(float).tolist()
    np.testing.assert_array_equal(run.encode(listed), run.encode(digits[:2]))


@pytest.fixture
def table() -> TrainedRun:
    """A network that gives back what it is given, for a table with a constant."""
    columns = [
        Column("height", scaling="minmax"),
        Column("colour", "category", values=["blue", "red"]),
        Column("size", "constant"),
        Column("width", scaling="standard"),
    ]
    preparation = TablePreparation(columns, passed_over=["note"])
    preparation.scale[0], preparation.shift[3], preparation.fill[2] = 10, 3, 7
    stack = sae.Stack([sae.Dense(4, 4, activation="identity", output="identity")])
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.copy_(torch.eye(4) if parameter.ndim == 2 else torch.zeros(4))
    return TrainedRun(Path(), stack, preparation, Reconstruct(), (1, 4))


@pytest.fixture
def gappy() -> TrainedRun:
    """A run of a table with values missing."""
    columns = [Column("width"), Column("height"), Column("colour", "category", values=["a", "b"])]
    preparation = TablePreparation(columns, missing="mask")
    model = StackedAutoencoder([4, 4])
    model.suit(preparation)
    return TrainedRun(Path(), model.stack, preparation, Reconstruct(), (1, 4))


ROWS = pd.DataFrame(
    {
        "width": [1.0, 1, np.nan, np.nan],
        "height": [2.0, 2, np.nan, np.nan],
        "colour": ["a", "green", "b", None],
    }
)


def test_what_is_missing_has_no_error_and_the_rest_is_scaled_up(gappy):
    with pytest.warns(UserWarning, match=r"samples: .*: 1 in column colour .*'green' in row 1"):
        errors = gappy.score(ROWS, per_feature=True)
    assert errors.isna().to_numpy().tolist() == [
        [False] * 4,
        [False, False, True, True],
        [True, True, False, False],
        [True] * 4,
    ]
    with pytest.warns(UserWarning, match="no training row has") as told:
        score = gappy.score(ROWS)
    assert told[0].filename == __file__
    expected = [errors.iloc[0].sum(), 2 * errors.iloc[1].sum(), 2 * errors.iloc[2].sum(), np.nan]
    np.testing.assert_allclose(score, expected, rtol=1e-5)
    with pytest.warns(UserWarning, match="no training row has"):
        assert gappy.missing(ROWS).tolist() == [0, 1, 2, 3]
    assert gappy.may_miss


def test_a_row_of_means_alone_has_no_score_either(gappy):
    preparation = TablePreparation(gappy.preparation.table, missing="mean")
    run = TrainedRun(Path(), gappy.stack, preparation, Reconstruct(), (1, 4))
    score = run.score(ROWS.iloc[[0, 2, 3]])
    assert np.isnan(score).tolist() == [False, False, True]


def test_images_miss_nothing(run, digits):
    assert run.missing(digits[:2]).tolist() == [0, 0]
    assert not run.may_miss


def test_columns_of_a_data_frame_are_taken_by_name(table):
    frame = pd.DataFrame(
        {
            "note": ["a", "b"],
            "width": [4, 5],
            "height": [20.0, 30],
            "id": [1, 2],
            "colour": ["red", "blue"],
            "size": [7, 7],
        },
        index=["first", "second"],
    )
    codes = table.encode(frame)
    assert list(codes.index) == ["first", "second"]
    assert list(codes.columns) == ["h0", "h1", "h2", "h3"]
    np.testing.assert_allclose(codes, [[2, 1, 0, 1], [3, 2, 1, 0]])
    rebuilt = table.reconstruct(frame)
    assert list(rebuilt.columns) == ["height", "colour", "size", "width"]
    assert rebuilt.loc["second"].tolist() == [30, "blue", 7, 5]
    assert [rebuilt[name].dtype.kind for name in ("height", "width")] == ["f", "f"]
    scores = table.score(frame)
    assert isinstance(scores, pd.Series)
    assert scores.index.tolist() == ["first", "second"]
    errors = table.score(frame, per_feature=True)
    assert list(errors.columns) == ["height", "width", "colour=blue", "colour=red"]
    np.testing.assert_array_equal(scores, 0)
    np.testing.assert_allclose(table.decode(codes)["height"], [20, 30])


def test_a_missing_column_is_named(table):
    frame = pd.DataFrame({"width": [4], "Height": [20.0]})
    with pytest.raises(InputError, match="found none called 'height', 'colour', 'size'; its"):
        table.encode(frame)


def test_rows_that_are_not_finite_are_counted_from_the_first(table):
    values = np.array([[1, "red", 7, 2]] * 300 + [[np.nan, "red", 7, 2]], object)
    with pytest.raises(InputError, match="found 1 missing in column height, first in row 300"):
        table.encode(values)
    with pytest.raises(InputError, match="first in row 5300"):
        table.apply("encode", values, 5000)
    with pytest.raises(InputError, match=r"found .* in column width, row 10;"):
        table.apply("encode", np.array([[1, "red", 7, "wide"]], object), 10)


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((3, 785), r"samples of shape \(n, 784\) or \(n, 28, 28\), found one of \(3, 785\)"),
        ((28, 28), r"found one of \(28, 28\); add an axis: x\[None\]"),
        ((784,), r"add an axis"),
        ((0, 784), r"found one of \(0, 784\); give a row for each"),
    ],
)
def test_samples_of_another_shape_are_refused(run, shape, says):
    with pytest.raises(InputError, match=says):
        run.encode(np.full(shape, 9, np.uint8))


def test_codes_of_another_size_are_refused(run):
    with pytest.raises(InputError, match=r"codes of shape \(n, 4\), found one of \(1, 5\)"):
        run.decode(np.zeros((1, 5)))


def test_words_are_no_samples(run):
    with pytest.raises(InputError, match="samples: expected numbers, found <U1"):
        run.encode(np.full((1, 784), "a"))


@pytest.mark.parametrize(
    ("rows", "divisor", "says"),
    [
        (np.array([[0.0, 0.7]]), 255, r"values from 0 to 255, .*some in \[0, 0.7\]; multiply"),
        (np.array([[0, 1]]), 255, "multiply by 255"),
        (np.array([[0, 1]], np.uint8), 255, None),
        (np.array([[0, 1]], np.uint16), 65535, None),
        (np.array([[0, 9]], np.uint8), 65535, "expected uint16, .*found uint8"),
        (np.array([[0, 9]], np.uint8), 1, "expected floats, .*found uint8; divide pixels by 255"),
        (np.array([[0, 9]]), 1, "expected floats, .*found int64; divide pixels by 255"),
        (np.array([[0.0, 255.0]]), 255, None),
        (np.array([[-0.1, 0.5]]), 255, None),
        (np.zeros((1, 2)), 255, None),
        (np.array([[0, 1]], np.uint8), 1, None),
        (np.array([[0.0, 300.0]]), None, None),
    ],
)
def test_samples_in_other_units_are_refused(rows, divisor, says):
    if says is None:
        check_units(rows, divisor)
        return
    with pytest.raises(InputError, match=says):
        check_units(rows, divisor)


def test_the_runs_own_preparation_is_used(folder, digits):
    plain = load_run(folder).encode(digits[:5])
    write_preparation(folder / FILE, Pixels(510))
    halved = load_run(folder)
    assert not np.allclose(halved.encode(digits[:5]), plain)
    np.testing.assert_allclose(halved.decode(plain), 2 * load_run_without(folder).decode(plain))


def load_run_without(folder: Path) -> TrainedRun:
    """As an older version has left it, which kept no preparation."""
    (folder / FILE).unlink()
    return load_run(folder)


def test_a_run_of_bytes_without_a_preparation_divides_them(folder, digits):
    before = load_run(folder).encode(digits[:5])
    np.testing.assert_array_equal(load_run_without(folder).encode(digits[:5]), before)


def test_the_threshold_is_that_of_the_validation_samples(run, finished):
    data = DigitsDataModule()
    data.setup()
    scores = run.score(data.val.x)
    kept = np.load(finished[0] / "validation_errors.npy")
    np.testing.assert_allclose(kept, scores, rtol=1e-4)
    assert run.threshold(0.5) == pytest.approx(np.median(scores), rel=1e-4)
    assert run.threshold() == pytest.approx(np.quantile(scores, 0.99), rel=1e-4)


def test_weights_of_an_objective_are_its_own(classifier):
    weights = read_weights(classifier / "finetune" / "weights.safetensors")
    run = load_run(classifier)
    of_net = {f"net.{name}": tensor for name, tensor in run.stack.state_dict().items()}
    of_head = {f"objective.{k}": tensor for k, tensor in run.objective.state_dict().items()}
    assert of_head
    assert {**of_net, **of_head}.keys() == weights.keys()
    assert all(torch.equal(tensor, weights[k]) for k, tensor in {**of_net, **of_head}.items())


def test_a_classifier_names_classes_and_rebuilds_nothing(classifier):
    run = load_run(classifier)
    data = Blobs()
    data.setup()
    names = np.array(data.class_names)[data.test.y]
    predicted = run.predict(data.test.x)
    assert (predicted == names).mean() > 0.9
    shares = run.predict_proba(data.test.x.numpy())
    assert shares.shape == (100, 4)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    assert list(np.array(data.class_names)[shares.argmax(axis=1)]) == list(predicted)
    assert run.encode(data.test.x).shape == (100, 6)
    for does in (run.reconstruct, run.score, run.denoise, run.decode):
        with pytest.raises(InputError, match="expected a run that reconstructs, found one whose"):
            does(data.test.x)


def test_what_a_run_was_not_trained_for_is_refused(run, digits):
    with pytest.raises(InputError, match="expected a classifier"):
        run.predict(digits)
    with pytest.raises(InputError, match=r"trained to denoise, found one without finetune\.corr"):
        run.denoise(digits)


def test_a_denoising_run_denoises(folder, digits):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert not config["finetune"].get("corruption")
    config["finetune"]["corruption"] = {"kind": "masking", "level": 0.3}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    run = load_run(folder)
    np.testing.assert_array_equal(run.denoise(digits[:3]), run.reconstruct(digits[:3]))
    for change in ({"corruption": {"kind": "masking", "level": 0.0}}, {"epochs": 0}):
        other = {**config, "finetune": {**config["finetune"], **change}}
        (folder / "config.yaml").write_text(yaml.safe_dump(other))
        assert not load_run(folder).denoises


def test_another_device(folder, digits):
    with pytest.raises(InputError, match="device: expected one that is there, found 'cuda:99'"):
        load_run(folder, "cuda:99")
    assert load_run(folder, torch.device("cpu")).device.type == "cpu"


def test_the_package_has_it(finished):
    assert sae.load_run(finished[0]).stack.sizes == [784, 12, 4]
