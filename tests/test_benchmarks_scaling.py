from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from scaling_model import Model, Network, gradient_bytes


def test_the_bytes_of_a_gradient_are_those_of_its_parameters():
    from sae.nets.build import build_stack

    stack = build_stack([784, 256, 128])
    layers = [sum(p.numel() for p in layer.parameters()) for layer in stack]
    assert gradient_bytes((784, 256, 128)) == [4 * n for n in (*layers, sum(layers))]


def test_the_network_is_that_which_was_measured():
    network = Network.fitted({n: 0.001 + n / 1e9 for n in (0, 1_000_000, 4_000_000)})
    assert network.latency == pytest.approx(0.001)
    assert network.bandwidth == pytest.approx(1e9)
    assert network.seconds(1e6, 1) == 0
    assert network.seconds(1e6, 2) == pytest.approx(0.001 + 0.001)
    assert network.seconds(1e6, 4) == pytest.approx(3 * 0.001 + 1.5 * 0.001)


def test_the_arithmetic_shown_is_that_which_is_done():
    model = Model(Network(0.001, 1e9), 1e6, {1: 0.5, 2: 0.7}, batch=256, steps=100)
    total, lines = model.run(4, seconds=1.3, steps=400)
    assert total == pytest.approx(0.7 + 100 * (0.002 + 3 * 0.001 + 1.5 * 0.001))
    assert lines == [
        "t_compute(64) = (1.30 - 0.50 s) / 400 = 2.000 ms",
        "t_step(4) = t_compute(64) + t_allreduce = 2.000 + "
        "(3 * 1.000 + 2*3/4 * 1.000 MB / 1000 MB/s = 4.500) = 6.500 ms",
        "t_run(4) = 0.70 s + 100 * 6.500 ms = 1.35 s",
    ]


@pytest.mark.long  # seven processes that import torch, on two cores
def test_the_scaling_benchmark_works(tmp_path):
    """On generated images; whether anything scales is not asked here."""
    path = tmp_path / "scaling.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "scaling.py"), "--smoke"]
    done = subprocess.run(
        [*command, "--json", str(path)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert "generated images" in done.stdout
    raw = json.loads(path.read_text())
    assert all(seconds > 0 for seconds in raw["allreduce"].values())
    (batch,) = raw["batches"].values()
    (told,) = batch["runs"]
    two, one = told["2 processes, 1 thread each"], told["1 process, 1 thread"]
    assert two["test_sse"] == pytest.approx(one["test_sse"], rel=1e-3)
    assert two["samples"] == one["samples"]
    model = batch["model"]["2"]
    assert model["seconds"] > told["share of 2"]["seconds"] / 2
    assert f"ms = {model['seconds']:.2f} s" in done.stdout
