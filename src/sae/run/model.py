"""The stack of a finished run, from the run's folder alone: without its data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sae.errors import InputError, error_prefix, show
from sae.nets.stack import Stack
from sae.run import hub
from sae.run.checkpoints import UnreadableError, read_weights
from sae.text import program
from sae.training.stacked import StackedAutoencoder

OF_OBJECTIVE, OF_NET = "objective.", "net."


@dataclass(frozen=True)
class FinishedRun:
    """What a finished run has left.

    Attributes:
        stack: With its weights, in eval mode, on the CPU.
        image_shape: Height and width of its images, and 3 where they have colours.
    """

    stack: Stack
    image_shape: tuple[int, ...]


def read_run(folder: Path) -> FinishedRun:
    """Read a run.

    Args:
        folder: ``lightning_logs/NAME/version_N``, or one that was exported for a hub.

    Raises:
        InputError: It is no run's folder, the run is not finished or kept no weights, or what lies
            in it is damaged.
    """
    manifest = read_mapping(folder, "manifest.json")
    if manifest.get("status") != "finished":
        remedy = f"go on with it: {program()} fit --resume {folder}"
        raise InputError("run", "a finished run", f"one that is {manifest.get('status')}", remedy)
    options: Any = read_mapping(folder, "config.yaml").get("model")
    path = hub.weights_path(folder)
    try:
        weights = read_weights(path)
    except UnreadableError as error:
        remedy = "run it again, with checkpoints"
        raise InputError("run", f"weights at {path}", f"some that are {error}", remedy) from None
    # Those of an objective with parameters lie beside those of the network.
    if any(name.startswith(OF_OBJECTIVE) for name in weights):
        weights = {k.removeprefix(OF_NET): v for k, v in weights.items() if k.startswith(OF_NET)}
    try:
        shape = tuple(int(n) for n in manifest["data"]["image_shape"])
        with error_prefix("model"):
            stack = StackedAutoencoder(**options).stack
        stack.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        found = f"something else ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        expected = "a config and weights that fit each other"
        raise InputError("run", expected, found, "name another run") from None
    return FinishedRun(stack.eval().requires_grad_(False), shape)


def read_mapping(folder: Path, name: str) -> dict[str, Any]:
    """A file of the run that is a mapping."""
    if hub.is_hub(folder):
        return hub.mapping(folder, name)
    path, found = folder / name, "none"
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
        if isinstance(content, dict):
            return content
        found = "a damaged one"
    except FileNotFoundError:
        pass
    except (OSError, ValueError, yaml.YAMLError):
        found = "a damaged one"
    remedy = "give the folder of a run, such as lightning_logs/variational/version_0"
    raise InputError("run", f"a file {name} in {show(str(folder))}", found, remedy)
