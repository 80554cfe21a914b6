from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT, clone_state, randomised, same_state, tiny_scene
from killing import at_call, differences, outcome, run
from torch.utils.flop_counter import FlopCounterMode

from sae.data import TensorLoader
from sae.data.rows import encode_rows
from sae.errors import InputError
from sae.nets.build import build_stack
from sae.nets.conv import Conv
from sae.pictures import features
from sae.pictures.gallery import ours
from sae.pictures.scene import Scene
from sae.run.checkpoint_io import WholeFileIO, read_weights
from sae.terms.corruption import Corruption
from sae.training.handover import CodesInMemory, CodesNotKept, CodesOnDisk
from sae.training.plan import Journal
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder

# Even and odd, high and wide, grey and coloured; kernels of an even size and steps that leave some.
CASES = [
    {"in_shape": (8, 8), "channels": 3},
    {"in_shape": (7, 9), "channels": 2},
    {"in_shape": (6, 5, 3), "channels": 4, "kernel": 3},
    {"in_shape": (9, 8, 2), "channels": 3, "kernel": 4},
    {"in_shape": (11, 7), "channels": 2, "kernel": 3, "stride": 3},
    {"in_shape": (5, 5, 2), "channels": 3, "kernel": 3, "stride": 1},
]
LINEAR = {"activation": "identity", "output": "identity"}


def by_definition(layer: Conv, x: np.ndarray) -> np.ndarray:
    """The code of an image, (height, width, channels) both, place by place."""
    weight = layer.weight.detach().double().numpy()
    margin = (layer.kernel - 1) // 2
    framed = np.pad(x, ((margin, layer.kernel), (margin, layer.kernel), (0, 0)))
    code = np.zeros(layer.code_shape)
    for row, column, channel in np.ndindex(*code.shape):
        top, left = row * layer.stride, column * layer.stride
        under = framed[top : top + layer.kernel, left : left + layer.kernel]
        code[row, column, channel] = (under * weight[channel].transpose(1, 2, 0)).sum()
    return code + layer.bias.detach().double().numpy()


