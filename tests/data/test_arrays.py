from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import same_state
from safetensors.torch import load_file

from sae.callbacks.codes_csv import CodesCSV
from sae.cli.command import main
from sae.data import ArrayDataModule
from sae.data.rows import FileRows, WithoutRows
from sae.errors import InputError
from sae.run.journal import RunJournal
from sae.training.stacked import StackedAutoencoder
from sae.training.stage import Stage


@pytest.fixture
def files(tmp_path) -> Path:
    """300 images of 4x3 in three files, 40 of them to test, with labels."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (340, 4, 3), dtype=np.uint8), np.arange(340) % 3
    (tmp_path / "train").mkdir()
    for k, part in enumerate(np.split(x[:300], [100, 130])):
        np.save(tmp_path / "train" / f"{k}.npy", part)
    np.save(tmp_path / "test.npy", x[300:])
    np.save(tmp_path / "y.npy", y[:300])
    np.save(tmp_path / "y_test.npy", y[300:].astype(np.uint8))
    return tmp_path


def module(files: Path, **kwargs) -> ArrayDataModule:
    data = ArrayDataModule(str(files / "train"), **{"val_size": 50, "batch_size": 32, **kwargs})
    data.setup()
    return data


def rows_of(x) -> set[bytes]:
    return {row.numpy().tobytes() for row in x[:]}


def test_every_sample_falls_into_one_part(files):
    data = module(files)
    parts = [rows_of(samples.x) for samples in (data.train, data.val, data.test)]
    assert [len(part) for part in parts] == [200, 50, 50]
    assert len(set.union(*parts)) == 300
    named = module(files, test=str(files / "test.npy"))
    assert [len(named.train), len(named.val), len(named.test)] == [250, 50, 40]
    assert named.image_shape == (4, 3)
    assert named.n_features == 12
    assert named.description == "train (300 + 40 samples of 4x3)"


def test_what_is_trained_on_stays_in_its_files(files):
    data = module(files, test=str(files / "test.npy"))
    assert isinstance(data.train.x, WithoutRows)
    assert isinstance(data.test.x, FileRows)
    assert isinstance(data.val.x, torch.Tensor)


def test_labels_stay_with_their_samples(files):
    x = np.concatenate([np.load(path) for path in sorted((files / "train").glob("*.npy"))])
    of = {row.tobytes(): k % 3 for k, row in enumerate(x)}
    labels = {"train_labels": str(files / "y.npy"), "test_labels": str(files / "y_test.npy")}
    data = module(files, test=str(files / "test.npy"), **labels)
    for samples in (data.train, data.val):
        assert [of[row.numpy().tobytes()] for row in samples.x[:]] == samples.y.tolist()
    assert data.test.y.tolist() == [k % 3 for k in range(300, 340)]
    assert module(files).train.y is None


def test_the_fingerprint_tells_data_from_others(files):
    first = module(files).fingerprint()
    assert first == module(files).fingerprint()
    assert first != module(files, split_seed=1).fingerprint()
    array = np.load(files / "train" / "1.npy")
    array[3, 1, 1] ^= 1
    np.save(files / "train" / "1.npy", array)
    assert first != module(files).fingerprint()


WRONG = {
    "no such folder": ({"train": "nowhere"}, "nowhere"),
    "a folder without arrays": ({"train": "empty"}, "folder without .npy files"),
    "other features": ({"test": "odd.npy"}, "12 features"),
    "labels too few": ({"train_labels": "y_test.npy"}, r"train_labels.*\(300,\)"),
    "labels of floats": ({"train_labels": "odd.npy"}, "train_labels"),
    "labels of nothing": ({"test_labels": "y.npy"}, "test_labels"),
    "an image shape of another size": ({"image_shape": [5, 3]}, "image_shape.*12"),
    "too many to validate": ({"val_size": 150}, "val_size"),
    "other numbers": ({"test": "floats.npy"}, "test.*uint8, as in train.*floats"),
}


@pytest.mark.parametrize(("options", "words"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_named(files, options, words, monkeypatch):
    monkeypatch.chdir(files)
    np.save("odd.npy", np.zeros((40, 5), np.float32))
    np.save("floats.npy", np.zeros((40, 12), np.float32))
    (files / "empty").mkdir()
    with pytest.raises(InputError, match=words):
        ArrayDataModule(**{"train": "train", "val_size": 50, **options}).setup()


def fit(files: Path, *words: str) -> Path:
    command = ["fit", "--model.sizes", "[12, 6, 3]", "--pretrain.epochs", "2"]
    command += ["--finetune.epochs", "2", "--data", "ArrayDataModule", "--data.val_size", "50"]
    main([*command, "--data.train", str(files / "train"), "--name", "mine", *words])
    return sorted(Path("lightning_logs/mine").glob("version_*"))[-1]


def test_the_whole_path_without_labels(files, capsys):
    folder = fit(files)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["data"] == "train"
    assert "knn_accuracy" not in summary["test"]
    assert summary["test"]["sse"] > 0
    out = capsys.readouterr().out
    assert "5-NN" not in out
    assert (folder / "finetune" / "reconstructions.png").exists()
    with np.load(folder / "finetune" / "codes.npz") as numbers:
        assert np.isnan(numbers["accuracy"]).all()
    assert not (folder / "finetune" / "nearest.png").exists()


def test_values_outside_of_the_outputs_range_are_refused(files, capsys):
    np.save(files / "train" / "0.npy", np.zeros((10, 12), np.float32) - 1)
    for name in ("1.npy", "2.npy"):
        np.save(files / "train" / name, np.random.default_rng(0).random((90, 12)))
    np.save(files / "train" / "0.npy", np.full((90, 12), 3.0))
    with pytest.raises(SystemExit) as caught:
        fit(files)
    assert caught.value.code == 2
    assert "values in [0, 1] for a sigmoid output" in capsys.readouterr().err
    assert not Path("lightning_logs").exists()
    assert fit(files, "--model.output", "linear").exists()


def test_values_that_are_no_numbers_are_refused(files, capsys):
    array = np.random.default_rng(0).random((300, 12)).astype(np.float32)
    array[np.arange(0, 300, 7)] = np.nan
    for path in (files / "train").glob("*.npy"):
        path.unlink()
    np.save(files / "train" / "0.npy", array)
    with pytest.raises(SystemExit) as caught:
        fit(files)
    assert caught.value.code == 2
    assert "finite" in capsys.readouterr().err


def test_the_config_names_the_files_from_anywhere(files, monkeypatch):
    monkeypatch.chdir(files)
    fit(Path(), "--pictures_every", "-1")
    config = next(Path("lightning_logs").glob("*/*/config.yaml")).read_text()
    assert f"train: {(files / 'train').resolve()}" in config


def floats(files: Path, part: str, spoil: tuple[int, float]) -> Path:
    """Samples to train and to test on, all in [0, 1] but one value of one of them."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.random((n, 12)) for name, n in (("train", 300), ("test", 40))}
    arrays[part][spoil[0], 3] = spoil[1]
    for path in (files / "train").glob("*.npy"):
        path.unlink()
    np.save(files / "train" / "0.npy", arrays["train"])
    np.save(files / "test.npy", arrays["test"])
    return files


