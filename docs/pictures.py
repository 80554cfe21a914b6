"""Make the pictures of the README and of these pages: ``python docs/pictures.py``.

Each is drawn from the numbers that a run has left (``.npz``). A run that is missing is trained
first, with its config as it is; seven of them take about ten minutes on two cores, and MNIST. What
is there already is left as it is::

    python docs/pictures.py                                       # what is missing
    python docs/pictures.py --only scatter                        # this one, also where it is there
    python docs/pictures.py --runs /elsewhere/lightning_logs      # from these runs, training none

It needs the extra ``test``: TensorBoard is photographed in a headless Chromium.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from sae.pictures import confusion as confusion_picture
from sae.pictures import plane as plane_picture
from sae.pictures import scatter as scatter_picture
from sae.pictures.codes import zoom
from sae.pictures.numbers import Numbers, load
from sae.pictures.style import (
    CLASSES,
    FAINT,
    FIRST,
    INK,
    SECOND,
    Box,
    class_colours,
    grid,
    label,
    panel,
    show,
)

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
PAPER = "#fcfcfa"  # opaque: it reads well on light and on dark pages
MOST_BYTES, MOST_WIDTH = 150_000, 1600
# A page shows a picture 800 pixels wide: a figure of 8 inches then has 100 pixels an inch.
WIDTH, DPI = 8.0, 200
# One of a table is shown about 280 pixels wide.
SMALL_WIDTH, SMALL_HEIGHT, SMALL_DPI = 3.2, 2.0, 200
TEXT = 10
DIGITS = 5


def paper(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    return Figure(figsize=(width, height), facecolor=PAPER)


# Small pictures, of a table


def _rows(names: list[str], images: list[np.ndarray]) -> Figure:
    """A row of digits for each name."""
    figure = paper(SMALL_WIDTH, SMALL_HEIGHT)
    tall, few = (SMALL_HEIGHT - 0.2) / len(names), len(names) < 3
    # Two rows leave room for the names above them.
    left, above = (0.15, 0.26) if few else (0.97, 0.0)
    side = min((SMALL_WIDTH - 0.1 - left) / DIGITS, tall - above)
    for k, (name, each) in enumerate(zip(names, images, strict=True)):
        top = 0.1 + k * tall + above + (tall - above - side) / 2
        if few:
            label(figure, left, top - 0.12, name, fontsize=TEXT)
        else:
            label(figure, left - 0.07, top + side / 2, name, fontsize=TEXT, ha="right")
        box = Box(left, top, DIGITS * side, side)
        show(figure, box, grid(each[:DIGITS].clip(0, 1), DIGITS, blank=0.99))
    return figure


def rebuilt(numbers: Numbers) -> Figure:
    """Digits, and what the whole stack rebuilds of them."""
    names = [str(name).replace("\n", " ").strip() for name in numbers["columns"]]
    images = numbers["images"]
    picked = [0, names.index("after fine-tuning")]
    return _rows(["original", "rebuilt"], [images[k] for k in picked])


def denoising(numbers: Numbers) -> Figure:
    """Digits as they were given, restored, and clean, at the noise that was trained with."""
    at = int(np.flatnonzero(numbers["levels"] == numbers["trained"])[0])
    noisy, restored = numbers["images"][at]
    return _rows(["corrupted", "restored", "original"], [noisy, restored, numbers["clean"]])


def samples(numbers: Numbers) -> Figure:
    """New digits."""
    figure = paper(SMALL_WIDTH, SMALL_HEIGHT)
    images = numbers["images"][:40].clip(0, 1)
    across = (SMALL_HEIGHT - 0.2) * 8 / 5
    box = Box((SMALL_WIDTH - across) / 2, 0.1, across, SMALL_HEIGHT - 0.2)
    show(figure, box, grid(images, 8, blank=0.99))
    return figure


def stacked(numbers: Numbers) -> Figure:
    """The error in pixels along the whole path."""
    figure = paper(SMALL_WIDTH, SMALL_HEIGHT)
    axis = panel(figure, Box(0.5, 0.32, SMALL_WIDTH - 0.65, SMALL_HEIGHT - 0.82))
    axis.set_facecolor(PAPER)
    phase, epoch, error = numbers["phase"], numbers["epoch"], numbers["values"][:, 0]
    last = len(numbers["names"]) - 1
    for k in range(last + 1):
        mine = phase == k
        axis.plot(epoch[mine], error[mine], color=CLASSES[k % len(CLASSES)], lw=2)
        if k:
            axis.axvline(epoch[mine][0] - 0.5, color=FAINT, lw=0.6)
    words = "stage 1, stage 2, fine-tuning" if last == 2 else "stages, then fine-tuning"
    label(figure, 0.5, 0.17, words, fontsize=TEXT, color=FAINT)
    axis.axhline(float(numbers["pca"]), color=FAINT, lw=1, ls="--")
    right = axis.get_yaxis_transform()
    axis.text(
        0.99, numbers["pca"] * 1.06, "PCA", transform=right, ha="right", fontsize=9, color=FAINT
    )
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.tick_params(labelsize=9)
    label(figure, 0.12, SMALL_HEIGHT / 2, "SSE per image", fontsize=9, rotation=90, ha="center")
    label(figure, SMALL_WIDTH / 2, SMALL_HEIGHT - 0.13, "epoch", fontsize=9, ha="center")
    return figure


def sparse(numbers: Numbers) -> Figure:
    """How active the units are, beside the target."""
    figure = paper(SMALL_WIDTH, SMALL_HEIGHT)
    axis = panel(figure, Box(0.55, 0.35, SMALL_WIDTH - 0.75, SMALL_HEIGHT - 0.9))
    axis.set_facecolor(PAPER)
    activity, rho = numbers["activity"], float(numbers["rho"])
    high = max(2 * rho, float(activity.max()))
    axis.hist(activity, np.linspace(0, high, 41), color=FIRST)
    axis.axvline(rho, color=SECOND, lw=2)
    axis.set_xlim(0, high)
    axis.locator_params(axis="both", nbins=5)
    axis.tick_params(labelsize=9)
    label(figure, 0.55, 0.17, f"target rho = {rho:g}", fontsize=TEXT, color=SECOND)
    label(figure, 0.12, SMALL_HEIGHT / 2, "units", fontsize=9, rotation=90, ha="center")
    words = "mean activity of a unit"
    label(figure, SMALL_WIDTH / 2, SMALL_HEIGHT - 0.13, words, fontsize=9, ha="center")
    return figure


# Large ones


def plane(numbers: Numbers) -> Figure:
    """What the decoder draws at each place, and digits at their codes."""
    side = (WIDTH - 0.5) / 2
    figure = paper(WIDTH, side + 0.65)
    answers = numbers["answers"]
    drawn = grid(answers.reshape(-1, *answers.shape[2:]).clip(0, 1), len(answers), 0, 0)
    placed = plane_picture._placed(numbers)
    parts = (
        (drawn, "What the decoder draws at each code"),
        (placed, "Validation images at their codes, by class"),
    )
    for k, (picture, name) in enumerate(parts):
        left = 0.15 + k * (side + 0.2)
        label(figure, left, 0.25, name, fontsize=TEXT + 1, fontweight="bold")
        show(figure, Box(left, 0.45, side, side), picture)
    return figure


def codes(numbers: Numbers) -> Figure:
    """The same images by PCA, by their code before fine-tuning, and after."""
    planes, labels = numbers["points"], numbers["labels"]
    classes = np.unique(labels)
    colours = class_colours(len(classes))
    rgba = colours(np.searchsorted(classes, labels))
    side = (WIDTH - 1.0) / len(planes)
    figure = paper(WIDTH, side + 0.95)
    names = ("PCA of the pixels", "code before fine-tuning", "code after fine-tuning")
    for k, points in enumerate(planes):
        left = 0.15 + k * (side + 0.1)
        name = names[k] if len(planes) == len(names) else str(numbers["planes"][k])
        label(figure, left, 0.24, name, fontsize=TEXT, fontweight="bold")
        axis = figure.add_axes(Box(left, 0.6, side, side).within(figure).bounds)
        axis.scatter(points[:, 0], points[:, 1], s=5, c=rgba, lw=0, alpha=0.8)
        out = zoom(axis, points)
        percent = numbers["accuracy"][k]
        words = [] if np.isnan(percent) else [f"5-NN in this plane {percent:.0f} %"]
        words += [f"{out} lie outside"] if out else []
        label(figure, left, 0.46, " · ".join(words), fontsize=TEXT - 1, color=FAINT)
        axis.set(xticks=[], yticks=[], facecolor="white")
        for spine in axis.spines.values():
            spine.set_color("#d0d0d0")
    right, bar = 0.15 + len(planes) * (side + 0.1) + 0.02, side / len(classes)
    show(
        figure,
        Box(right, 0.6, 0.12, side),
        np.arange(len(classes))[::-1, None],
        cmap=colours,
        high=len(classes) - 1,
    )
    for k, name in enumerate(classes):
        label(figure, right + 0.18, 0.6 + side - (k + 0.5) * bar, str(name), fontsize=TEXT - 1)
    words = f"The same {len(labels):,} validation images in each plane, coloured by class"
    label(figure, 0.15, side + 0.78, words, fontsize=TEXT - 1, color=INK)
    return figure


def scatter(numbers: Numbers) -> Figure:
    """The teacher's picture."""
    return _on_paper(scatter_picture.draw(numbers))


