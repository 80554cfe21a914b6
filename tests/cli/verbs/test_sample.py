"""``sample``: new images from a finished run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from helpers import ROOT

from sae.cli.command import main
from sae.pictures.samples import new_samples
from sae.run.model import read_run

LAYERS = '[{"kind": "dense", "units": 6}, {"kind": "variational", "units": 3}]'


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run of a variational autoencoder."""
    folder = tmp_path_factory.mktemp("variational")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["fit", "--config", str(ROOT / "configs" / "variational.yaml"), "--name", "run"]
        words += ["--data", "DigitsDataModule", "--model.layers", LAYERS, "--finetune.epochs", "1"]
        main([*words, "--pictures_every", "-1", "--model.objective", "elbo"])
    return folder / "lightning_logs" / "run" / "version_0"


def test_it_writes_a_picture_and_the_numbers(run, capsys):
    main(["sample", "--run", str(run), "--n", "10", "--output", "new.png"])
    assert capsys.readouterr().out == "samples: new.png, new.npy\n"
    images = np.load("new.npy")
    assert images.shape == (10, 28, 28)
    _, pixels = new_samples(read_run(run).stack, 10, seed=0)
    np.testing.assert_array_equal(images.reshape(10, -1), pixels)
    shades = np.asarray(PIL.Image.open("new.png"))
    assert shades.shape == (3 * 29 + 1, 4 * 29 + 1)
    np.testing.assert_array_equal(shades[1:29, 30:58], np.round(images[1] * 255))


def test_it_goes_into_the_runs_folder_unless_told_otherwise(run):
    main(["sample", "--run", str(run)])
    assert len(np.load(run / "new_samples.npy")) == 100
    assert (run / "new_samples.png").is_file()


def test_what_is_there_is_replaced_only_when_asked(run, capsys):
    words = ["sample", "--run", str(run), "--n", "2", "--output", "new.png"]
    Path("new.npy").write_bytes(b"mine")
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "the name of a new file or folder, found 'new.npy'" in capsys.readouterr().err
    assert Path("new.npy").read_bytes() == b"mine"
    assert not Path("new.png").exists()
    main([*words, "--overwrite", "true"])
    assert np.load("new.npy").shape == (2, 28, 28)


def test_another_seed_draws_other_images(run):
    for seed in ("1", "2"):
        main(["sample", "--run", str(run), "--n", "4", "--seed", seed, "--output", f"{seed}.png"])
    assert not np.array_equal(np.load("1.npy"), np.load("2.npy"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--n", "0"], "n: expected an integer of 1 or more"),
        (["--n", "many"], "n"),
        (["--seed", "-1"], "seed: expected an integer of 0 or more"),
        (["--output", "new.jpg"], "output: expected a .png in an existing folder"),
        (["--output", "nowhere/new.png"], "output: expected a .png in an existing folder"),
        (["--run", "nowhere"], "run: expected a file manifest.json in 'nowhere', found none"),
        ([], "run"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(words, says, run, capsys):
    given = ["--run", str(run)] if words and "--run" not in words else []
    with pytest.raises(SystemExit) as stopped:
        main(["sample", *given, *words])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert says in error
    assert len(error.splitlines()) == 1


def test_a_code_without_a_prior_is_refused(finished, capsys):
    folder, _ = finished
    with pytest.raises(SystemExit) as stopped:
        main(["sample", "--run", str(folder)])
    assert stopped.value.code == 2
    assert "a variational layer at the top, found a code of another kind (dense)" in (
        capsys.readouterr().err
    )
    assert not (folder / "new_samples.png").exists()


def test_the_codes_are_of_no_global_seed(run):
    torch.manual_seed(1)
    main(["sample", "--run", str(run), "--n", "2", "--output", "a.png"])
    torch.manual_seed(2)
    main(["sample", "--run", str(run), "--n", "2", "--output", "b.png"])
    assert Path("a.npy").read_bytes() == Path("b.npy").read_bytes()
