"""How close restored images are to clean ones, compared with a median filter and PCA."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sae.figure import Figure, Measured
from sae.look.pca import PCA

SSIM_SIDE, MEDIAN_SIDE = 11, 3
# Images per call: SSIM makes several copies of each.
PART = 500
WHO = {
    "corrupted": "{count}corrupted {images}",
    "restored": "their restorations",
    "median": f"a {MEDIAN_SIDE}x{MEDIAN_SIDE} median filter",
    "pca": "PCA-{components}",
}


def are_images(image_shape: Sequence[int]) -> bool:
    """Return whether a shape is that of an image large enough for the median filter."""
    return len(image_shape) >= 2 and min(image_shape[:2]) >= MEDIAN_SIDE


def median_filtered(x: Tensor, image_shape: Sequence[int]) -> Tensor:
    """Replace each pixel by the median of the 3x3 pixels around it, for each colour separately.

    At the edges the image is mirrored, with the outermost pixels repeated.

    Args:
        x: Images, (n, pixels), on the CPU.
        image_shape: Height and width, and 3 if they have colours.

    Returns:
        Images, (n, pixels).
    """
    from scipy import ndimage

    images = x.numpy().reshape(len(x), *image_shape)
    size = (1, MEDIAN_SIDE, MEDIAN_SIDE, *[1] * (len(image_shape) - 2))
    return torch.from_numpy(ndimage.median_filter(images, size=size)).reshape(x.shape)


class Comparison:
    """PSNR and SSIM of corrupted images, of their restorations, and of two simple methods.

    PSNR is 10·log10(span² / mean squared error per pixel, over all images) in dB; it is infinite
    for equal images. SSIM is averaged over the images, as in Wang, Bovik, Sheikh & Simoncelli
    (2004), "Image Quality Assessment", with their Gaussian window of 11 x 11 pixels and a standard
    deviation of 1.5; it is 1 for equal images. It is left out for images smaller than the window.

    Args:
        image_shape: Height and width, and 3 if they have colours.
        span: Difference between the largest and the smallest possible pixel.
        pca: Principal components of clean images; None leaves this method out.
        n_components: Number of components for rebuilding an image.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        span: float = 1.0,
        pca: PCA | None = None,
        n_components: int = 0,
    ) -> None:
        # Imported here, because this import is slow.
        from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

        self.image_shape, self.pca = tuple(image_shape), pca
        self.n_components = 0 if pca is None else min(n_components, len(pca.components))
        names = [who for who in WHO if who != "pca" or pca is not None]
        # Only the main process compares, so it must not wait for the others.
        self._psnr = {
            who: PeakSignalNoiseRatio(data_range=span, sync_on_compute=False) for who in names
        }
        large = min(self.image_shape[:2]) >= SSIM_SIDE
        self._ssim = {
            who: StructuralSimilarityIndexMeasure(data_range=span, sync_on_compute=False)
            for who in names
            if large
        }
        self.n = 0

    def add(self, noisy: Tensor, restored: Tensor, clean: Tensor) -> None:
        """Add images, (n, pixels) each, on the CPU.

        Args:
            noisy: Corrupted images.
            restored: Their reconstructions.
            clean: The clean images.
        """
        for first in range(0, len(clean), PART):
            parts = (each[first : first + PART] for each in (noisy, restored, clean))
            self._add(*parts)

    def _add(self, noisy: Tensor, restored: Tensor, clean: Tensor) -> None:
        images = {"corrupted": noisy, "restored": restored}
        images["median"] = median_filtered(noisy, self.image_shape)
        if self.pca is not None:
            rebuilt = self.pca.rebuild(noisy.numpy(), self.n_components)
            images["pca"] = torch.from_numpy(rebuilt.astype(np.float32))
        right = self._planes(clean)
        for measure in (self._psnr, self._ssim):
            for who, metric in measure.items():
                metric.update(self._planes(images[who]), right)
        self.n += len(clean)

    def figures(self, images: str = "images", count: int | None = None) -> dict[str, Measured]:
        """Return the figures of all added images.

        Args:
            images: Name of the images in texts; ``{part}`` stands for test or validation.
            count: How many they are, where a text has to say so.

        Returns:
            ``corrupted_psnr``, ``restored_psnr``, ``median_psnr`` and, with a PCA, ``pca_psnr``;
            then the same with ``ssim``, unless it is left out.
        """
        found = {}
        for name, measure in (("psnr", self._psnr), ("ssim", self._ssim)):
            unit, form = (", dB", "{:.2f}") if name == "psnr" else ("", "{:.3f}")
            for who, metric in measure.items():
                of = WHO[who].replace("{components}", str(self.n_components))
                of = of.replace("{images}", images)
                of = of.replace("{count}", "" if count is None else f"{count:,} ")
                better = "" if who == "corrupted" else "higher"
                figure = Figure(f"{name.upper()} of {of}{unit}", form, better)
                value = metric.compute()
                assert isinstance(value, Tensor)
                found[f"{who}_{name}"] = Measured(figure, float(value))
        return found

    def _planes(self, x: Tensor) -> Tensor:
        """Return (n, pixels) as (n, colours, height, width)."""
        images = x.reshape(len(x), *self.image_shape)
        return images[:, None] if len(self.image_shape) == 2 else images.movedim(-1, 1)