def confusion(numbers: Numbers) -> Figure:
    """As a run draws it."""
    return _on_paper(confusion_picture.draw(numbers))


def _on_paper(figure: Figure) -> Figure:
    figure.set_facecolor(PAPER)
    for axis in figure.axes:
        axis.set_facecolor(PAPER)
    return figure


# name -> config, the numbers in the run's folder, what draws them
PICTURES: dict[str, tuple[str, str, Callable[[Numbers], Figure]]] = {
    "rebuilt": ("reconstruct", "finetune/reconstructions.npz", rebuilt),
    "stacked": ("stacked", "losses.npz", stacked),
    "sparse": ("sparse", "finetune/activity.npz", sparse),
    "denoising": ("denoising", "finetune/denoising.npz", denoising),
    "samples": ("variational", "finetune/samples.npz", samples),
    "plane": ("visualize", "finetune/plane.npz", plane),
    "codes": ("visualize", "finetune/codes.npz", codes),
    "scatter": ("visualize", "scatter.npz", scatter),
    "confusion": ("classify", "finetune/confusion.npz", confusion),
}
BOARD, OF_BOARD, TAGS = "tensorboard", "stacked", "path%7Ccodes%24%7Creconstructions"
CLOSE = """
for (const button of document.querySelectorAll('button'))
  if (/^close/i.test(button.title || button.ariaLabel || '') ||
      button.closest('.sidebar, settings-view')?.contains(button) && /close/.test(button.innerHTML))
    button.click();
"""