VALUES = {"NaN": (float("nan"), "finite"), "infinite": (-np.inf, "finite"), "5": (5.0, "0 .* to 5")}


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(("value", "words"), VALUES.values(), ids=VALUES)
def test_a_single_wrong_value_anywhere_is_refused_and_nothing_is_left(
    files, part, value, words, capsys
):
    """It may lie in any chunk, before others that are well."""
    for place in (0, 39):
        floats(files, part, (place, value))
        with pytest.raises(SystemExit) as caught:
            fit(files, "--data.test", str(files / "test.npy"))
        assert caught.value.code == 2
        err = capsys.readouterr().err
        assert re.search(words.replace("0 ", r"0\S* "), err)
        assert part in err
        assert not Path("lightning_logs").exists()


def test_files_replaced_while_a_run_reads_them_end_it(files, monkeypatch, capsys):
    """Or the weights would be those of two data sets, under the hash of one."""
    note = RunJournal.note

    def replaces(self, result, *args):
        np.save(files / "train" / "1.npy", np.load(files / "train" / "1.npy"))
        note(self, result, *args)

    monkeypatch.setattr(RunJournal, "note", replaces)
    with pytest.raises(SystemExit) as caught:
        fit(files)
    assert caught.value.code == 2
    assert re.search(r"1\.npy: expected the same file as when", capsys.readouterr().err)
    (run,) = Path("lightning_logs/mine").iterdir()
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["status"] == "interrupted"
    assert [phase["name"] for phase in manifest["phases"]] == ["stage1"]  # before the next one


