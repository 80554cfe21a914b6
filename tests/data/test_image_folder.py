from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers import refusal, verb
from image_files import GREY, GREY16, cut, folder, lying, rgb
from PIL import Image

from sae.cli.command import main
from sae.data import ImageFolderDataModule
from sae.data.image_folder import memory
from sae.data.image_rows import ImageRows
from sae.data.rows import WithoutRows
from sae.errors import InputError
from sae.run.checkpoint_io import read_weights
from sae.run.model import load_run

FIT = ["fit", "--data", "ImageFolderDataModule", "--trainer.logger", "false", "--model.sizes"]
FIT += ["[auto, 8, 3]", "--pretrain.epochs", "1", "--finetune.epochs", "1"]


def ready(root: Path, **options) -> ImageFolderDataModule:
    data = ImageFolderDataModule(str(root), **options)
    data.setup()
    return data


def lines(data) -> list[str]:
    return data.remarks(data.train_dataloader().survey())


@pytest.fixture(scope="module")
def animals(tmp_path_factory):
    """12 images of each of two classes, 6x6 in colour, dogs brighter."""
    return folder(tmp_path_factory.mktemp("images") / "animals")


def test_classes_are_the_subfolders(animals):
    data = ready(animals)
    assert (data.name, data.image_shape, data.n_features) == ("animals", (6, 6, 3), 108)
    assert [len(part) for part in (data.train, data.val, data.test)] == [20, 2, 2]
    assert (data.class_names, data.n_classes) == (["cats", "dogs"], 2)
    for part in (data.train, data.val, data.test):
        assert (part.x.float().mean(dim=1) > 120).long().equal(part.y)  # dogs are bright
    assert data.preparation.settings == {"divisor": 255}
    assert lines(data) == [
        "data: 24 images of 6x6 in colour, 8 bits, kept in memory (0.0 MiB in all)",
        "data: 2 classes: cats (12), dogs (12)",
    ]


def test_a_folder_to_test_on(animals, tmp_path):
    other = folder(tmp_path / "other", 3)
    data = ready(animals, test=str(other))
    assert (len(data.train), len(data.val), len(data.test)) == (22, 2, 6)
    assert data.test.y.tolist() == [0, 0, 0, 1, 1, 1]
    (other / "cats").rename(other / "birds")
    with pytest.raises(InputError, match="expected a class of train, found"):
        ready(animals, test=str(other))


def test_decoded_anew_they_are_the_same(animals):
    kept, anew = ready(animals), ready(animals, cache="none")
    assert isinstance(kept.train.x, torch.Tensor)
    assert isinstance(anew.train.x, WithoutRows)
    assert "decoded again for each batch" in lines(anew)[0]
    assert anew.train.x[0:30].equal(kept.train.x)
    assert anew.train.y.equal(kept.train.y)
    assert anew.val.x.equal(kept.val.x)
    assert anew.test.x.equal(kept.test.x)
    assert anew.train_dataloader().sampler.block is None


def test_what_does_not_fit_into_memory_is_decoded_anew(animals, monkeypatch):
    monkeypatch.setattr("sae.data.image_folder.memory", lambda: 4 * 24 * 108 - 1)
    assert "decoded again" in lines(ready(animals))[0]
    monkeypatch.setattr("sae.data.image_folder.memory", lambda: 4 * 24 * 108)
    assert "kept in memory" in lines(ready(animals))[0]
    monkeypatch.undo()
    assert memory() > 2**28


def test_the_ramp_in_six_kinds_of_file_and_what_lies_beside_them(tmp_path):
    """What shared/cases/make.py writes."""
    a = tmp_path / "images" / "a"
    a.mkdir(parents=True)
    Image.fromarray(GREY).save(a / "grey8.png")
    Image.fromarray(GREY16).save(a / "grey16.png")
    rgb().save(a / "rgb.PNG")
    rgb().convert("CMYK").save(a / "cmyk.jpg", quality=95)
    rgb().convert("P").save(a / "palette.png")
    lying(a / "orientation6.jpg", 6)
    for name in (".DS_Store", "Thumbs.db"):
        (a / name).write_bytes(bytes(16))
    (a / ".ipynb_checkpoints").mkdir()
    (tmp_path / "images" / "empty_class").mkdir()
    data = ready(tmp_path / "images")
    x = torch.cat([data.train.x, data.val.x, data.test.x]).view(6, 24, 32, 3)
    ramp = torch.linspace(0, 1, 32)[None, None, :, None]
    distances = (x - ramp).abs().amax(dim=(1, 2, 3)).sort().values
    assert distances[:5].max() < 0.02
    assert distances[5] < 0.2  # the palette is dithered
    assert distances[0] < 1e-5  # of 16 bits none are lost
    said = "\n".join(lines(data))
    assert "3 hidden files skipped; 1 folder without images (empty_class)" in said
    assert "6 images of 24x32 in colour, 16 bits" in said
    assert "all images are in a: there are no classes" in said
    assert data.train.y is None
    assert data.preparation.settings == {"divisor": 65_535}


