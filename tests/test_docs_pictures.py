"""The command that makes the pictures of the README and the pages."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from drawn import check_words
from helpers import ROOT, fit
from matplotlib.colors import to_rgb

from sae.pictures.numbers import load
from sae.pictures.style import CLASSES

WANTED = ["rebuilt", "stacked", "sparse", "denoising", "samples", "plane", "codes", "scatter"]
WANTED += ["confusion", "tensorboard"]


def script():
    spec = importlib.util.spec_from_file_location("docs_pictures", ROOT / "docs" / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PICTURES = script()


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A short run for each config that the pictures are made of, on digits."""
    folder = tmp_path_factory.mktemp("runs")
    noise = '{"kind": "masking", "level": 0.3}'
    short = ["--trainer.logger", "false", "--pretrain.epochs", "1", "--finetune.epochs", "1"]
    short += ["--model.sizes", "[784, 8, 2]", "--pretrain.sparsity", '{"rho": 0.1}']
    short += ["--finetune.sparsity", '{"rho": 0.1}', "--finetune.corruption", noise]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        first = fit(*short, "--pictures_every", "0")
    lightning = (folder / first).parents[1]
    # Of a classifier and of a variational code there are none: made by hand.
    for config in {config for config, _, _ in PICTURES.PICTURES.values()}:
        shutil.copytree(folder / first, lightning / config / "version_0")
    rng = np.random.default_rng(0)
    np.savez(
        lightning / "classify/version_0/finetune/confusion.npz",
        title="Confusion · a classifier",
        subtitle="digits, validation images",
        counts=rng.integers(0, 40, (10, 10)),
        classes=np.arange(10),
        mistakes=rng.random((12, 28, 28)),
        labels=np.arange(12) % 10,
        predicted=np.arange(12) % 9,
        probability=rng.random(12),
    )
    images = rng.random((100, 28, 28)).astype(np.float32)
    np.savez(lightning / "variational/version_0/finetune/samples.npz", images=images)
    return lightning


@pytest.mark.parametrize("name", WANTED[:-1])
def test_a_picture_is_small_opaque_and_readable(name, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(PICTURES, "ROOT", tmp_path)
    monkeypatch.setattr(PICTURES, "FOLDER", tmp_path)
    PICTURES.main(["--only", name, "--runs", str(runs)])
    assert capsys.readouterr().out.startswith(f"{name}.png: ")
    path = tmp_path / f"{name}.png"
    assert path.stat().st_size <= 150_000
    with PIL.Image.open(path) as image:
        assert image.mode == "P"
        assert 640 <= image.width <= 1600
        pixels = np.asarray(image.convert("RGBA"))
    assert pixels[0, 0, 3] == 0, "round corners"
    assert (pixels[20:-20, 20:-20, 3] == 255).all(), "opaque"
    edge = pixels[3, 40:-40, :3]
    assert (edge > 245).all(), "a margin that is nearly white"
    assert pixels[..., :3].std() > 10, "blank"
    config, file, draw = PICTURES.PICTURES[name]
    figure = draw(load(runs / config / "version_0" / file))
    check_words(name, figure)
    words = [text for text in figure.findobj(lambda a: hasattr(a, "get_fontsize"))]
    shown = 280 / 3.2 if figure.get_figwidth() < 4 else 800 / figure.get_figwidth()
    sizes = [text.get_fontsize() * shown / 72 for text in words if text.get_text()]
    assert min(sizes, default=10) >= 9.5, "pixels high, as a page shows it"


def test_what_is_there_is_left_as_it_is(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(PICTURES, "ROOT", tmp_path)
    monkeypatch.setattr(PICTURES, "FOLDER", tmp_path)
    for name in WANTED:
        (tmp_path / f"{name}.png").write_text("mine")
    PICTURES.main(["--runs", str(runs)])
    assert capsys.readouterr().out == ""
    assert {path.read_text() for path in tmp_path.glob("*.png")} == {"mine"}


def test_a_run_that_is_missing_is_named(tmp_path, capsys):
    for words in (["--only", "sparse", "--runs", str(tmp_path)], ["--only", "sparrow"]):
        with pytest.raises(SystemExit) as end:
            PICTURES.main(words)
        assert end.value.code == 2
    told = capsys.readouterr().err
    assert f"no finished run of sparse.yaml in {tmp_path}" in told
    assert "'sparrow'" in told


def test_the_colours_of_classes_survive(tmp_path):
    """Chosen by how often they occur, those of a few thin lines become grey."""
    image = PIL.Image.new("RGB", (700, 400), PICTURES.PAPER)
    for k, name in enumerate(CLASSES):
        image.putpixel((100 + k, 100), tuple(round(255 * part) for part in to_rgb(name)))
    PICTURES.write(image, tmp_path / "few.png")
    with PIL.Image.open(tmp_path / "few.png") as made:
        shown = [made.convert("RGB").getpixel((100 + k, 100)) for k in range(len(CLASSES))]
    np.testing.assert_allclose(np.array(shown) / 255, [to_rgb(name) for name in CLASSES], atol=0.01)


def test_all_pictures_are_in_the_repository_and_small():
    folder = ROOT / "docs" / "pictures"
    assert {path.stem for path in folder.glob("*.png")} == set(WANTED)
    assert [*PICTURES.PICTURES, PICTURES.BOARD] == WANTED
    for path in folder.glob("*.png"):
        assert path.stat().st_size <= 150_000, path.name
        with PIL.Image.open(path) as image:
            assert image.width <= 1600