def test_no_checkpoint_is_left_of_weights_that_have_seen_other_data(files, monkeypatch, capsys):
    """Put back what was there, go on: the weights are those of an unbroken run."""
    part = files / "train" / "1.npy"
    whole, stat = part.read_bytes(), part.stat()
    few = ["--data.batch_size", "32"]  # 7 steps an epoch
    of_unbroken = load_file(fit(files, *few) / "finetune/weights.safetensors")
    loss, asked = Stage.training_loss, []

    def replaces(self, x, batch_idx):
        asked.append(batch_idx)
        if len(asked) == 12:  # in the second epoch
            part.write_bytes(whole[:-12] + bytes(12))
        return loss(self, x, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Stage, "training_loss", replaces)
        with pytest.raises(SystemExit):
            fit(files, *few)
    assert "expected the same file as when" in capsys.readouterr().err
    part.write_bytes(whole)
    os.utime(part, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    resumed = fit(files, *few, "--resume", "auto")
    assert "continues after epoch 1" in capsys.readouterr().out
    assert same_state(load_file(resumed / "finetune/weights.safetensors"), of_unbroken)


def test_pictures_take_the_shape_of_the_training_samples(files):
    np.save(files / "flat.npy", np.load(files / "test.npy").reshape(40, 12))
    data = module(files, test=str(files / "flat.npy"))
    assert data.image_shape == (4, 3)
    assert "samples of 4x3" in data.description


def test_codes_of_many_samples_are_written_batch_by_batch(files, monkeypatch):
    """All of them, in order, with their errors; none is kept."""
    run = fit(files, "--data.test", str(files / "test.npy"), "--data.batch_size", "16")
    seen = []
    monkeypatch.setattr(
        CodesCSV, "on_predict_end", lambda self, trainer, _: seen.append(trainer.predict_loop)
    )
    checkpoint = run / "finetune" / "checkpoints" / "best.ckpt"
    main(["predict", "--config", str(run / "config.yaml"), "--ckpt_path", str(checkpoint)])
    (table,) = Path("lightning_logs").rglob("predict/*/codes.csv")
    head, *rows = table.read_text().splitlines()
    assert head == "sse,h0,h1,h2"
    found = np.array([[float(cell) for cell in row.split(",")] for row in rows])
    model = StackedAutoencoder.load_from_checkpoint(checkpoint, weights_only=True).eval()
    x = torch.from_numpy(np.load(files / "test.npy").reshape(40, 12) / np.float32(255))
    with torch.no_grad():
        code = model.encode(x)
        sse = (model.decode(code) - x).square().sum(dim=1)
    np.testing.assert_allclose(found, torch.column_stack([sse, code]), rtol=1e-4)
    assert not seen[0].predictions


def test_a_run_without_checkpoints_is_not_called_finished_either(files, monkeypatch, capsys):
    loss = Stage.training_loss

    def replaces(self, *args):
        np.save(files / "train" / "1.npy", np.load(files / "train" / "1.npy"))
        return loss(self, *args)

    monkeypatch.setattr(Stage, "training_loss", replaces)
    with pytest.raises(SystemExit):
        fit(files, "--trainer.enable_checkpointing", "false")
    assert "expected the same file as when" in capsys.readouterr().err
    assert not list(Path("lightning_logs").rglob("summary.json"))


def test_salt_and_pepper_takes_the_samples_own_range_in_every_phase_and_verb(files, capsys):
    """Inputs from 10 to 14; noise of 0 and 1 would cost a hundred times as much."""
    rng = np.random.default_rng(0)
    for path in (files / "train").glob("*.npy"):
        path.unlink()
    np.save(files / "train" / "0.npy", (10 + 4 * rng.random((300, 12))).astype(np.float32))
    noise = '{"kind": "salt_and_pepper", "level": 0.5}'
    words = ["--model.output", "linear", "--finetune.corruption", noise]
    words += ["--pretrain.stages", f'[{{"corruption": {noise}}}, {{}}]']
    folder = fit(files, *words)
    figures = json.loads((folder / "summary.json").read_text())["test"]
    # Half of 12 pixels are moved from anywhere to one of the ends, 4²/3 on average.
    assert figures["corrupted_sse"] == pytest.approx(6 * 16 / 3, rel=0.15)
    for phase in ("stage1", "finetune"):
        with np.load(folder / phase / "denoising.npz") as numbers:
            noisy = numbers["images"][-1, 0]
        at_an_end = np.isclose(noisy, 1, atol=1e-3) | np.isclose(noisy, 10 / 14, atol=1e-3)
        assert at_an_end.mean() > 0.3  # on the scale of the picture, from 0 to 14
        assert noisy.min() > 0.7
    capsys.readouterr()
    checkpoint = folder / "finetune" / "checkpoints" / "best.ckpt"
    main(["test", "--config", str(folder / "config.yaml"), "--ckpt_path", str(checkpoint)])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "orrupted" in line]
    assert f"{figures['corrupted_sse']:.2f}" in line


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.parquet", "X.CSV", "x.feather"])
def test_a_table_is_told_where_it_is_read(tmp_path, name):
    (tmp_path / name).write_text("a,b\n1,2\n")
    data = ArrayDataModule(str(tmp_path / name))
    with pytest.raises(InputError, match=r"found a table; read it with --data TableDataModule"):
        data.setup()


