"""Write the images of the job as .npy files, the same for all contestants; say which they are."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from images import JobData, found
from job import say


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--images", type=Path, required=True)
    options = parser.parse_args()
    root = found(options.root)
    data = JobData(root, options.samples)
    data.setup()
    np.save(options.images / "train.npy", data.train.x.numpy())
    np.save(options.images / "test.npy", data.test.x.numpy())
    np.save(options.images / "train_labels.npy", data.train.y.numpy())
    np.save(options.images / "test_labels.npy", data.test.y.numpy())
    say({"root": root, "data": data.description, "samples": len(data.train)})


if __name__ == "__main__":
    main()
