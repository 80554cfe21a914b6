"""What is restored of images under more and more noise, with the gain in PSNR."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from matplotlib.figure import Figure
from torchmetrics.functional.image import peak_signal_noise_ratio

from sae.devices import beside
from sae.pictures.numbers import Numbers
from sae.pictures.picture import Picture
from sae.pictures.scene import Scene
from sae.pictures.style import (
    FAINT,
    FIRST,
    HEAD,
    SECOND,
    SMALL,
    TEXT,
    Box,
    grid,
    label,
    panel,
    sheet,
    show,
    tile,
)
from sae.seeding import derive_generator

LEVELS = {
    "masking": (0.1, 0.3, 0.5, 0.7),
    "gaussian": (0.1, 0.3, 0.5, 0.8),
    "salt_and_pepper": (0.1, 0.2, 0.3, 0.5),
}
UNITS = {
    "masking": "fraction of pixels set to zero",
    "gaussian": "standard deviation of the noise",
    "salt_and_pepper": "fraction of pixels set to black or white",
}
TILE, LEFT = 0.5, 1.55


def numbers(scene: Scene) -> Numbers | None:
    """Images under noise and restored, (levels, 2, rows, height, width), and their PSNR in dB.

    The PSNR is 10·log10(range² / mean squared error per pixel), over all images of the probe, where
    the range of pixels is 1. None where the phase trains without noise, or on codes instead of
    pixels.
    """
    corruption, probe = scene.module.recipe.corruption, scene.probe
    if corruption is None or len(scene.module.below) or corruption.level == 0:
        return None
    levels = sorted({*LEVELS[corruption.kind], corruption.level})
    clean = beside(scene.path, probe.images)
    images, psnr, span = [], [], probe.white - probe.black
    for level in levels:
        seed = derive_generator(scene.module.seed, "denoising picture", device=clean.device)
        noisy = replace(corruption, level=level)(clean, seed, scene.module.input_range)
        with torch.no_grad():
            restored = scene.path(noisy)
        images.append(torch.stack([noisy[probe.rows], restored[probe.rows]]))
        pair = (noisy, restored)
        psnr.append([peak_signal_noise_ratio(x, clean, span).item() for x in pair])
    return {
        "title": np.array(f"Denoising · {scene.title}"),
        "subtitle": np.array(
            f"{scene.subtitle}{probe.some} · trained with {corruption.kind} at "
            f"{corruption.level:g} · dB: PSNR, how close to the clean image; higher is better"
        ),
        "unit": np.array(UNITS[corruption.kind]),
        "clean": probe.as_images(probe.images[probe.rows]),
        "images": probe.as_images(torch.stack(images)),
        "levels": np.array(levels),
        "trained": np.array(corruption.level),
        "psnr": np.array(psnr),
        "classes": probe.named(probe.labels[probe.rows]),
    }


def draw(numbers: Numbers) -> Figure:
    """Left the images, a pair of lines a level; right the PSNR against the level."""
    images, psnr, levels = numbers["images"], numbers["psnr"], numbers["levels"]
    _, _, n, height, width, *colours = images.shape
    gap = max(1, height // 5)
    lines = [grid(numbers["clean"], n)]
    for pair in images:
        blank = np.ones((gap, *lines[0].shape[1:]))
        lines += [blank, grid(pair.reshape(-1, height, width, *colours), n)]
    picture = np.concatenate(lines).clip(0, 1)
    side, down = tile(height, width, TILE)
    inch = down / (height + 1)  # of a pixel, downwards
    wide, tall = picture.shape[1] * side / (width + 1), picture.shape[0] * inch
    top = HEAD + 0.15
    figure = sheet(
        LEFT + wide + 4.1,
        max(top + tall + 0.15, 4.2),
        str(numbers["title"]),
        str(numbers["subtitle"]),
    )
    show(figure, Box(LEFT, top, wide, tall), picture)
    _label(figure, top + (1 + height / 2) * inch, "clean")
    for k, level in enumerate(levels):
        middle = top + (height * 1.5 + gap + 3 + k * (2 * height + 3 + gap)) * inch
        noisy, restored = psnr[k]
        trained = " (trained)" if level == numbers["trained"] else ""
        _label(figure, middle, f"noise {level:g}{trained}\n{noisy:.1f} dB")
        gain = f"restored\n{restored:.1f} dB ({restored - noisy:+.1f})"
        _label(figure, middle + down, gain)
    axis = panel(figure, Box(LEFT + wide + 0.75, top + 0.05, 3.1, 2.6))
    axis.plot(levels, psnr[:, 1], "o-", color=FIRST, label="restored")
    axis.plot(levels, psnr[:, 0], "s--", color=SECOND, label="corrupted")
    axis.axvline(float(numbers["trained"]), color=FAINT, lw=0.8, ls=":", label="trained with")
    axis.set_xlabel(str(numbers["unit"]), fontsize=TEXT)
    axis.set_ylabel("PSNR (dB), higher is better", fontsize=TEXT)
    axis.legend(frameon=False, fontsize=SMALL)
    return figure


def _label(figure: Figure, top: float, words: str) -> None:
    label(figure, LEFT - 0.1, top, words, ha="right", fontsize=SMALL)


class Denoising(Picture):
    """See :func:`numbers` and :func:`draw`."""

    caption = (
        "Images under more and more noise, and restored. PSNR, in dB, says how close an image is "
        "to the clean one: higher is better. In brackets: the gain."
    )
    rank = 20
    needs_decoder = True

    def numbers(self, scene: Scene) -> Numbers | None:
        """What it shows."""
        return numbers(scene)

    def draw(self, numbers: Numbers) -> Figure:
        """The figure."""
        return draw(numbers)
