"""New images: what the decoder makes of codes that are drawn from the prior."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sae.devices import beside
from sae.nets.layer import Autoencoder
from sae.pictures.numbers import Numbers
from sae.pictures.picture import Picture
from sae.pictures.scene import Scene
from sae.pictures.style import HEAD, MARGIN, NARROW, Box, sheet, show, square, tile

SIDE, TILE = 10, 0.69
SEED = 0


@torch.no_grad()
def new_samples(net: Autoencoder, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Codes drawn from N(0, I), (n, units), and what is decoded of them, (n, features).

    They are drawn one after another on the CPU: the first of 100 are those of 10, on any device.

    Args:
        net: One with a prior, in eval mode.
        n: How many.
        seed: Of the codes.
    """
    generator = torch.Generator().manual_seed(seed)
    codes = torch.stack([torch.randn(net.n_code, generator=generator) for _ in range(n)])
    return codes, net.decode(beside(net, codes)).float().cpu()


def numbers(scene: Scene) -> Numbers | None:
    """New images and their codes, always from the same codes; None for a code without a prior."""
    path = scene.path
    if not path.has_prior:
        return None
    codes, pixels = new_samples(path, SIDE * SIDE, SEED)
    return {
        "title": np.array(f"New samples · {scene.title}"),
        "subtitle": np.array(f"{scene.when} · decoded from codes drawn from N(0, I)"),
        "codes": codes.numpy(),
        "images": scene.probe.as_images(pixels),
    }


def draw(numbers: Numbers) -> Figure:
    """The images in a square."""
    images = numbers["images"]
    across, down = tile(images.shape[1], images.shape[2], TILE)
    wide, tall = SIDE * across, SIDE * down
    title, subtitle = str(numbers["title"]), str(numbers["subtitle"])
    figure = sheet(max(NARROW, wide + 2 * MARGIN), HEAD + tall + MARGIN, title, subtitle)
    show(figure, Box(MARGIN, HEAD, wide, tall), square(images.clip(0, 1)))
    return figure


class Samples(Picture):
    """See :func:`numbers` and :func:`draw`."""

    caption = "New images: the decoder's answer to codes drawn from the prior, N(0, I)."
    rank = 65
    slides = True
    needs_decoder = True

    def numbers(self, scene: Scene) -> Numbers | None:
        """What it shows."""
        return numbers(scene)

    def draw(self, numbers: Numbers) -> Figure:
        """The figure."""
        return draw(numbers)