def test_8_bits_of_16_only_where_this_is_asked_for(tmp_path):
    deep, flat = tmp_path / "deep", tmp_path / "flat"
    for root, pixels in ((deep, GREY16), (flat, GREY)):
        root.mkdir()
        for k in range(5):
            Image.fromarray(pixels).save(root / f"{k}.png")
    data = ready(deep)
    assert (data.train.x.dtype, data.look.bits) == (torch.float32, 16)
    assert ready(deep, bits=8).train.x[0].tolist() == GREY.flatten().tolist()
    with pytest.raises(
        InputError, match=r"expected 8 bits, as in train, found 16; add --data\.bits"
    ):
        ready(flat, test=str(deep))
    assert ready(flat, test=str(deep), bits=8).test.x[0].tolist() == GREY.flatten().tolist()


def test_colours_to_test_on_and_none_to_train_on(animals, tmp_path):
    for k in range(5):
        Image.new("L", (6, 6), k).save(tmp_path / f"{k}.png")
    with pytest.raises(InputError, match="expected grey, as in train, found colours; add"):
        ready(tmp_path, test=str(animals))
    assert ready(tmp_path, test=str(animals), colour="grey").test.x.shape == (24, 36)


def test_dim_images_are_remarked_on_and_white_can_be_set(tmp_path):
    for k in range(6):
        Image.fromarray(np.full((2, 2), k, np.uint8)).save(tmp_path / f"{k}.png")
    (line,) = [line for line in lines(ready(tmp_path, split_seed=1)) if "warning" in line]
    assert line.startswith("warning: data: the brightest pixel of all is ")
    assert line.endswith("add --data.white 5") or line.endswith("add --data.white 4")
    data = ready(tmp_path, white=5)
    assert not [line for line in lines(data) if "warning" in line]
    whole = torch.cat([data.train.x, data.val.x, data.test.x])[:, 0].sort().values
    assert whole.tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert data.preparation(torch.tensor([[5.0]])).item() == 1


def test_sizes_that_differ_need_one(animals, tmp_path):
    mixed = folder(tmp_path / "mixed", 4)
    Image.new("RGB", (9, 5)).save(mixed / "cats" / "zzz.png")
    with pytest.raises(InputError, match=r"zzz.png: expected 6x6, as 000.png has, found 5x9 \(2 s"):
        ready(mixed)
    assert ready(mixed, size=[4, 5]).image_shape == (4, 5, 3)
    assert ready(mixed, size=[4, 4], crop=True, colour="grey").image_shape == (4, 4)
    with pytest.raises(InputError, match=r"zzz.png: expected 6x6, as in train, found 5x9; add"):
        ready(animals, test=str(mixed))


def test_damaged_files_are_named_or_left_out(tmp_path):
    root = folder(tmp_path / "x", 4)
    cut(root / "cats" / "000.png", root / "cats" / "cut.png")
    (root / "dogs" / "empty.png").touch()
    with pytest.raises(InputError, match=r"dogs/empty.png: expected a whole image, found no bytes"):
        ready(root)
    (root / "dogs" / "empty.png").unlink()
    for cache in ("memory", "none"):
        with pytest.raises(InputError, match=r"cats/cut.png: .*truncated.*--data.damaged skip"):
            ready(root, cache=cache)
    (root / "dogs" / "empty.png").touch()
    data = ready(root, damaged="skip", cache="none")
    assert len(data.train) + len(data.val) + len(data.test) == 8
    said = "\n".join(lines(data))
    assert "1 damaged file is left out: " in said
    assert "cut.png (image file is truncated" in said
    assert "empty.png (no bytes)" in said
    for path in list(root.rglob("*.png")):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="name a folder with whole images"):
        ready(root, damaged="skip")


def test_images_beside_the_folders_of_classes(tmp_path):
    root = folder(tmp_path / "x", 4)
    (root / "cats" / "000.png").rename(root / "stray.png")
    with pytest.raises(InputError, match=r"stray.png: expected all images in subfolders"):
        ready(root)
    data = ready(root, classes=False)
    assert data.train.y is None
    assert data.n_classes == 0


def test_classes_that_are_numbers_come_in_their_order(tmp_path):
    data = ready(folder(tmp_path / "x", 3, ("10", "9", "2")))
    assert data.class_names == ["2", "9", "10"]


def test_one_pixel_an_image(tmp_path):
    for k in range(8):
        Image.new("L", (1, 1), 30 * k).save(tmp_path / f"{k}.png")
    main([*FIT, "--data.train", str(tmp_path), "--pictures_every", "-1"])


def test_few_images(tmp_path):
    for k in range(3):
        Image.new("L", (2, 2), k).save(tmp_path / f"{k}.png")
    with pytest.raises(InputError, match="expected 4 images or more, found 3"):
        ready(tmp_path)
    Image.new("L", (2, 2), 9).save(tmp_path / "3.png")
    assert len(ready(tmp_path).train) == 2
    with pytest.raises(InputError, match="val_size: expected 1 or fewer of 4 images: as many"):
        ready(tmp_path, val_size=2)


