"""What TensorBoard shows about the whole run, in addition to the phases' curves and pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from torch import Tensor

from sae.callbacks.whole_path import TAG
from sae.objectives.objective import Objective

PROJECTOR = "projector_config.pbtxt"  # a name that TensorBoard requires
SPRITE = 8192  # largest side of an image, in pixels, that browsers can draw here
CHUNK = 256


class RunLogger(TensorBoardLogger):
    """A TensorBoardLogger in a given folder. It writes no hparams.yaml; there is config.yaml.

    Args:
        folder: Folder of the event file.
    """

    def __init__(self, folder: Path) -> None:
        # With name and version given, no Trainer creates a new version_N.
        super().__init__(folder.parent, name="", version=folder.name, default_hp_metric=False)

    def save(self) -> None:
        """Write all pending data to the event file."""
        self.experiment.flush()


class RunBoard:
    """The whole run: config and summary as text, hyperparameters with test figures, chart layout.

    A process that resumes the run deletes the old event file first, so that nothing appears twice.

    Args:
        folder: Folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logger = RunLogger(folder)

    @rank_zero_only
    def begin(
        self,
        config: str,
        phases: Sequence[tuple[str, str]],
        objective: Objective | None = None,
        words: Callable[[str], str] = str,
    ) -> None:
        """Show the config, and the order of the charts.

        Args:
            config: The resolved config.
            phases: Name and title of each phase, in order.
            objective: Objective of head and fine-tuning; to rebuild the input if left out.
            words: Changes texts about images into texts about rows, if samples are not images.
        """
        for path in (*self.folder.glob("events.out.tfevents.*"), self.folder / PROJECTOR):
            path.unlink(missing_ok=True)
        board = self.logger.experiment
        board.add_text("config", _verbatim(config))
        layout = _layout(phases, objective)
        board.add_custom_scalars(
            {part: {words(k): v for k, v in charts.items()} for part, charts in layout.items()}
        )
        board.flush()

    @rank_zero_only
    def end(self, settings: Mapping[str, Any], figures: Mapping[str, float], summary: str) -> None:
        """Show the results.

        Args:
            settings: Dotted options and their values.
            figures: Figures of test and validation, by tag.
            summary: The table that is printed.
        """
        self.logger.experiment.add_text("summary", _verbatim(summary))
        plain = {key: _plain(value) for key, value in settings.items() if value is not None}
        self.logger.log_hyperparams(plain, dict(figures))
        self.logger.experiment.close()

    @rank_zero_only
    def show_codes(self, codes: Tensor, labels: NDArray[Any], images: Tensor) -> None:
        """Put codes into the embedding projector, each with its image.

        Args:
            codes: (n, units).
            labels: (n,); empty texts for samples without labels.
            images: (n, height, width), or (n, height, width, 3) in colour, in [0, 1].
        """
        # The projector treats the header of a single column as data, so there are two columns.
        rows = [[str(label) or "none", str(k)] for k, label in enumerate(labels)]
        self.logger.experiment.add_embedding(
            codes, rows, _thumbnails(images), tag="codes", metadata_header=["class", "image"]
        )


def _thumbnails(images: Tensor) -> Tensor:
    """Return images as the projector needs them: (n, 3, side, side), padded to squares.

    The projector puts all of them into one image of at most 8,192 x 8,192 pixels. If they are too
    large for that, they are made smaller by averaging pixels.
    """
    if images.dim() == 3:
        images = images[..., None].expand(-1, -1, -1, 3)
    height, width = images.shape[1:3]
    most = SPRITE // math.ceil(math.sqrt(len(images)))
    if (side := max(height, width)) > most:
        height, width = (max(1, length * most // side) for length in (height, width))
        side = most
    square = torch.ones(len(images), 3, side, side)
    for first in range(0, len(images), CHUNK):  # in parts, to save memory
        some = images[first : first + CHUNK].permute(0, 3, 1, 2).clamp(0, 1)
        small = F.interpolate(some, (height, width), mode="area")
        square[first : first + CHUNK, :, :height, :width] = small
    return square


def _layout(phases: Sequence[tuple[str, str]], objective: Objective | None) -> dict[str, Any]:
    """Return charts in the order of the run; TensorBoard itself sorts tags by name."""
    own: dict[str, str] = {}  # figures of an objective that does not reconstruct
    if objective is not None and not objective.reconstructs:
        for name, figure in objective.figures().items():
            own[name] = f"{figure.label.format(part='').strip()} {figure.unit}".strip()
    layout: dict[str, Any] = {"the whole path": {"SSE per image, in pixels": ["Multiline", [TAG]]}}
    for name, title in phases:
        tags = [f"{name}/train/loss", f"{name}/val/loss"]
        layout[title] = {f"{name}: loss": ["Multiline", tags]}
        if name in ("head", "finetune"):
            for key, label in own.items():
                tags = [f"{name}/train/{key}", f"{name}/val/{key}"]
                layout[title][f"{name}: {label}"] = ["Multiline", tags]
    charts = {f"test: {label}": ["Multiline", [f"test/{name}"]] for name, label in own.items()}
    layout["test"] = charts or {"test: SSE per image": ["Multiline", ["test/sse", "test/pca_sse"]]}
    return layout


def _plain(value: Any) -> Any:
    """Return a value that the HParams tab can show."""
    return value if isinstance(value, (bool, int, float, str)) else json.dumps(value)


def _verbatim(text: str) -> str:
    """Return text as Markdown that is shown unchanged."""
    return "\n".join(f"    {line}" for line in text.splitlines())
