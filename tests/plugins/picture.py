"""The mean of what a network rebuilds."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from matplotlib.figure import Figure

from sae.pictures.numbers import Numbers
from sae.pictures.picture import Picture
from sae.pictures.scene import Scene


class Averages(Picture):
    """Mean image, and mean reconstruction."""

    caption: ClassVar[str] = "The mean of the images, and of what is made of them."
    needs_decoder: ClassVar[bool] = True

    def numbers(self, scene: Scene) -> Numbers:
        with torch.no_grad():
            rebuilt = scene.path.decode(scene.codes_of(scene.path)).cpu()
        means = torch.stack([scene.probe.images.mean(dim=0), rebuilt.mean(dim=0)])
        return {"title": np.array(scene.title), "means": scene.probe.as_images(means)}

    def draw(self, numbers: Numbers) -> Figure:
        figure = Figure(figsize=(5, 3))
        figure.suptitle(str(numbers["title"]))
        for axis, image in zip(figure.subplots(1, 2), numbers["means"], strict=True):
            axis.imshow(image, cmap="gray")
        return figure
