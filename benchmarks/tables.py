"""What is lost of a table by a code of a quarter of its features: the estimator beside PCA.

    python benchmarks/tables.py [--seeds 3] [--tables digits,wine] [--json FILE]
    python benchmarks/tables.py --smoke

The tables are those that come with scikit-learn. AutoencoderTransformer has its defaults; PCA has
as many components as that has units, on the same scale. Figures are the part of the variance of
test samples that is not rebuilt, on five folds for each seed, and the time that a fit takes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from sae.estimators import AutoencoderTransformer

TABLES = {
    "digits": load_digits,
    "breast_cancer": load_breast_cancer,
    "wine": load_wine,
    "diabetes": load_diabetes,
}


def lost(x: np.ndarray, rebuilt: np.ndarray) -> float:
    """Part of the variance of samples that is not rebuilt, in percent."""
    return 100 * (1 - r2_score(x, rebuilt, multioutput="variance_weighted"))


def compare(
    table: np.ndarray, train: np.ndarray, test: np.ndarray, **options: Any
) -> dict[str, float]:
    """Both on one fold."""
    start = time.perf_counter()
    ours = AutoencoderTransformer(**options).fit(table[train])
    seconds = time.perf_counter() - start
    x, y = (ours.scaler_.transform(table[rows]) for rows in (train, test))
    units = ours.stack_.n_code
    pca = PCA(units).fit(x)
    return {
        "units": units,
        "sae": 100 * (1 - ours.score(table[test])),
        "pca": lost(y, pca.inverse_transform(pca.transform(y))),
        "seconds": seconds,
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="of the folds and of the networks")
    parser.add_argument("--tables", default=",".join(TABLES), help="some of these")
    parser.add_argument("--json", type=Path, help="write all raw figures there")
    parser.add_argument("--smoke", action="store_true", help="little; only to see it work")
    options = parser.parse_args()
    options.tables = options.tables.split(",")
    if unknown := set(options.tables) - set(TABLES):
        parser.error(f"--tables: {', '.join(unknown)}: choose of {', '.join(TABLES)}")
    return options


def main() -> None:
    options = parse()
    short: dict[str, Any] = {"epochs": 2, "pretrain_epochs": 1} if options.smoke else {}
    raw: dict[str, list[dict[str, float]]] = {}
    print(f"{'table':15}{'samples':>9}{'units':>9}{'sae':>8}{'pca':>8}{'better':>9}{'fit':>9}")
    for name in options.tables:
        samples = TABLES[name]().data
        folds = [
            compare(samples, train, test, random_state=seed, **short)
            for seed in range(1 if options.smoke else options.seeds)
            for train, test in KFold(5, shuffle=True, random_state=seed).split(samples)
        ]
        mean = {key: float(np.mean([fold[key] for fold in folds])) for key in folds[0]}
        better = sum(fold["sae"] < fold["pca"] for fold in folds)
        sizes = f"{samples.shape[1]}→{mean['units']:.0f}"
        print(
            f"{name:15}{len(samples):9}{sizes:>9}{mean['sae']:7.2f}%"
            f"{mean['pca']:7.2f}%{f'{better}/{len(folds)}':>9}{mean['seconds']:7.2f} s",
            flush=True,
        )
        raw[name] = folds
    if options.json is not None:
        options.json.write_text(json.dumps(raw, indent=1))


if __name__ == "__main__":
    main()