@pytest.mark.parametrize("case", CASES)
def test_a_code_is_that_of_the_definition(case):
    layer = randomised(Conv(**case, **LINEAR)).double()
    x = np.random.default_rng(0).random((4, layer.n_in))
    expected = [by_definition(layer, image.reshape(layer.image)) for image in x]
    found = layer.encode(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, np.reshape(expected, (4, -1)), atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_the_decoder_is_the_transpose(case):
    """x^ = Mᵀ h + b', where M is the matrix of the encoder, for equal weights."""
    layer = randomised(Conv(**case, **LINEAR)).double()
    with torch.no_grad():
        layer.decoder_weight.copy_(layer.weight)
        zero, every = torch.zeros(1, layer.n_in).double(), torch.eye(layer.n_in).double()
        matrix = layer.encode(every) - layer.encode(zero)  # (n_in, n_code)
        h = torch.rand(5, layer.n_code).double()
        bias = layer.decoder_bias.repeat(layer.n_in // layer.image[2])  # the channels come last
        torch.testing.assert_close(layer.decode(h), h @ matrix.t() + bias)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_sizes_divide_and_the_decoder_gives_the_input_shape_back(kernel, stride):
    for height in range(5, 13):
        layer = Conv((height, 5), 2, kernel, stride)
        if kernel % 2:
            assert layer.code_shape == (math.ceil(height / stride), math.ceil(5 / stride), 2)
        assert layer(torch.rand(3, height * 5)).shape == (3, height * 5)
        assert layer.encode(torch.rand(3, height * 5)).shape == (3, layer.n_code)


def test_units_are_applied():
    layer = randomised(Conv((6, 6), 2, activation="tanh", output="sigmoid"))
    linear = Conv((6, 6), 2, **LINEAR)
    linear.load_state_dict(layer.state_dict())
    x = torch.rand(3, 36)
    h = layer.encode(x)
    torch.testing.assert_close(h, linear.encode(x).tanh())
    torch.testing.assert_close(layer.decode(h), linear.decode(h).sigmoid())


def test_tied_weights_are_one_parameter():
    layer = randomised(Conv((6, 6), 2, tied=True, **LINEAR))
    assert {name for name, _ in layer.named_parameters()} == {"weight", "bias", "decoder_bias"}
    free = Conv((6, 6), 2, **LINEAR)
    free.load_state_dict({**layer.state_dict(), "decoder_weight": layer.weight})
    x = torch.rand(3, 36)
    assert torch.equal(layer(x), free(x))


@pytest.mark.parametrize("unit", ["sigmoid", "tanh", "silu", "identity"])
def test_initial_weights_come_from_the_generator_with_the_spread_of_glorot(unit):
    """gain² · 2 / (m + n): 3·25 products make a unit, and 64·25/4 a reconstructed input."""
    layer = Conv((32, 32, 3), 64, activation=unit, output="identity")
    layer.reset_parameters(torch.Generator().manual_seed(3))
    first = layer.weight.clone()
    torch.manual_seed(99)
    layer.reset_parameters(torch.Generator().manual_seed(3))
    assert torch.equal(layer.weight, first)
    variance = 2 / (3 * 25 + 64 * 25 / 4)
    gain = {"sigmoid": 4, "tanh": 1, "silu": 2, "identity": 1}[unit]
    assert layer.weight.var().item() == pytest.approx(gain * variance, rel=0.05)
    assert layer.decoder_weight.var().item() == pytest.approx(variance, rel=0.05)
    assert not layer.bias.any()
    assert not layer.decoder_bias.any()


@pytest.mark.parametrize("output", ["sigmoid", "tanh", "relu", "identity"])
def test_no_code_at_all_gives_the_mean_of_each_channel(output):
    layer = Conv((6, 6, 2), 3, output=output)
    mean = torch.linspace(0.05, 0.9, 36).repeat_interleave(2)
    mean[1::2] /= 2
    layer.start_at_mean(mean)
    found = layer.decode(torch.zeros(1, layer.n_code))[0]
    assert torch.allclose(found[0::2], torch.tensor(0.475), atol=1e-5)
    assert torch.allclose(found[1::2], torch.tensor(0.2375), atol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("unit", ["sigmoid", "tanh", "silu", "identity"])
def test_initial_weights_are_fitted_to_inputs_of_any_size(unit, tied):
    generator = torch.Generator().manual_seed(0)
    x = 40 + 7 * torch.randn(500, 72, generator=generator)
    layer = Conv((6, 6, 2), 4, kernel=3, activation=unit, output="identity", tied=tied)
    layer.reset_parameters(generator)
    direction, mean = layer.weight.clone(), x.mean(dim=0)
    layer.fit_start(x, mean)
    z = linear_part(layer, x - mean)
    assert z.std(correction=0).item() == pytest.approx(0.25, rel=1e-4)
    of_mean = linear_part(layer, mean[None]) + layer.bias
    assert of_mean.mean(dim=(0, 1, 2)).abs().max() < 1e-3
    with torch.no_grad():
        given = layer.decode(layer.encode(x).mean(dim=0)[None])[0] - mean
    assert given.view(36, 2).mean(dim=0).abs().max() < 1e-3
    scale = layer.weight / direction
    assert torch.allclose(scale, scale[0, 0, 0, 0].expand_as(scale), rtol=1e-4)


def linear_part(layer: Conv, x: torch.Tensor) -> torch.Tensor:
    """W * x, without the bias and the unit, (n, height', width', channels)."""
    linear = Conv(layer.in_shape, layer.code_shape[2], layer.kernel, layer.stride, **LINEAR)
    with torch.no_grad():
        linear.weight.copy_(layer.weight)
        return linear.encode(x).unflatten(1, layer.code_shape)


def test_inputs_that_do_not_vary_leave_the_initial_weights_finite():
    layer = Conv((6, 6), 2, activation="silu", output="identity")
    before, x = layer.weight.clone(), torch.full((10, 36), 3.0)
    layer.fit_start(x, x[0])
    assert torch.equal(layer.weight, before)
    with torch.no_grad():
        assert (layer(x) - x).mean().abs() < 1e-4


@pytest.mark.parametrize("case", [*CASES, {"in_shape": (28, 28), "channels": 16}])
def test_codes_of_few_rows_have_the_bits_of_those_of_many(case):
    layer = Conv(**case)
    x = torch.rand(2048, layer.n_in)
    whole = encode_rows(layer, x)
    torch.testing.assert_close(whole, layer.encode(x).detach())
    for n in (1, 7, 100, 257, 1000):
        index = torch.randperm(len(x))[:n]
        assert torch.equal(encode_rows(layer, x[index]), whole[index])


@pytest.mark.parametrize("case", CASES)
def test_products_are_those_that_torch_counts(case):
    """It counts two operations for each, and leaves out the biases."""
    layer = Conv(**case)
    with FlopCounterMode(display=False) as count, torch.no_grad():
        layer(torch.rand(1, layer.n_in))
    assert layer.multiply_adds() - layer.n_code - layer.n_in == count.get_total_flops() / 2


def test_kernels_are_shown_in_a_shape_of_their_own():
    layer = Conv((8, 8, 3), 5)
    shown = layer.first_weights()
    assert list(shown) == ["encoder kernels", "decoder kernels"]
    assert shown["encoder kernels"].shape == (5, 5, 5, 3)
    assert torch.equal(shown["decoder kernels"][4, 1, 2], layer.decoder_weight[4, :, 1, 2])
    assert Conv((8, 8), 5).first_weights()["encoder kernels"].shape == (5, 5, 5)
    assert Conv((8, 8, 16), 5).first_weights() is None


def test_one_unit_of_each_channel_is_shown_in_the_middle():
    layer = randomised(Conv((8, 8), 3, **LINEAR))
    units = list(layer.units_to_show(100))
    places = torch.arange(layer.n_code).view(layer.code_shape)
    assert units == places[2, 2].tolist()
    assert list(layer.units_to_show(2)) == units[:2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"in_shape": 784}, "kind: expected images as the input of a conv layer, found 784 feat"),
        ({"in_shape": (2, 2, 2, 2)}, "found a shape [2, 2, 2, 2]"),
        ({"in_shape": (4, 28)}, "kernel: expected at most 4, for images of 4x28, found 5"),
        ({"kernel": 3, "stride": 4}, "stride: expected at most the kernel, 3, found 4"),
        ({"kernel": 0}, "kernel: expected an integer of 1 or more, found 0"),
        ({"stride": 1.5}, "stride: expected an integer of 1 or more, found 1.5"),
        ({"channels": 0}, "channels: expected an integer of 1 or more, found 0"),
        ({"channels": 10**9}, "channels: expected an integer of at most 10000"),
        ({"activation": "rellu"}, "activation: expected one of"),
        ({"tied": "yes"}, "tied: expected true or false, found 'yes'"),
    ],
)
def test_options_that_do_not_fit(options, words):
    with pytest.raises(InputError) as caught:
        Conv(**{"in_shape": (28, 28), "channels": 16, **options})
    assert words in str(caught.value)


