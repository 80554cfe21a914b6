"""``export``: write a run as a file for other programs."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from sae.cli.verbs.verb import Verb
from sae.text import shown_path


class Export(Verb):
    """Write a part of a run as ONNX, PT2 or safetensors, or the run as a folder for a hub."""

    help = (
        "Write a run for other programs: a part as ONNX (onnxruntime), PT2 (torch) or safetensors "
        "(weights), or all of it with a model card. Input and output are in the units of your "
        "data. The file is compared with the run."
    )
    example = "--run FOLDER [--format onnx] [--what encoder] [--output FILE]"

    def add_options(self, parser: ArgumentParser) -> None:
        """Add the run, the format, the part and the output."""
        parser.add_argument("--run", type=str, required=True, help="The folder of the run.")
        parser.add_argument(
            "--format",
            type=str,
            default="onnx",
            help="onnx, pt2 or safetensors; hub for a folder with weights, config and model card.",
        )
        parser.add_argument(
            "--what",
            type=str | None,
            default=None,
            help="encoder, decoder, autoencoder or classifier; null is the encoder. The folder "
            "for a hub has all of them.",
        )
        parser.add_argument(
            "--output",
            type=str | None,
            default=None,
            help="The file or folder; null: named after the part, in the folder of the run.",
        )
        parser.add_argument(
            "--overwrite", type=bool, default=False, help="Replace the output if it exists."
        )

    def run(self, options: Namespace) -> None:
        """Write the file, compare it with the run, and print its path.

        Raises:
            InputError: See :func:`sae.export.write.export_run`.
        """
        from sae.export.write import export_run  # torch.export takes a second to import

        output = None if options.output is None else Path(options.output).expanduser()
        folder, overwrite = Path(options.run).expanduser(), options.overwrite
        written = export_run(folder, options.format, options.what, output, overwrite)
        print(written.parity.line(written.samples))
        print(f"exported: {shown_path(written.path)}", flush=True)
