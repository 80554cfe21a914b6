from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import refusal
from image_files import cut, folder
from PIL import Image

from sae.cli.command import main
from sae.cli.verbs.inspect import _proposed

QUICK = ["--pretrain.epochs", "1", "--finetune.epochs", "1", "--pictures_every", "-1"]
QUICK += ["--trainer.logger", "false"]


def inspected(capsys, *words: str) -> tuple[list[str], dict]:
    """The comments, and the config, which is what is printed as a whole."""
    main(["inspect", "--data", *words])
    text = capsys.readouterr().out
    Path("pasted.yaml").write_text(text, encoding="utf-8")
    comments = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
    return comments, yaml.safe_load(text)


def trains(capsys) -> str:
    main(["fit", "--config", "pasted.yaml", *QUICK])
    assert Path("lightning_logs/pasted/version_0/finetune/weights.safetensors").exists()
    return capsys.readouterr().out


def test_the_digits(capsys):
    comments, config = inspected(capsys, "DigitsDataModule")
    assert comments[1] == "1,257 samples for training, 180 for validation, 360 for the test"
    assert comments[2].startswith("784 inputs of the network (images of 28x28), from 0 to 1 in")
    assert comments[3].startswith("10 classes: 0 (128), 1 (129), ")
    assert config["model"] == {"sizes": [784, 256, 64], "activation": "tanh"}
    assert config["data"] == {"class_path": "sae.DigitsDataModule"}
    assert "784→256→64→256→784" in trains(capsys)


def test_images_of_several_sizes_one_of_them_damaged(capsys, tmp_path):
    root = folder(tmp_path / "photos", 8, side=7)
    Image.new("L", (20, 10), 255).save(root / "cats" / "wide.png")
    cut(root / "cats" / "000.png", root / "dogs" / "cut.png")
    comments, config = inspected(capsys, "ImageFolderDataModule", "--data.train", str(root))
    said = "\n".join(comments)
    assert "wide.png: expected 7x7, as 000.png has, found 10x20 (2 sizes in all, most often" in said
    assert "dogs/cut.png: expected a whole image, found image file is truncated" in said
    assert "16 images of 7x7: RGB" in said or "17 images of 7x7: RGB" in said
    assert "1 images of 10x20: grey" in said
    assert "1 damaged file is left out: " in said
    assert "2 classes: cats (" in said
    options = config["data"]["init_args"]
    assert options["size"] == [7, 7]
    assert (options["crop"], options["damaged"], options["colour"]) == (True, "skip", "rgb")
    assert config["model"]["sizes"] == [147, 64, 16]
    trains(capsys)


def test_dim_images(capsys, tmp_path):
    for k in range(8):
        Image.fromarray(np.full((3, 3), k % 3, np.uint8)).save(tmp_path / f"{k}.png")
    comments, config = inspected(capsys, "ImageFolderDataModule", "--data.train", str(tmp_path))
    assert comments[0].startswith("warning: data: the brightest pixel of all is 2 of 255")
    assert config["data"]["init_args"]["white"] == 2
    trains(capsys)


def test_an_array_of_other_values_than_pixels(capsys, tmp_path):
    x = np.random.default_rng(0).normal(3, 2, (60, 5)).astype(np.float32)
    x[:, 2] = 1
    np.save(tmp_path / "x.npy", x)
    comments, config = inspected(capsys, "ArrayDataModule", "--data.train", str(tmp_path / "x.npy"))
    assert comments[0].startswith("data.val_size: expected less than half of the 60 samples")
    assert any("1 of them constant" in line for line in comments)
    assert config["model"] == {"sizes": [5, 2], "activation": "tanh", "output": "linear"}
    assert config["data"]["init_args"] == {"train": str(tmp_path / "x.npy"), "val_size": 6}
    trains(capsys)


def test_a_table_with_gaps(capsys, tmp_path):
    rows = [f"{k},{'' if k == 4 else k / 3:.4},{'abc'[k % 3]},5,{k % 2}" for k in range(40)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["id,size,kind,same,label", *rows]))
    comments, config = inspected(capsys, "TableDataModule", "--data.train", str(path))
    assert "1 missing: 1 in column size" in comments[0]
    assert (
        "column id: number, 0 to 39; an input: if it should not be one, add --data.id id"
        in comments
    )
    assert "column size: number, 0 to 13, 1 missing" in comments
    assert "column kind: text, 3 different: a, b, c" in comments
    assert "column same: number, 5 to 5, constant" in comments
    assert config["data"]["init_args"] == {"train": str(path), "missing": "mask"}
    trains(capsys)
    comments, config = inspected(
        capsys, "TableDataModule", "--data.train", str(path), "--data.id", "id", "--data.label",
        "label",
    )  # fmt: skip
    assert "column id: number, 0 to 39; not an input" in comments
    assert any(line.startswith("2 classes: 0 (") for line in comments)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "data: expected a value, found none; name the data"),
        (["--data", "Photos"], "data: expected "),
        (["--data", "ImageFolderDataModule"], "train"),
        (
            ["--data", "ImageFolderDataModule", "--data.train", "none"],
            "a folder of images, found n",
        ),
        (["--data", "ArrayDataModule", "--data.train", "none.npy"], "none.npy: expected"),
        (["--data", "DigitsDataModule", "--data.siz", "3"], "data.siz: expected the name of an op"),
        (
            ["--data", "DigitsDataModule", "--pretrain.epochs", "1"],
            "pretrain.epochs: expected --data or an option of it, found another one; leave it out: "
            "inspect has only the options of data.",
        ),
        (
            ["--data", "DigitsDataModule", "--data.batch_size", "0"],
            "data.batch_size: expected an i",
        ),
    ],
)
def test_what_cannot_be_looked_at_is_one_sentence(words, sentence, capsys):
    assert sentence in refusal(capsys, "inspect", *words)


def test_a_label_that_is_no_column_is_not_left_out_in_silence(capsys, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n2,3\n3,4\n")
    words = ["--data", "TableDataModule", "--data.train", str(tmp_path / "t.csv")]
    assert "data.label: expected a col" in refusal(capsys, "inspect", *words, "--data.label", "c")


def test_the_number_of_inputs_of_a_table_is_named(capsys, tmp_path):
    rows = [f"{k % 7},{'abc'[k % 3]}" for k in range(40)]
    (tmp_path / "clean.csv").write_text("\n".join(["size,kind", *rows]))
    words = ["--data", "TableDataModule", "--data.train", str(tmp_path / "clean.csv")]
    assert (
        "model.sizes: expected 4 first, the number of inputs of clean.csv (each category is one "
        "input), found 2; write [4, …]."
    ) in refusal(capsys, "fit", *words, "--model.sizes", "[2, 1]")


def test_values_that_are_not_finite_are_located(capsys, tmp_path):
    x = np.zeros((60, 4), np.float32)
    x[5, 3] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(SystemExit):
        main(["inspect", "--data", "ArrayDataModule", "--data.train", str(tmp_path / "x.npy")])
    assert "nan in row 5 column 3" in capsys.readouterr().err


def test_what_a_message_proposes():
    assert _proposed("write --data.val_size 20, or name others with test") == {"val_size": 20}
    assert _proposed("or add --data.damaged skip to leave such files out") == {"damaged": "skip"}
    assert _proposed('leave it out: --data.ignore "[a, b]"') == {"ignore": ["a", "b"]}
    both = "choose one size: --data.size [64,48] (--data.crop true keeps proportions)"
    assert _proposed(both) == {"size": [64, 48], "crop": True}
    assert _proposed("correct the path") == {}