def pixels(figure: Figure) -> PIL.Image.Image:
    """A figure as an image, sharp where it is shown half as wide."""
    width = figure.get_figwidth()
    figure.set_dpi(SMALL_DPI if width <= SMALL_WIDTH else min(DPI, MOST_WIDTH / width))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return PIL.Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


def write(image: PIL.Image.Image, path: Path, own_colours: bool = False) -> None:
    """Write an image with few colours and round corners, as small as it must be.

    Args:
        image: In colour.
        path: Where it goes.
        own_colours: Whether its colours are others than those of our figures.
    """
    image.thumbnail((MOST_WIDTH, 10 * MOST_WIDTH))
    scale = 1.0
    while len(content := _png(image, scale, own_colours)) > MOST_BYTES:
        scale *= 0.9
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _palette() -> PIL.Image.Image:
    """The colours of our figures: each of them on paper, greys, and the blues of the matrix.

    Chosen by how often they occur, those of rare points and thin lines would be lost.
    """
    inks = np.array([to_rgb(name) for name in CLASSES])
    ends = np.array([to_rgb(FIRST), to_rgb(SECOND)])
    paper_colour, steps = np.array(to_rgb(PAPER)), np.linspace(1, 1 / 12, 12)[:, None, None]
    few = np.linspace(1, 1 / 8, 8)[:, None, None]
    parts = [
        (paper_colour + steps * (inks - paper_colour)).reshape(-1, 3),
        (paper_colour + few * (ends - paper_colour)).reshape(-1, 3),
        np.linspace(0, 1, 60)[:, None].repeat(3, axis=1),
        colormaps["Blues"](np.linspace(0, 1, 32))[:, :3],
        paper_colour[None],
    ]
    values = (255 * np.concatenate(parts)).round().astype(np.uint8).ravel()
    palette = PIL.Image.new("P", (1, 1))
    palette.putpalette(values.tobytes())
    return palette


