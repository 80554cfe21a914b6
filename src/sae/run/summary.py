"""What a run says of itself at its end: ``summary.json`` and a short table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sae.text import chain, shown_path, typed_path

# Key in summary.json's "test" -> what the table calls it, and how the number reads.
ROWS = {
    "sse": ("test SSE per image", "{:.2f}"),
    "mse": ("test MSE per pixel", "{:.5f}"),
    "pca_sse": ("PCA-{code_size}, test SSE per image", "{:.2f}"),
    "knn_accuracy": ("5-NN accuracy on codes, train→test", "{:.1f} %"),
    "activity": ("mean activity of the code, test", "{:.4f}"),
    "val_sse": ("validation SSE per image", "{:.2f}"),
    "corrupted_sse": ("SSE of the corrupted test images", "{:.2f}"),
    "denoised_sse": ("SSE of their restorations", "{:.2f}"),
}


def heading(data: str, sizes: Sequence[int], seed: int) -> str:
    """On what, which network, which seed."""
    return f"{data} · {chain(sizes)} · seed {seed}"


def rows(
    code_size: int, figures: Mapping[str, float], seconds: Mapping[str, float] | None = None
) -> list[tuple[str, str]]:
    """What a figure is, and the figure as it reads; arguments as in :func:`table`."""
    found = [
        (label.format(code_size=code_size), form.format(figures[key]))
        for key, (label, form) in ROWS.items()
        if key in figures
    ]
    if seconds is not None:
        times = [f"{name} {value:.1f}" for name, value in seconds.items() if name != "total"]
        found.append(("seconds", f"{seconds['total']:.1f} ({', '.join(times)})"))
    return found


def table(
    heading: str,
    code_size: int,
    figures: Mapping[str, float],
    seconds: Mapping[str, float] | None = None,
) -> str:
    """The figures, a line each.

    Args:
        heading: The line above them.
        code_size: Units of the code.
        figures: Entries of ``summary.json``'s ``test``.
        seconds: Wall time of each phase and ``total``; None leaves the line out.
    """
    found = rows(code_size, figures, seconds)
    width = max(len(label) for label, _ in found)
    lines = [f"  {label:<{width}}   {value}" for label, value in found]
    rule = "-" * max(len(heading), *(len(line) for line in lines))
    return "\n".join([heading, rule, *lines, rule])


def closing_lines(folder: Path, checkpoint: Path) -> str:
    """Where things are and what to type next; the last line is ``run: <folder>``."""
    config = typed_path(folder / "config.yaml")
    lines = [f"see it:     tensorboard --logdir {typed_path(folder.parents[1])} --host localhost"]
    if checkpoint.exists():
        path = typed_path(checkpoint)
        lines.append(f"test again: python cli.py test --config {config} --ckpt_path {path}")
    lines.append(f"on a page:  python cli.py report --run {typed_path(folder)}")
    return "\n".join([*lines, f"run: {shown_path(folder)}"])


def rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures as they are written down: six significant digits."""
    return {k: None if v is None else float(f"{v:.6g}") for k, v in figures.items()}
