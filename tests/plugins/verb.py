"""How large the weights of a run are."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from jsonargparse import ArgumentParser, Namespace

from sae.cli.verbs.verb import Verb
from sae.errors import InputError
from sae.run.checkpoint_io import read_weights


class Norms(Verb):
    """Print the norm of each parameter of a phase."""

    help: ClassVar[str] = "Print the norm of each parameter of a finished phase."
    example: ClassVar[str] = "--run FOLDER"

    def add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument("--run", type=str, required=True, help="The run's folder.")
        parser.add_argument("--phase", type=str, default="finetune", help="Which phase.")

    def run(self, options: Namespace) -> None:
        path = Path(options.run) / options.phase / "weights.safetensors"
        if not path.exists():
            raise InputError("run", "a run with weights", str(path), "name another")
        for name, tensor in read_weights(path).items():
            print(f"{name}: {tensor.norm().item():.3f}")