def test_a_run_in_colour_from_config_to_test(animals, capsys):
    main([*FIT, "--data.train", str(animals), "--pictures_every", "0", "--name", "run"])
    out = capsys.readouterr().out
    assert "animals (22 + 2 images of 6x6 in colour, 8 bits) · 108→8→3→8→108" in out
    run = Path("lightning_logs/run/version_0")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["sizes"] == [108, 8, 3]
    named = config["data"]["init_args"]
    assert (named["train"], named["size"], named["colour"]) == (str(animals), [6, 6], "rgb")
    images = np.load(run / "finetune" / "reconstructions.npz")["images"]
    assert images.shape[-3:] == (6, 6, 3)
    verb("test", run)
    main([*FIT, "--data.train", str(animals), "--data.cache", "none", "--pictures_every", "-1"])
    others = Path("lightning_logs/sae/version_0")
    first, second = (read_weights(x / "finetune/weights.safetensors") for x in (run, others))
    assert all(first[name].equal(second[name]) for name in first)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--data.size", "[4]"], "data.size: expected height and width, found [4]"),
        (["--data.size", "[4, 0]"], "data.size[1]: expected an integer of 1 or more"),
        (["--data.crop", "true"], "data.crop: expected a size to crop to"),
        (["--data.colour", "sepia"], "data.colour: expected one of auto, grey, rgb"),
        (["--data.bits", "12"], "data.bits: expected 8, 16 or null, found 12"),
        (["--data.white", "0"], "data.white: expected an integer of 1 or more"),
        (["--data.damaged", "mend"], "data.damaged: expected one of error, skip"),
        (["--data.cache", "disk"], "data.cache: expected one of auto, memory, none"),
        (["--data.val_size", "12"], "data.val_size: expected 11 or fewer of 24 images"),
        (["--data.train", "nowhere"], "nowhere: expected a folder of images, found none"),
    ],
)
def test_wrong_options_are_one_sentence(words, sentence, animals, capsys):
    assert sentence in refusal(capsys, *FIT, "--data.train", str(animals), *words)
    assert not Path("lightning_logs").exists()


def test_a_file_that_is_cut_short_while_a_run_reads_it_is_named(tmp_path):
    data = ready(folder(tmp_path / "x", 4), cache="none")
    assert isinstance(data.train.x, WithoutRows)
    assert isinstance(data.train.x.rows, WithoutRows)
    assert isinstance(data.train.x.rows.rows, ImageRows)
    data.paths[0].write_bytes(b"")
    with pytest.raises(InputError, match="expected the same file as when the run began"):
        data.check_unchanged()


def test_images_with_too_many_pixels_get_a_proposal(tmp_path):
    for k in range(4):
        Image.new("1", (1600, 1200)).save(tmp_path / f"{k}.png")
    with pytest.raises(InputError, match=r"size: .* found 1200x1600; write --data.size \[48,64\]"):
        ready(tmp_path)


def test_a_run_works_on_other_images_as_it_read_its_own(animals, tmp_path, capsys):
    main([*FIT, "--data.train", str(animals), "--data.white", "239", "--pictures_every", "-1"])
    run, other = "lightning_logs/sae/version_0", folder(tmp_path / "new", 2, ("birds",), side=8)
    Image.new("L", (3, 3), 80).save(other / "birds" / "grey.png")
    capsys.readouterr()
    main(["reconstruct", "--run", run, "--input", str(other), "--output", "rebuilt"])
    assert capsys.readouterr().out.splitlines()[0] == "input: 3 of 3 images are resized to 6x6"
    names = sorted(path.name for path in Path("rebuilt").iterdir())
    assert names == ["birds-000.png", "birds-001.png", "birds-grey.png"]
    assert Image.open("rebuilt/birds-000.png").size == (6, 6)
    assert Image.open("rebuilt/birds-000.png").mode == "RGB"
    main(["encode", "--run", run, "--input", str(animals), "--output", "codes.csv"])
    table = Path("codes.csv").read_text().splitlines()
    assert len(table) == 25
    assert table[1].startswith('"cats/000.png",')
    run_of = load_run(run)
    data = ready(animals, white=239)
    codes = run_of.encode((data.train.x * 239).round())
    assert codes.allclose(run_of.stack.encode(data.train.x), atol=1e-6)


def test_images_are_counted_by_kind_and_size_and_of_many_sizes_the_range_is_told(animals, tmp_path):
    assert ready(animals).details() == ["24 images of 6x6: RGB"]
    for k in range(20):
        Image.new("L", (k + 1, 30 - k)).save(tmp_path / f"{k}.png")
    line = "20 images in 20 sizes, 11 to 30 high and 1 to 20 wide: grey"
    assert ready(tmp_path, size=[4, 4]).details() == [line]