def test_a_stack_takes_shapes_and_units_from_below():
    layers = [{"kind": "conv", "channels": 4}, {"kind": "conv", "channels": 6, "kernel": 3}]
    layers.append({"kind": "dense", "units": 5})
    stack = build_stack(input_shape=[9, 8], layers=layers, activation="tanh", tied=True)
    assert [layer.code_shape for layer in stack] == [(5, 4, 4), (3, 2, 6), (5,)]
    assert [layer.output for layer in stack] == ["sigmoid", "tanh", "tanh"]
    assert all(layer.tied for layer in stack)
    below = {"kind": "dense", "units": 3}
    with pytest.raises(InputError, match=r"layers\[1\]\.kind: .* found 3 features"):
        build_stack(input_shape=[9, 8], layers=[below, {"kind": "conv", "channels": 2}])


CONV_DENSE = [{"kind": "conv", "channels": 4, "kernel": 3}, {"kind": "dense", "units": 3}]


def scene(kind: str) -> Scene:
    return tiny_scene(kind, sizes=None, input_shape=[4, 3], layers=CONV_DENSE, activation="tanh")


@pytest.mark.parametrize("kind", ["stage1", "stage2", "stack"])
def test_every_picture_can_be_drawn(kind):
    for picture in ours():
        numbers = picture.numbers(scene(kind))
        if numbers is not None:
            assert picture.draw(numbers).axes or picture.draw(numbers).artists


def test_features_are_kernels_and_a_dead_channel_is_framed():
    seen = scene("stage1")
    layer = seen.stack[0]
    with torch.no_grad():
        layer.weight[2] = 0
    numbers = features.numbers(seen)
    assert numbers["panels"].tolist() == ["encoder kernels", "decoder kernels"]
    np.testing.assert_array_equal(numbers["images"][0], layer.weight.detach()[:, 0])
    assert numbers["dead"].tolist() == [False, False, True, False]
    assert "4 of 16 units" in str(numbers["subtitle"])
    assert "dead: 4 of 16" in str(numbers["subtitle"])


def test_answers_are_those_of_the_units_in_the_middle():
    """A second convolution has no kernels to look at: of each channel one unit answers."""
    layers = [
        {"kind": "conv", "channels": 2, "kernel": 3},
        {"kind": "conv", "channels": 3, "kernel": 2},
    ]
    seen = tiny_scene("stage2", sizes=None, input_shape=[4, 3], layers=layers, activation="tanh")
    (answers,) = features.numbers(seen)["images"]
    codes, stack = seen.codes(), seen.stack
    for unit, answer in zip(stack[1].units_to_show(9), answers, strict=True):
        ends = np.tile(codes.mean(axis=0), (2, 1))
        ends[:, unit] = np.percentile(codes[:, unit], [1, 99])
        with torch.no_grad():
            low, high = stack.decode(torch.from_numpy(ends))
        np.testing.assert_allclose(answer.ravel(), high - low, atol=1e-5)


