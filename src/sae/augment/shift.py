"""Shift images by a few whole pixels.

Simard, Steinkraus & Platt (2003), "Best Practices for Convolutional Neural Networks Applied to
Visual Document Analysis", section 2, on translated copies of training images.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sae.augment.augmentation import Augmentation
from sae.errors import InputError, check_choice, check_integer
from sae.place import Place

PER = ("sample", "batch")


class Shift(Augmentation):
    """Shift images by random whole pixels, vertically and horizontally; new pixels are 0 (black).

    Args:
        most: Largest shift in pixels: both shifts are drawn uniformly from -most to most.
        per: ``sample`` draws a shift for each image, ``batch`` one for all images of a batch.

    Raises:
        InputError: A value is unknown or outside its range.
    """

    def __init__(self, most: int = 1, per: str = "sample") -> None:
        check_integer("most", most, 1, "give a number of pixels, such as 1")
        check_choice("per", per, PER)
        self.most, self.per = most, per

    def check_fits(self, pixels: int, image_shape: tuple[int, ...] | None) -> None:
        """Raise :class:`InputError` if samples are not images, or not larger than the shift."""
        height, width, *_ = image_shape or _square(pixels)
        if self.most >= min(height, width):
            expected = f"less than the height and width of images of {height}x{width}"
            remedy = "give fewer pixels, or leave augment out"
            raise InputError("augment.most", expected, str(self.most), remedy)

    def __call__(self, x: Tensor, place: Place, image_shape: tuple[int, ...] | None) -> Tensor:
        """Shift the images, (batch, pixels); without ``image_shape`` they are square and grey.

        Raises:
            InputError: The samples are not images, or not larger than the shift.
        """
        self.check_fits(x.shape[1], image_shape)
        height, width, *colours = image_shape or _square(x.shape[1])
        return shifted(x, self._drawn(x, place), (height, width), math.prod(colours), self.most)

    def _drawn(self, x: Tensor, place: Place) -> Tensor:
        """The shift of each image down and to the right in pixels, (batch, 2)."""
        if self.per == "batch":
            both = place.integers("shift", -self.most, self.most, 2)
            return torch.tensor(both, device=x.device).expand(len(x), 2)
        u = place.uniform("shift", torch.empty(len(x), 2, device=x.device))
        # u < 1, but the product may be rounded up to 2 · most + 1.
        return (u * (2 * self.most + 1)).long().clamp(max=2 * self.most) - self.most


def shifted(x: Tensor, by: Tensor, size: tuple[int, int], colours: int, most: int) -> Tensor:
    """Shift images by ``by``; new pixels are 0.

    Whole lines are copied from images with a border of zeros: this takes a tenth of the time of
    indexing each pixel.

    Args:
        x: Images, (batch, height · width · colours).
        by: Pixels down and to the right, (batch, 2), from -most to most.
        size: Height and width.
        colours: Values of a pixel: 1, or 3.
        most: Width of the border in pixels.

    Returns:
        A new tensor of the shape of ``x``.
    """
    height, width = size
    line, step = width * colours, (width + 2 * most) * colours
    framed = F.pad(x.reshape(len(x), height, line), (most * colours, most * colours, most, most))
    # A view of every stretch of the length of a line, one for each start; nothing is copied.
    stretches = framed.view(-1).as_strided((framed.numel() - line + 1, line), (1, 1))
    image = torch.arange(len(x), device=x.device) * ((height + 2 * most) * step)
    first = image + (most - by[:, 0]) * step + (most - by[:, 1]) * colours
    begins = first[:, None] + torch.arange(height, device=x.device) * step
    return stretches.index_select(0, begins.flatten()).view(x.shape)


def _square(pixels: int) -> tuple[int, int]:
    side = math.isqrt(pixels)
    if side**2 != pixels:
        remedy = "give data whose image_shape is known, or leave augment out"
        raise InputError("augment", "images to shift", f"{pixels} features", remedy)
    return side, side
