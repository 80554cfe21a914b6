"""``denoise``: corrupted samples restored, and how well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, read, refusal
from plugins.source import Blobs

from sae.cli.command import main
from sae.run.model import load_run

NOISE = '{"kind": "gaussian", "level": 0.3}'


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run that restores images of 8x8 pixels."""
    folder = tmp_path_factory.mktemp("denoising")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["fit", "--config", str(ROOT / "configs" / "denoising.yaml"), "--name", "run"]
        words += ["--data", "plugins.source.Blobs", "--model.sizes", "[64, 16]"]
        words += ["--pretrain.epochs", "1", "--finetune.epochs", "10", "--finetune.lr", "0.02"]
        words += ["--pretrain.corruption", NOISE, "--finetune.corruption", NOISE]
        main([*words, "--pictures_every", "-1", "--trainer.logger", "false"])
    return folder / "lightning_logs" / "run" / "version_0"


@pytest.fixture
def images(run) -> tuple[np.ndarray, list[str]]:
    """Clean images, and the words for theirs under noise."""
    data = Blobs()
    data.setup()
    clean = data.test.x.numpy().reshape(-1, 8, 8)
    noise = np.random.default_rng(0).normal(0, 0.3 * 255, clean.shape)
    np.save("clean.npy", clean)
    np.save("noisy.npy", (clean + noise).astype(np.float32))
    return clean, ["denoise", "--run", str(run), "--input", "noisy.npy", "--output"]


def test_restorations_are_closer_to_the_clean_images(run, images, capsys):
    clean, words = images
    main([*words, "y.npy"])
    assert capsys.readouterr().out == "restorations: y.npy (100 samples)\n"
    restored, noisy = np.load("y.npy"), np.load("noisy.npy")
    np.testing.assert_array_equal(restored, load_run(run).denoise(noisy))
    before, after = (np.square(x - clean).mean() for x in (noisy, restored))
    assert after < before / 2


def test_with_the_clean_images_it_says_how_well(images, capsys):
    clean, words = images
    main([*words, "y.npy", "--clean", "clean.npy"])
    said = capsys.readouterr().out
    assert "100 images" in said
    found = {}
    for name in ("corrupted images", "their restorations", "a 3x3 median filter", "PCA-16"):
        (line,) = (line for line in said.splitlines() if f"PSNR of {name}" in line)
        found[name] = float(line.split()[-1])
    for name, x in (("corrupted images", "noisy.npy"), ("their restorations", "y.npy")):
        mse = np.square((np.load(x) - clean) / 255).mean()
        assert found[name] == pytest.approx(-10 * np.log10(mse), abs=0.01)
    assert found["their restorations"] > found["a 3x3 median filter"] > found["corrupted images"]
    assert "SSIM" not in said, "the images are too small for it"


def test_the_run_tells_the_same_of_its_test_images(run):
    """Each error as a PSNR, of the same noise as the SSE beside it."""
    summary = read(run, "summary.json")
    test = summary["test"]
    for name, sse in (("corrupted_psnr", "corrupted_sse"), ("restored_psnr", "denoised_sse")):
        assert test[name] == pytest.approx(-10 * np.log10(test[sse] / 64), abs=1e-3)
    assert test["restored_psnr"] > test["median_psnr"]
    assert "pca_psnr" in test
    labels = [label for label, _ in summary["table"]]
    assert "PSNR of corrupted test images, dB" in labels
    assert "PSNR of their restorations, dB" in labels


@pytest.mark.parametrize(
    ("clean", "says"),
    [
        (np.zeros((99, 8, 8), np.uint8), "clean: expected 100 samples, as in the input, found 99"),
        (np.full((100, 8, 8), 0.5), "clean: expected values from 0 to 255"),
        (np.zeros((100, 9), np.uint8), "few.npy: expected samples of 64 values"),
    ],
)
def test_other_clean_images_are_refused(images, clean, says, capsys):
    np.save("few.npy", clean)
    assert refusal(capsys, *images[1], "y.npy", "--clean", "few.npy").startswith(says)
    assert not Path("y.npy").exists()


def test_a_run_that_was_not_trained_to_is_refused(finished, images, capsys):
    words = ["--run", str(finished[0]), "--input", "noisy.npy", "--output", "y.npy"]
    assert "a run that was trained to denoise" in refusal(capsys, "denoise", *words)
