"""How active the units of a code are, beside the activity they were to have."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sae.pictures.numbers import Numbers
from sae.pictures.picture import Picture
from sae.pictures.scene import Scene
from sae.pictures.style import FIRST, HEAD, INK, SECOND, SMALL, TEXT, Box, label, panel, sheet


def numbers(scene: Scene) -> Numbers:
    """Mean activity of each unit over the validation images, (units,), and which are dead.

    The activity is that of :class:`~sae.terms.sparsity.Sparsity`; of codes without one, the mean.
    """
    units = scene.units(scene.path)
    known = units.activity is not None
    recipe = scene.module.recipe
    rho = recipe.sparsity.rho if recipe.sparsity is not None else float("nan")
    return {
        "title": np.array(f"Activity · {scene.title}"),
        "subtitle": np.array(scene.dated(scene.probe.source_of_all)),
        "activity": (units.activity if units.activity is not None else units.mean).numpy(),
        "is_activity": np.array(known),
        "dead": units.dead.numpy(),
        "always_on": np.array([]) if units.always_on is None else units.always_on.numpy(),
        "rho": np.array(rho),
        "bounded": np.array(scene.path.activation in ("sigmoid", "tanh")),
    }


def draw(numbers: Numbers) -> Figure:
    """A histogram of the units, the dead ones apart, with their mean and rho."""
    activity, dead, rho = numbers["activity"], numbers["dead"], float(numbers["rho"])
    figure = sheet(7.2, 3.75, str(numbers["title"]), str(numbers["subtitle"]))
    axis = panel(figure, Box(0.75, HEAD + 0.1, 4.1, 2.5))
    low, high = min(0.0, activity.min()), max(activity.max(), 1e-6)
    if not np.isnan(rho):
        high = max(high, 2 * rho)
    elif numbers["bounded"]:
        high = 1.0
    edges = np.linspace(low, high * 1.001, 41)
    living, all_units = (np.histogram(part, edges)[0] for part in (activity[~dead], activity))
    # The dead ones stand on the living: what is orange of a bar is their number.
    words = f"dead, on top ({dead.sum()})" if dead.any() else "dead (0)"
    style: dict[str, Any] = {"fill": True, "lw": 0}
    axis.stairs(all_units, edges, baseline=living, color=SECOND, label=words, **style)
    axis.stairs(living, edges, color=FIRST, label=f"alive ({(~dead).sum()})", **style)
    axis.axvline(activity.mean(), color=INK, lw=1.2, ls="--", label=f"mean {activity.mean():.3f}")
    if not np.isnan(rho):
        axis.axvline(rho, color=INK, lw=1.6, label=f"rho {rho:g}, the target")
    what = "mean activity" if numbers["is_activity"] else "mean value"
    axis.set_xlabel(f"{what} of a unit over the images", fontsize=TEXT)
    axis.set_ylabel("units", fontsize=TEXT)
    axis.legend(frameon=False, fontsize=SMALL, loc="upper left", bbox_to_anchor=(1.02, 1.0))
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    if len(numbers["always_on"]):
        always = f"always on: {int(numbers['always_on'].sum())}"
        label(figure, 4.98, HEAD + 1.15, always, fontsize=SMALL)
    return figure


class Activity(Picture):
    """See :func:`numbers` and :func:`draw`."""

    caption = "How active each unit is on average, beside the target rho where there is one."
    rank = 50

    def numbers(self, scene: Scene) -> Numbers | None:
        """What it shows."""
        return numbers(scene)

    def draw(self, numbers: Numbers) -> Figure:
        """The figure."""
        return draw(numbers)
