"""What TensorBoard shows of a run as a whole, beside the curves and pictures of its phases."""

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

PROJECTOR = "projector_config.pbtxt"  # TensorBoard's own name for it
SPRITE = 8192  # pixels a side; more does not fit into what a browser draws
CHUNK = 256


class RunLogger(TensorBoardLogger):
    """A TensorBoardLogger in a given folder, which writes no hparams.yaml: config.yaml says all.

    Args:
        folder: Where the event file goes.
    """

    def __init__(self, folder: Path) -> None:
        # Name and version given, or each Trainer would take the next version_N for itself.
        super().__init__(folder.parent, name="", version=folder.name, default_hp_metric=False)

    def save(self) -> None:
        """Write out what there is, into the event file alone."""
        self.experiment.flush()


class RunBoard:
    """The run as a whole: config and summary as text, hyperparameters with test figures, layout.

    Its event file is written anew by each process that works on the run, so that one which goes on
    leaves nothing twice.

    Args:
        folder: Of the run.
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
        """Show the config, and an order for the curves.

        Args:
            config: The resolved config.
            phases: Name and title of each phase, in order.
            objective: What the last ones train for; to rebuild the input where left out.
            words: What words on images become, for samples that are none.
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
        """Show what came of it.

        Args:
            settings: Dotted options and their values.
            figures: Tag and value: of the test, and the validation error.
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
            labels: (n,); empty texts where there are none.
            images: (n, height, width), or (n, height, width, 3) in colour, in [0, 1].
        """
        # With a single column the projector takes the header for data, and with none it shows none.
        rows = [[str(label) or "none", str(k)] for k, label in enumerate(labels)]
        self.logger.experiment.add_embedding(
            codes, rows, _thumbnails(images), tag="codes", metadata_header=["class", "image"]
        )


def _thumbnails(images: Tensor) -> Tensor:
    """Images as the projector wants them: (n, 3, side, side), padded to squares.

    It shows all of them from one large image, of 8,192 pixels a side at most: larger ones are made
    smaller, each pixel the mean of those that it stands for.
    """
    if images.dim() == 3:
        images = images[..., None].expand(-1, -1, -1, 3)
    height, width = images.shape[1:3]
    most = SPRITE // math.ceil(math.sqrt(len(images)))
    if (side := max(height, width)) > most:
        height, width = (max(1, length * most // side) for length in (height, width))
        side = most
    square = torch.ones(len(images), 3, side, side)
    for first in range(0, len(images), CHUNK):  # as many large ones at once as memory bears
        some = images[first : first + CHUNK].permute(0, 3, 1, 2).clamp(0, 1)
        small = F.interpolate(some, (height, width), mode="area")
        square[first : first + CHUNK, :, :height, :width] = small
    return square


def _layout(phases: Sequence[tuple[str, str]], objective: Objective | None) -> dict[str, Any]:
    """Charts in the order of the run: TensorBoard sorts tags by name, the fine-tuning first."""
    own: dict[str, str] = {}  # figures, where they are others than those of reconstructions
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
    """A value that the HParams tab can show."""
    return value if isinstance(value, (bool, int, float, str)) else json.dumps(value)


def _verbatim(text: str) -> str:
    """Text as Markdown that is shown as it stands."""
    return "\n".join(f"    {line}" for line in text.splitlines())
