"""Whether the ready-made configs train to the same weights as at another commit, bit for bit.

    python benchmarks/same_weights.py COMMIT [--full] [--configs stacked sparse]

Each config is trained in this tree and in a checkout of the commit, in a process of its own with
one thread: briefly on the bundled digits, or with --full as it stands (on MNIST, $SAE_DATA).
Tensors are compared in order, whatever they are called. Ends with 1 where one differs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[1]
CONFIGS = ("digits", "stacked", "reconstruct", "visualize", "denoising", "sparse")
BRIEF = ["--data", "DigitsDataModule", "--data.batch_size", "64", "--pretrain.epochs", "2"]
BRIEF += ["--finetune.epochs", "2"]
QUIET = ["--pictures_every", "-1", "--trainer.enable_progress_bar", "false"]
QUIET += ["--trainer.logger", "false", "--trainer.accelerator", "cpu"]


def train(tree: Path, config: str, where: Path, words: list[str]) -> dict[str, torch.Tensor]:
    """The final weights of a config, by the code of a tree."""
    where.mkdir(parents=True)
    env = {**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
    path = str(tree / "configs" / f"{config}.yaml")
    command = [sys.executable, str(tree / "cli.py"), "fit", "--config", path, *QUIET, *words]
    subprocess.run(command, cwd=where, env=env, check=True, stdout=subprocess.DEVNULL)
    run = where / "lightning_logs" / config / "version_0"
    return load_file(run / "finetune" / "weights.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal, bit for bit."""
    pairs = zip(a.values(), b.values(), strict=False)
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--configs", nargs="+", default=CONFIGS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(there), options.commit], check=True)
        try:
            differ = []
            for config in options.configs:
                words = [] if options.full else BRIEF
                ours, theirs = (
                    train(tree, config, Path(folder) / name / config, words)
                    for name, tree in (("ours", ROOT), ("theirs", there))
                )
                equal = same(ours, theirs)
                print(f"{config}: {'equal' if equal else 'DIFFERENT'}", flush=True)
                differ += [] if equal else [config]
        finally:
            subprocess.run([*git, "remove", "--force", str(there)], check=True)
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
