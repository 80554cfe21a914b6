"""The figure of growth.py: five panels, seconds in one colour, memory in the other."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from sae.pictures.style import FAINT, FIRST, SECOND, SMALL, Box, label, panel, render, sheet

WIDTH, HEIGHT = 10.0, 6.2  # inches, at 100 dots each
ACROSS, DOWN = 2.2, 1.7
ROOM = 10  # MB that the panel of the epochs shows at least, up and down
LEFTS, TOPS = (0.75, 4.05, 7.25), (1.15, 4.0)


def draw(raw: dict[str, Any]) -> bytes:
    """The PNG of what growth.py has measured."""
    figure = sheet(WIDTH, HEIGHT, "How a training grows", raw["machine"].split(";")[0])
    label(figure, 0.15, 0.62, "● training, seconds (left)", color=FIRST, fontsize=SMALL)
    label(figure, 2.15, 0.62, "▲ peak memory, MB (right)", color=SECOND, fontsize=SMALL)
    places = [Box(left, top, ACROSS, DOWN) for top in TOPS for left in LEFTS]
    if "samples" in raw:
        line = raw["lines"]["seconds"]
        heading = f"R² = {line['r2']:.4f} of a line over the seconds"
        _growth(figure, places[0], raw["samples"], "samples", heading, line)
    names = [name for name in ("code size", "depth", "batch") if name in raw]
    for place, name in zip(places[1:], names, strict=False):
        rest = name if name != "depth" else "depth, stages of 256 units"
        _growth(figure, place, raw[name], rest, f"{raw[name][0]['samples']:,} samples")
    if "epochs" in raw:
        wide = LEFTS[2] - LEFTS[1] + ACROSS
        _epochs(figure, Box(LEFTS[1], TOPS[1], wide, DOWN), raw["epochs"])
    return render(figure).content


def _growth(
    figure: Figure,
    place: Box,
    points: Sequence[dict[str, Any]],
    name: str,
    heading: str,
    line: dict[str, float] | None = None,
) -> None:
    """Seconds and memory over what grows; logarithmic but for the depth."""
    x = [point["value"] for point in points]
    axis = panel(figure, place)
    right = axis.twinx()
    if not name.startswith("depth"):
        axis.set_xscale("log")
    if line is not None:
        axis.set_yscale("log")
        style: dict[str, Any] = {"color": FAINT, "lw": 0.8, "ls": "--"}
        axis.plot(x, [line["intercept"] + line["slope"] * value for value in x], **style)
    seconds, memory = ([point[key] for point in points] for key in ("seconds", "peak_mb"))
    axis.plot(x, seconds, "o-" if line is None else "o", color=FIRST, ms=4, lw=1)
    right.plot(x, memory, "^-", color=SECOND, ms=4, lw=1)
    _dress(axis, right, x, log=line is not None)
    _name(figure, place, heading, name)


def _dress(axis: Axes, right: Axes, x: Sequence[int], log: bool) -> None:
    """Ticks where something was measured; both scales from zero, unless they are logarithmic."""
    axis.xaxis.set_major_locator(NullLocator())
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticks(x, [_short(value) for value in x])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_minor_formatter(NullFormatter())
    if log:
        low, high = axis.get_ylim()
        ticks = [n * 10**k for k in range(-3, 5) for n in (1, 3) if low <= n * 10**k <= high]
        axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.yaxis.set_minor_locator(NullLocator())
    else:
        axis.set_ylim(0)
    right.set_ylim(0)
    _colour(axis, right)


def _colour(axis: Axes, right: Axes) -> None:
    """Each scale in the colour of what it measures."""
    axis.tick_params(axis="y", colors=FIRST, labelsize=SMALL, length=3)
    right.tick_params(axis="y", colors=SECOND, labelsize=SMALL, length=3)
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    for side in ("top", "left"):
        right.spines[side].set_visible(False)


def _short(value: int) -> str:
    """6000 as 6k."""
    return f"{value // 1000}k" if value >= 1000 and value % 1000 == 0 else str(value)


def _name(figure: Figure, place: Box, heading: str, below: str) -> None:
    label(figure, place.left, place.top - 0.14, heading, fontsize=SMALL, color=FAINT)
    middle = place.left + place.width / 2
    label(figure, middle, place.top + place.height + 0.38, below, fontsize=SMALL, ha="center")


def _epochs(figure: Figure, place: Box, told: dict[str, Any]) -> None:
    """How the memory at the end of each epoch differs from that when the process had settled."""
    axis = panel(figure, place)
    lines = (("all on", SECOND, "TensorBoard and pictures on"), ("quiet", FIRST, "off"))
    for k, (name, colour, words) in enumerate(line for line in lines if line[0] in told):
        kb, settled = told[name]["kb"], told[name]["settled"]
        mb = [(each - kb[settled]) / 1024 for each in kb]
        axis.plot(range(1, len(mb) + 1), mb, "o-", color=colour, ms=3, lw=0.8)
        axis.axvline(settled + 0.5, ymax=0.75, color=colour, lw=0.8, ls=":")
        text = f"{words}: {told[name]['kb_an_epoch']:+.1f} kB an epoch from epoch {settled + 1} on"
        style: dict[str, Any] = {"transform": axis.transAxes, "fontsize": SMALL, "color": colour}
        axis.text(0.99, 0.97 - 0.11 * k, text, ha="right", va="top", **style)
    least, most = axis.get_ylim()
    axis.set_ylim(min(least, -ROOM), most + 0.5 * (most - min(least, -ROOM)))
    heading = "memory at the end of an epoch, MB more than when it had settled"
    _name(figure, place, heading, f"epoch, {told['samples']:,} samples, 784-64")
