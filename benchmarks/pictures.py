"""What pictures and logging cost: their share of the training's seconds, clocked inside of a run.

    python benchmarks/pictures.py [--runs 3] [-- --config configs/stacked.yaml ...]

Each run is a process of its own, of the config as it is. Counted are looking at the networks before
a phase, drawing, encoding and writing while it trains and at its end, and the pictures of the
finished stack; not the fit of PCA, which a run without pictures does as well for its summary.
Logging is metrics.csv, and what goes to TensorBoard beside the pictures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def clocked(words: list[str]) -> None:
    """Run the command line in this process and write what the pictures took."""
    import sae.callbacks.phase_pictures
    import sae.experiment
    from sae.callbacks.metrics_csv import MetricsCSV
    from sae.callbacks.whole_path import WholePath
    from sae.cli.command import main
    from sae.pictures.scene import Probe
    from sae.run.board import RunBoard
    from sae.training.module import TrainingModule

    seconds = {"pictures": 0.0, "pca": 0.0, "logging": 0.0}

    def clock(owner: object, name: str, key: str) -> None:
        own = getattr(owner, name)

        def timed(*args, **kwargs):
            start = time.perf_counter()
            try:
                return own(*args, **kwargs)
            finally:
                seconds[key] += time.perf_counter() - start

        setattr(owner, name, timed)

    clock(sae.callbacks.phase_pictures.PhasePictures, "setup", "pictures")
    clock(sae.callbacks.phase_pictures.PhasePictures, "_draw", "pictures")
    clock(sae.experiment.Experiment, "_draw", "pictures")
    clock(Probe.pca, "func", "pca")
    clock(MetricsCSV, "on_train_epoch_end", "logging")
    clock(WholePath, "on_validation_end", "logging")
    clock(TrainingModule, "_log", "logging")
    clock(RunBoard, "begin", "logging")
    clock(RunBoard, "end", "logging")
    main(["fit", *words])
    Path("clock.json").write_text(json.dumps(seconds), encoding="utf-8")


def measure(words: list[str]) -> tuple[float, float, float]:
    """Seconds of the pictures, of logging and of the training, of one run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--clocked", "--", *words]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        seconds = json.loads((Path(folder) / "clock.json").read_text(encoding="utf-8"))
        (summary,) = Path(folder).glob("lightning_logs/*/version_0/summary.json")
        training = json.loads(summary.read_text(encoding="utf-8"))["seconds"]["total"]
    return seconds["pictures"] - seconds["pca"], seconds["logging"], training


def main() -> None:
    """Print each run and the median share."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--clocked", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("words", nargs="*", help="options of fit, after --")
    options = parser.parse_args()
    words = options.words or ["--config", str(ROOT / "configs" / "stacked.yaml")]
    if options.clocked:
        clocked(words)
        return
    shares = []
    for _ in range(options.runs):
        pictures, logging, training = measure(words)
        shares.append(100 * (pictures + logging) / training)
        parts = f"pictures {pictures:.2f} s and logging {logging:.2f} s"
        print(f"{parts} of {training:.1f} s: {shares[-1]:.1f} %", flush=True)
    print(f"median {statistics.median(shares):.1f} %")


if __name__ == "__main__":
    main()
