from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import yaml
from helpers import ROOT

from sae.cli.command import main
from sae.data import ArrayDataModule, DigitsDataModule, TensorLoader
from sae.data.loader import Survey
from sae.data.remarks import remarks, too_fast
from sae.training.plan import PhaseResult
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder

R = np.random.default_rng(0)
X = R.random((600, 36))
STANDARD = R.standard_normal((600, 36))
TABLE = np.column_stack([
    R.normal(8, 1.7, 600), R.normal(0.5, 0.2, 600), R.normal(46, 33, 600),
    R.normal(0.997, 0.002, 600), np.full(600, 3.0),
])  # fmt: skip


def warned(x: np.ndarray | str, **kwargs) -> list[str]:
    if not isinstance(x, str):
        np.save("x.npy", x)
        x = "x.npy"
    data = ArrayDataModule(x, val_size=50, **kwargs)
    data.setup()
    lines = data.remarks(data.train_dataloader().survey())
    return [line for line in lines if line.startswith("warning: ")]


def follow(line: str) -> None:
    code = re.search(r"x = numpy\.load.*\)", line)
    assert code is not None
    exec(code[0], {"numpy": np})


@pytest.mark.parametrize(("levels", "words"), [(2, "2"), (16, "16")])
def test_pixels_far_below_255_are_pointed_out_with_code_that_mends_it(levels, words):
    x = (X * (levels + 0.99)).astype(np.uint8)
    (line,) = warned(x)
    assert re.search(f"divided by 255, but the greatest value is {words}, so all", line)
    follow(line)
    np.testing.assert_allclose(np.load("x_scaled.npy"), x / levels, atol=1e-7)
    assert warned("x_scaled.npy") == []


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_0_and_1_alone_are_taken_as_they_are(dtype):
    x = (X > 0.5).astype(dtype)
    assert warned(x) == []
    data = ArrayDataModule("x.npy", val_size=50)
    data.setup()
    train = data.train_dataloader()
    assert data.remarks(train.survey()) == [f"data: {x.dtype} of only 0 and 1, not scaled"]
    assert data.preparation.settings == {"divisor": 1}
    loaders = (train, data.val_dataloader(), data.test_dataloader())
    rows = torch.cat([part for each in loaders for part in each.whole()])
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, x.astype(float).tolist()))


def test_a_single_2_makes_them_bytes_like_others():
    x = (X > 0.5).astype("u1")
    x[-1, -1] = 2
    (line,) = warned(x)
    assert "uint8 is divided by 255" in line


ORDINARY = {
    "pixels": (X * 256).astype(np.uint8),
    "dark pixels": (X * 140).astype(np.uint8),
    "floats in [0, 1]": X,
    "16 bits": (X * 65535).astype(np.uint16),
    "floats of which some hardly vary": X * np.geomspace(1e-4, 1, 36),
    "standardised": STANDARD,
    "standardised, heavy tails": STANDARD**3 / np.sqrt(15),
    "all the same": np.ones((600, 36)),
}