def _png(image: PIL.Image.Image, scale: float, own_colours: bool) -> bytes:
    size = (round(image.width * scale), round(image.height * scale))
    small = image if scale == 1 else image.resize(size, PIL.Image.Resampling.LANCZOS)
    kept: dict[str, Any] = {"colors": 255} if own_colours else {"palette": _palette()}
    few = small.convert("RGB").quantize(dither=PIL.Image.Dither.NONE, **kept)
    inside = PIL.Image.new("1", few.size, 0)
    corner = max(6, few.width // 100)
    box = (0, 0, few.width - 1, few.height - 1)
    PIL.ImageDraw.Draw(inside).rounded_rectangle(box, corner, fill=1)
    cut = PIL.Image.new("P", few.size, 255)
    cut.putpalette(few.getpalette() + [255] * (768 - len(few.getpalette())))
    cut.paste(few, mask=inside)
    file = BytesIO()
    cut.save(file, "png", optimize=True, transparency=255)
    return file.getvalue()


def photograph(run: Path) -> PIL.Image.Image:
    """TensorBoard on a finished run, in a headless browser."""
    sys.path.insert(0, str(ROOT / "tests"))
    from board import browsing, images_of, serving

    with tempfile.TemporaryDirectory() as folder:
        # That run alone, by the name that it has among others.
        logs = Path(folder) / "lightning_logs"
        for events in run.rglob("events.out.tfevents.*"):
            copy = logs / run.parent.name / run.name / events.relative_to(run)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(events.read_bytes())
        with serving(logs) as board, browsing(Path(folder) / "profile") as browser:
            browser.set_window_size(1280, 1080)
            browser.get(f"{board.url}/?darkMode=false&tagFilter={TAGS}#timeseries")
            images_of(browser, 2)
            browser.execute_script(CLOSE)
            time.sleep(3)  # until its cards have found their places
            return PIL.Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB")


class MissingRunError(Exception):
    """There is no such run, or it holds no such numbers."""


def newest(runs: Path, config: str) -> Path | None:
    """The newest finished run of a config."""
    found = sorted(
        (runs / config).glob("version_*"), key=lambda path: int(path.name.rpartition("_")[2])
    )
    done = [path for path in found if _is_finished(path)]
    return done[-1] if done else None


def _is_finished(run: Path) -> bool:
    manifest = run / "manifest.json"
    return manifest.exists() and json.loads(manifest.read_text())["status"] == "finished"


def run_of(runs: Path | None, config: str) -> Path:
    """A finished run of a config; trained where there is none and no folder of runs was given."""
    folder = runs if runs is not None else Path("lightning_logs")
    run = newest(folder, config)
    if run is None and runs is None:
        words = [sys.executable, str(ROOT / "cli.py"), "fit"]
        words += ["--config", str(ROOT / "configs" / f"{config}.yaml")]
        print(f"training: {' '.join(words[1:])}", flush=True)
        subprocess.run(words, check=True)
        run = newest(folder, config)
    if run is None:
        raise MissingRunError(
            f"no finished run of {config}.yaml in {folder}; leave --runs out to train it"
        )
    return run


def make(name: str, runs: Path | None) -> None:
    """Draw a picture and write it."""
    if name == BOARD:
        image = photograph(run_of(runs, OF_BOARD))
    else:
        config, file, draw = PICTURES[name]
        path = run_of(runs, config) / file
        if not path.exists():
            raise MissingRunError(
                f"{path} is not there; train {config}.yaml again, with its pictures"
            )
        image = pixels(draw(load(path)))
    path = FOLDER / f"{name}.png"
    write(image, path, own_colours=name == BOARD)
    with PIL.Image.open(path) as made:
        size = f"{made.width}x{made.height}"
    print(f"{path.relative_to(ROOT)}: {size}, {path.stat().st_size / 1000:.0f} kB", flush=True)


def main(words: list[str] | None = None) -> None:
    """See the head of this file."""
    names = [*PICTURES, BOARD]
    parser = argparse.ArgumentParser(description="Make the pictures of the README and the pages.")
    parser.add_argument("--runs", type=Path, help="folder of finished runs: NAME/version_N")
    parser.add_argument("--only", choices=names, help="this picture, even where it is there")
    options = parser.parse_args(words)
    for name in [options.only] if options.only else names:
        if options.only is None and (FOLDER / f"{name}.png").exists():
            continue
        try:
            make(name, options.runs)
        except MissingRunError as error:
            parser.error(str(error))


if __name__ == "__main__":
    main()
