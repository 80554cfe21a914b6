"""Noise on the input of a denoising autoencoder; the target stays clean.

Vincent, Larochelle, Lajoie, Bengio, Manzagol (2010), "Stacked Denoising Autoencoders", JMLR 11,
section 3.3. Noise is added only in training and validation steps, never in ``encode``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sae.errors import InputError, check_choice, check_number

KINDS = ("masking", "gaussian", "salt_and_pepper")


@dataclass(frozen=True)
class Corruption:
    """Computes x~, a corrupted copy of x.

    Args:
        kind: ``masking`` sets inputs to 0. ``gaussian`` adds noise with mean 0. ``salt_and_pepper``
            sets inputs to the minimum or the maximum, with equal probability. For codes these are
            the limits of the activation. For pixels they are 0 and 1, or the minimum and maximum of
            all training samples if some are outside [0, 1].
        level: For masking and salt_and_pepper the probability that an input is changed, in [0, 1),
            independently for each input. For gaussian the standard deviation in units of the input
            (pixels are in [0, 1]), 0 or more.

    Raises:
        InputError: ``kind`` is unknown or ``level`` lies outside its range.
    """

    kind: str
    level: float

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)
        if self.kind == "gaussian":
            remedy = "give the standard deviation of the noise, such as 0.3"
            check_number("level", self.level, 0.0, float("inf"), remedy)
        else:
            remedy = "give the fraction of inputs to corrupt, such as 0.3"
            check_number("level", self.level, 0.0, 1.0, remedy, high_open=True)

    def check_input(self, value_range: tuple[float, float]) -> None:
        """Raise :class:`InputError` if this noise is not defined on inputs of that range."""
        low, high = value_range
        if self.kind == "salt_and_pepper" and not (abs(low) < float("inf") > abs(high)):
            raise InputError(
                "kind",
                "masking or gaussian for inputs without a minimum and a maximum",
                "'salt_and_pepper'",
                "choose another kind, or sigmoid or tanh for the layer below",
            )

    def __call__(
        self,
        x: Tensor,
        generator: torch.Generator | None = None,
        value_range: tuple[float, float] = (0.0, 1.0),
    ) -> Tensor:
        """Corrupt a batch.

        Args:
            x: Clean inputs, any shape; not changed.
            generator: Random generator on the device of ``x``; None for the global one.
            value_range: Minimum and maximum of the inputs, for salt and pepper.

        Returns:
            A new tensor of the shape of ``x``.
        """
        if self.kind == "gaussian":
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            return x + self.level * noise
        u = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        if self.kind == "masking":
            return x * (u >= self.level)
        low, high = value_range
        x = torch.where(u < self.level / 2, torch.full_like(x, low), x)
        return torch.where((u >= self.level / 2) & (u < self.level), torch.full_like(x, high), x)
