"""Callbacks: checkpoints, a progress bar that names the stage, pictures, a CSV of the metrics."""

from sae.callbacks.checkpoints import BestWeights, Snapshot, phase_checkpoints
from sae.callbacks.metrics_csv import MetricsCSV
from sae.callbacks.pictures import PhasePictures
from sae.callbacks.progress import StageProgressBar
from sae.callbacks.step_losses import StepLosses
from sae.callbacks.whole_path import WholePath
from sae.run.board import RunBoard, RunLogger

__all__ = [
    "BestWeights",
    "MetricsCSV",
    "PhasePictures",
    "RunBoard",
    "RunLogger",
    "Snapshot",
    "StageProgressBar",
    "StepLosses",
    "WholePath",
    "phase_checkpoints",
]
