"""One class of MNIST left out of training: how well it is told from the others afterwards.

    python benchmarks/anomaly.py [--samples 6000] [--digits 0,1] [--contestants sae,pca]
    python benchmarks/anomaly.py --smoke

Trained on nine digits, without labels and without the tenth; the figure is the AUROC, in percent,
of the score that tells the test images of the tenth from those of the nine. sae is
AutoencoderDetector with its default sizes for 784 features (256 and 32 units) and 10 passes over
the samples, two for each layer alone. pca is the error of 32 components, forest an IsolationForest
with its defaults, pyod its AutoEncoder with the same two sizes and 10 passes, else its defaults
(pip install pyod==3.6.7; it is left out where that is missing).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from sae.data import MNISTDataModule
from sae.estimators import AutoencoderDetector

SIZES, PASSES, ALONE = (256, 32), 10, 2

# From training samples, test samples and a seed: how unlike the training samples each is.
Contestant = Callable[[NDArray, NDArray, int], NDArray]


def by_sae(train: NDArray, test: NDArray, seed: int) -> NDArray:
    epochs = PASSES - ALONE * len(SIZES)
    ours = AutoencoderDetector(
        SIZES, pretrain_epochs=ALONE, epochs=epochs, batch_size=128, random_state=seed
    )
    return -ours.fit(train).score_samples(test)


def by_pca(train: NDArray, test: NDArray, seed: int) -> NDArray:
    pca = PCA(SIZES[-1], random_state=seed).fit(train)
    return np.square(test - pca.inverse_transform(pca.transform(test))).sum(axis=1)


def by_forest(train: NDArray, test: NDArray, seed: int) -> NDArray:
    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


def by_pyod(train: NDArray, test: NDArray, seed: int) -> NDArray:
    from pyod.models.auto_encoder import AutoEncoder

    theirs = AutoEncoder(
        hidden_neuron_list=list(SIZES),
        epoch_num=PASSES,
        random_state=seed,
        verbose=0,
        device="cpu",
    )
    return theirs.fit(train).decision_function(test)


CONTESTANTS: dict[str, Contestant] = {
    "sae": by_sae,
    "pca": by_pca,
    "forest": by_forest,
    "pyod": by_pyod,
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=60000, help="so many of the training images")
    parser.add_argument("--digits", default="0,1,2,3,4,5,6,7,8,9", help="which to leave out")
    parser.add_argument("--contestants", default=",".join(CONTESTANTS), help="some of these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", help="folder of MNIST; $SAE_DATA or data if left out")
    parser.add_argument("--json", type=Path, help="write all raw figures there")
    parser.add_argument("--smoke", action="store_true", help="little; only to see it work")
    options = parser.parse_args()
    options.contestants = options.contestants.split(",")
    if unknown := set(options.contestants) - set(CONTESTANTS):
        parser.error(f"--contestants: {', '.join(unknown)}: choose of {', '.join(CONTESTANTS)}")
    if "pyod" in options.contestants and importlib.util.find_spec("pyod") is None:
        print("pyod: skipped, as it is not installed")
        options.contestants.remove("pyod")
    options.digits = [int(digit) for digit in options.digits.split(",")]
    return options


def images(options: argparse.Namespace) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Training images and their digits, test images and theirs; generated ones for a look."""
    if options.smoke:
        print("generated images")
        draw = np.random.default_rng(0)
        y = np.arange(400) % 10
        x = (draw.random((400, 784)) * (y[:, None] + 1) / 10).astype(np.float32)
        return x[:300], y[:300], x[300:], y[300:]
    train, test = MNISTDataModule(options.data).load()
    train = train[torch.arange(options.samples)]
    assert train.y is not None
    assert test.y is not None
    x, x_test = (np.asarray(part.x) / np.float32(255) for part in (train, test))
    return x, train.y.numpy(), x_test, test.y.numpy()


def main() -> None:
    options = parse()
    x, y, x_test, y_test = images(options)
    raw: dict[str, dict[str, list[float]]] = {
        name: {"auroc": [], "seconds": []} for name in options.contestants
    }
    print(f"{'left out':9}{''.join(f'{name:>9}' for name in options.contestants)}")
    for digit in options.digits:
        for name in options.contestants:
            start = time.perf_counter()
            scores = CONTESTANTS[name](x[y != digit], x_test, options.seed)
            raw[name]["seconds"].append(time.perf_counter() - start)
            raw[name]["auroc"].append(100 * roc_auc_score(y_test == digit, scores))
        cells = "".join(f"{raw[name]['auroc'][-1]:9.2f}" for name in options.contestants)
        print(f"{digit:<9}{cells}", flush=True)
    for title, key in (("mean", "auroc"), ("seconds", "seconds")):
        cells = "".join(f"{np.mean(raw[name][key]):9.2f}" for name in options.contestants)
        print(f"{title:9}{cells}")
    if options.json is not None:
        options.json.write_text(json.dumps(raw, indent=1))


if __name__ == "__main__":
    main()