@pytest.mark.parametrize("x", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_samples_give_no_warning(x):
    assert warned(x) == []


def test_columns_in_units_of_their_own_are_named_with_code_that_standardises_them():
    (line,) = warned(TABLE.astype(np.float32))
    assert "differ by orders of magnitude (standard deviation 0.002 in column 3, 3" in line
    assert " in column 2), so the largest ones dominate the squared error" in line
    follow(line)
    scaled = np.load("x_scaled.npy")
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(scaled.std(axis=0), [1, 1, 1, 1, 0], atol=1e-3)
    assert warned("x_scaled.npy") == []


def test_values_far_from_the_start_of_all_weights_are_named():
    (line,) = warned(STANDARD * 2 + 1000)
    assert "values are far outside [0, 1] (column" in line
    follow(line)
    assert warned("x_scaled.npy") == []


def test_a_test_file_is_to_be_scaled_alike():
    np.save("test.npy", TABLE)
    (line,) = warned(TABLE, test="test.npy")
    assert line.endswith("; do the same for test with the m and s of train")


def test_it_is_said_before_the_training(capsys):
    np.save("x.npy", (X * 16.99).astype(np.uint8))
    command = ["fit", "--model.sizes", "[36, 4]", "--data", "ArrayDataModule", "--data.val_size"]
    command += ["50", "--data.train", "x.npy", "--pretrain.epochs", "1", "--finetune.epochs", "0"]
    main([*command, "--pictures_every", "-1"])
    lines = capsys.readouterr().out.splitlines()
    said = [line.startswith(("data: uint8, divided by 255", "warning: data: ")) for line in lines]
    stage = next(k for k, line in enumerate(lines) if line.startswith("stage 1"))
    assert sum(said[:stage]) == 2


def faces(n: int = 96, wide: int = 8000) -> torch.Tensor:
    """Bright images that differ by a few patterns."""
    draw = torch.Generator().manual_seed(0)
    patterns = torch.randn(4, wide, generator=draw)
    x = 0.5 + 0.05 * torch.randn(n, 4, generator=draw) @ patterns
    return x.clamp(0, 1)


def trained(x: torch.Tensor, rate: float) -> PhaseResult:
    model = StackedAutoencoder([x.shape[1], 8], activation="tanh")
    train = TensorLoader(x[:64], None, 16, shuffle=True)
    pretrainer = GreedyPretrainer([Recipe(epochs=4, lr=rate)], Recipe(epochs=0))
    (result,) = pretrainer.fit(model, train, TensorLoader(x[64:], None, 32))
    return result


def test_a_rate_too_high_for_so_many_inputs_is_named_with_one_that_helps():
    x = faces()
    seen = TensorLoader(x).survey()
    (line,) = too_fast(seen, {"pretrain.lr": 0.01, "finetune.lr": 0.001})
    assert line.startswith("warning: pretrain.lr: the 8,000 inputs add up to 4,0")
    better = float(line.rpartition(" ")[2])
    assert list(too_fast(seen, {"pretrain.lr": better})) == []
    assert any("saturated" in sentence for sentence in trained(x, 0.01).warnings)
    assert not any("saturated" in sentence for sentence in trained(x, better).warnings)
    assert trained(x, better).loss < trained(x, 0.01).loss


@pytest.mark.parametrize("config", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_ready_made_rates_fit_their_data(config):
    options = yaml.safe_load(config.read_text(encoding="utf-8"))
    keys = [key for key in ("pretrain", "finetune") if "lr" in options.get(key, {})]
    rates = {f"{key}.lr": options[key]["lr"] for key in keys}
    assert rates
    data = DigitsDataModule()
    data.setup()
    assert list(too_fast(data.train_dataloader().survey(), rates)) == []


def test_a_run_says_so_before_it_trains(capsys):
    np.save("x.npy", np.full((90, 900), 0.9) * R.random((90, 1)))
    command = ["fit", "--model.sizes", "[900, 4]", "--data", "ArrayDataModule", "--data.val_size"]
    command += ["20", "--data.train", "x.npy", "--pretrain.epochs", "1", "--finetune.epochs", "1"]
    main(
        [*command, "--pictures_every", "-1", "--pretrain.lr", "0.1", "--finetune.optimizer", "sgd"]
    )
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("warning: pretrain.lr: the 900 inputs")


def test_digits_have_nothing_to_be_said_of():
    data = DigitsDataModule()
    data.setup()
    seen = data.train_dataloader().survey()
    assert data.remarks(seen) == []
    assert seen.peak == 255


def test_the_survey_knows_each_columns_deviation_and_is_taken_once():
    np.save("x.npy", TABLE)
    data = ArrayDataModule("x.npy", val_size=50)
    data.setup()
    loader = data.train_dataloader()
    seen = loader.survey()
    rows = data.train.x[:].double().numpy()
    np.testing.assert_allclose(seen.std, rows.std(axis=0), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(seen.mean, rows.mean(axis=0), rtol=1e-6)
    assert loader.survey() is seen


def test_twelve_bits_in_sixteen_are_pointed_out():
    seen = Survey(torch.rand(3), 0.0, 4095 / 65535, std=torch.rand(3))
    (line,) = remarks(seen, lambda x, before: x, "uint16")
    assert "uint16 is divided by 65,535, but the greatest value is 4095" in line
    assert line.endswith("divide by 4095 yourself: x / 4095")
    assert not list(remarks(Survey(torch.rand(3), 0.0, 0.9, std=torch.ones(3)), str, "uint16"))
