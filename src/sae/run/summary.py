"""The results at the end of a run: ``summary.json`` and a short table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sae.figure import Measured
from sae.text import program, shown_path, typed_path


def heading(data: str, network: str, seed: int) -> str:
    """Return the heading of the table: data, network and seed."""
    return f"{data} · {network} · seed {seed}"


def rows(
    figures: Mapping[str, Measured],
    seconds: Mapping[str, float] | None = None,
    words: Callable[[str], str] = str,
) -> list[tuple[str, str]]:
    """Return label and value of each figure, as texts; arguments as in :func:`table`."""
    lines = [measured.line() for measured in figures.values()]
    found = [(words(label), value) for label, value in lines]
    if seconds is not None:
        times = [f"{name} {value:.1f}" for name, value in seconds.items() if name != "total"]
        found.append(("seconds", f"{seconds['total']:.1f} ({', '.join(times)})"))
    return found


def table(
    heading: str,
    figures: Mapping[str, Measured],
    seconds: Mapping[str, float] | None = None,
    words: Callable[[str], str] = str,
) -> str:
    """Return a table with one line for each figure.

    Args:
        heading: The line above the figures.
        figures: Figures by name, in the order of display.
        seconds: Wall time of each phase and ``total``; None leaves the line out.
        words: Changes texts about images into texts about rows, if samples are not images.
    """
    found = rows(figures, seconds, words)
    width = max((len(label) for label, _ in found), default=0)
    lines = [f"  {label:<{width}}   {value}" for label, value in found]
    rule = "-" * max(len(heading), *(len(line) for line in lines), 0)
    return "\n".join([heading, rule, *lines, rule])


def beside_pca(
    figures: Mapping[str, Measured], size: int, words: Callable[[str], str] = str
) -> list[str]:
<<<<<<< HEAD
    """A line that says so where PCA does the run's own job better with as many numbers.
=======
    """Return a line if PCA with as many components rebuilds the test samples better; else none.
>>>>>>> words2

    A run that restores corrupted images is compared by its restorations: it was not trained for
    the smallest error on clean images.

    Args:
        figures: Figures of the test. Without ``sse`` and ``pca_sse`` there is no line.
        size: Units of the code.
        words: As in :func:`table`.
    """
    restored, pca_restored = figures.get("restored_psnr"), figures.get("pca_psnr")
    own, others = figures.get("sse"), figures.get("pca_sse")
    if restored is not None and pca_restored is not None:
        better = pca_restored.value > restored.value
        does = f"restores the test images better ({pca_restored.value:.4g} instead of "
        does += f"{restored.value:.4g} dB)"
    elif restored is not None or own is None or others is None:
        return []
    else:
        better = others.value < own.value
        does = f"rebuilds the test images better ({others.value:.4g} instead of "
        does += f"{own.value:.4g} SSE per image)"
    advice = (
        "train longer (--finetune.epochs), try a lower --finetune.lr or wider layers below the "
        "code, or use PCA"
    )
    return [words(f"PCA-{size} {does}; {advice}")] if better else []


def closing_lines(folder: Path, checkpoint: Path) -> str:
    """Return lines with the next commands; the last line is ``run: <folder>``."""
    config = typed_path(folder / "config.yaml")
    lines = [f"see it:     tensorboard --logdir {typed_path(folder.parents[1])} --host localhost"]
    if checkpoint.exists():
        path = typed_path(checkpoint)
        lines.append(f"test again: {program()} test --config {config} --ckpt_path {path}")
    lines.append(f"on a page:  {program()} report --run {typed_path(folder)}")
    return "\n".join([*lines, f"run: {shown_path(folder)}"])


def rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures with six significant digits."""
    return {k: None if v is None else float(f"{v:.6g}") for k, v in figures.items()}
