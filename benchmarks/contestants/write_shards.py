"""Write .npy files of float32 images for large.py: sigmoids of a few hidden numbers each."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from job import say

FEATURES, HIDDEN, CHUNK = 784, 24, 8192


def write(path: Path, rows: int, seed: int) -> None:
    """One file, written through to the disk."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(HIDDEN, FEATURES, generator=torch.Generator().manual_seed(0))
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, FEATURES)}
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(0, rows, CHUNK):
            n = min(CHUNK, rows - first)
            hidden = torch.randn(n, HIDDEN, generator=generator)
            file.write((hidden @ weight).mul_(0.5).sub_(1).sigmoid_().numpy().data)
        file.flush()
        os.fsync(file.fileno())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--files", type=int, required=True)
    parser.add_argument("--samples", type=int, required=True)
    options = parser.parse_args()
    bounds = [k * options.samples // options.files for k in range(options.files + 1)]
    for k in range(options.files):
        write(options.folder / f"{k:03d}.npy", bounds[k + 1] - bounds[k], seed=k + 1)
    say({"bytes": sum(path.stat().st_size for path in options.folder.iterdir())})


if __name__ == "__main__":
    main()
