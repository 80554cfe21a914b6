"""On a real GPU, where there is one: the configs train, resume and are read as on the CPU.

Without one, tests/test_devices.py looks for the same faults on a device that is made up.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

pytestmark = pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="there is no GPU")

SHORT = ["--data", "DigitsDataModule", "--pretrain.epochs", "1", "--finetune.epochs", "1"]
ON_GPU = ["--trainer.accelerator", "gpu", "--trainer.devices", "1"]
KINDS = ["stacked", "denoising", "sparse", "topk", "contractive", "variational", "convolutional"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """A process that sees the GPU."""
    environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False
    )


def figures(folder: str) -> dict[str, float]:
    return json.loads(Path(folder, "summary.json").read_text())["test"]


@pytest.mark.parametrize("config", [*KINDS, "classify"])
def test_a_config_trains_on_it_to_the_figures_of_the_cpu(config):
    words = [str(ROOT / "cli.py"), "fit", "--config", str(ROOT / "configs" / f"{config}.yaml")]
    found = []
    for device, own in (("cpu", ["--trainer.accelerator", "cpu"]), ("gpu", ON_GPU)):
        done = run(*words, *SHORT, *own, "--name", device)
        assert done.returncode == 0, done.stderr
        found.append(figures(f"lightning_logs/{device}/version_0"))
    cpu, gpu = found
    assert cpu.keys() == gpu.keys()
    name = next(iter(cpu))
    assert gpu[name] == pytest.approx(cpu[name], rel=0.2)  # the noise is drawn by another generator


def test_what_it_trained_is_read_on_the_cpu():
    config = str(ROOT / "configs" / "digits.yaml")
    assert run(str(ROOT / "cli.py"), "fit", "--config", config, *SHORT, *ON_GPU).returncode == 0
    folder = "lightning_logs/digits/version_0"
    code = f"""
import torch
from sae import StackedAutoencoder
path = "{folder}/finetune/checkpoints/best.ckpt"
model = StackedAutoencoder.load_from_checkpoint(path, map_location="cpu", weights_only=True).eval()
print(tuple(model.encode(torch.rand(3, 784)).shape))
"""
    done = run("-c", code)
    assert done.stdout.startswith("(3, "), done.stderr