def test_one_array_of_several_by_its_key(tmp_path):
    x = np.random.default_rng(0).random((40, 6))
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(40))
    data = ArrayDataModule(str(tmp_path / "x.npz"), key="x", val_size=8)
    data.setup()
    assert data.train.x.shape == (24, 6)
    with pytest.raises(InputError, match=r"found 'z'; name one of 'x', 'y'"):
        ArrayDataModule(str(tmp_path / "x.npz"), key="z", val_size=8).setup()


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((6, 5, 3), (6, 5, 3)),
        ((1, 6, 5), (6, 5)),
        ((6, 5, 1), (6, 5)),
        ((6, 6, 4), (6, 24)),  # side by side, no square of all that
        ((3, 3, 3), (3, 3, 3)),
    ],
)
def test_the_shape_in_which_samples_are_drawn(shape, shown, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((20, *shape), np.uint8))
    data = ArrayDataModule(str(tmp_path / "x.npy"), val_size=2)
    data.setup()
    assert data.image_shape == shown


def test_images_with_their_colours_first_are_refused_with_a_line_that_mends_them(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (20, 3, 6, 5)).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    expected = (
        r"expected colours last, \(n, 6, 5, 3\), found \(n, 3, 6, 5\); run (.*) and name that"
    )
    with pytest.raises(InputError, match=expected) as refused:
        ArrayDataModule(str(tmp_path / "x.npy"), val_size=2).setup()
    line = re.search(r"run (numpy.*) and name that", str(refused.value))[1]
    exec(line, {"numpy": np})
    data = ArrayDataModule(str(tmp_path / "x_last.npy"), val_size=2)
    data.setup()
    assert data.image_shape == (6, 5, 3)
    assert data.files[0][0:1].view(6, 5, 3)[2, 1].tolist() == x[0, :, 2, 1].tolist()
    named = ArrayDataModule(str(tmp_path / "x.npy"), val_size=2, image_shape=[18, 5])
    named.setup()
    assert named.image_shape == (18, 5)