# Trained like any other


LAYERS = [
    {"kind": "conv", "channels": 3, "kernel": 3},
    {"kind": "conv", "channels": 4, "kernel": 3},
    {"kind": "dense", "units": 6},
]


def model() -> StackedAutoencoder:
    return StackedAutoencoder(input_shape=[8, 8], layers=LAYERS, activation="tanh")


def blobs(n: int = 600) -> torch.Tensor:
    """A bright spot somewhere in an image of 8x8."""
    generator = torch.Generator().manual_seed(0)
    middle = 2 + 4 * torch.rand(n, 2, 1, 1, generator=generator)
    row, column = torch.arange(8.0)[:, None], torch.arange(8.0)
    distance = (row - middle[:, 0]).square() + (column - middle[:, 1]).square()
    return torch.exp(-distance / 3).flatten(1)


@pytest.mark.parametrize("noise", ["masking", "salt_and_pepper"])
def test_stages_are_trained_one_by_one_wherever_their_codes_are(tmp_path, noise):
    x = blobs()
    recipe = Recipe(epochs=4, lr=0.01, corruption=Corruption(noise, 0.1))
    caches = {
        "memory": CodesInMemory(),
        "disk": CodesOnDisk(tmp_path / "codes", [].append),
        "none": CodesNotKept(),
    }
    weights, losses = {}, {}
    for name, cache in caches.items():
        net = model()
        train, val = TensorLoader(x[100:], None, 50, shuffle=True), TensorLoader(x[:100], None, 50)
        results = GreedyPretrainer([recipe] * 3, recipe, seed=1, codes=cache).fit(net, train, val)
        weights[name], losses[name] = clone_state(net.stack), [result.loss for result in results]
    for name in ("disk", "none"):
        assert same_state(weights[name], weights["memory"]), name
        assert losses[name] == losses["memory"]
    of_mean = (x[:100] - x[100:].mean(dim=0)).square().sum(dim=1).mean()
    with torch.no_grad():
        assert (net(x[:100]) - x[:100]).square().sum(dim=1).mean() < 0.5 * of_mean


def test_a_stage_leaves_those_below_as_they_are():
    x, seen = blobs(200), {}

    class Watch(Journal):
        def note(self, result, module, net):
            seen[result.phase.name] = [clone_state(layer) for layer in net.stack]

    recipe = Recipe(epochs=1, lr=0.01)
    data = TensorLoader(x, None, 50)
    GreedyPretrainer([recipe] * 3, Recipe(epochs=0), journal=Watch()).fit(model(), data, data)
    assert same_state(seen["stage1"][0], seen["stage3"][0])
    assert same_state(seen["stage2"][1], seen["stage3"][1])
    assert not same_state(seen["stage1"][1], seen["stage2"][1])


WORDS = ["fit", "--config", str(ROOT / "configs" / "convolutional.yaml")]
WORDS += ["--data", "DigitsDataModule", "--data.batch_size", "256", "--pictures_every", "-1"]
WORDS += ["--pretrain.epochs", "1", "--finetune.epochs", "2"]
SMALL = "[{kind: conv, channels: 3}, {kind: conv, channels: 2}, {kind: dense, units: 4}]"
WORDS += ["--model.layers", SMALL, "--finetune.corruption", "{kind: masking, level: 0.1}"]
FOLDER = Path("lightning_logs/convolutional/version_0")


def test_a_run_that_was_killed_goes_on_bit_for_bit(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for where in (whole, broken):
        where.mkdir()
    assert run(WORDS, whole) == 0
    assert run(WORDS, broken, at_call(WholeFileIO, "save_checkpoint", 8)) == -signal.SIGKILL
    assert run([*WORDS, "--resume", "auto"], broken) == 0
    assert not differences(outcome(whole / FOLDER), outcome(broken / FOLDER))


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    ways = {"one": [], "two": ["--trainer.devices", "2", "--trainer.strategy", "ddp"]}
    weights = {}
    for name, words in ways.items():
        (tmp_path / name).mkdir()
        command = [sys.executable, str(ROOT / "cli.py"), *WORDS, "--trainer.accelerator", "cpu"]
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        subprocess.run(
            [*command, *words], cwd=tmp_path / name, env=env, check=True, capture_output=True
        )
        path = tmp_path / name / FOLDER / "finetune" / "weights.safetensors"
        weights[name] = read_weights(path)
    assert weights["one"].keys() == weights["two"].keys()
    for name, weight in weights["one"].items():
        torch.testing.assert_close(weights["two"][name], weight, atol=2e-4, rtol=1e-3)
