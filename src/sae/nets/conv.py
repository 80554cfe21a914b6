"""The convolutional layer: encodes by a strided convolution, decodes by a transposed one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sae.errors import InputError, check_bool, check_choice, check_integer
from sae.nets.activations import ACTIVATIONS, inverse_activation, start_gain
from sae.nets.dense import MOST_WEIGHTS, Dense
from sae.nets.layer import Layer, as_shape

MOST_CHANNELS = 10_000


class Conv(Layer):
    """An autoencoder of images: h = f(W * x + b), x^ = g(W' *ᵀ h + b').

    ``*`` is a convolution with steps of ``stride`` and zeros around the image. ``*ᵀ`` is the
    transposed convolution: it adds a kernel, times the code, at each place of the code. With an odd
    kernel and a stride of 2 the code has half the height and width, rounded up; the decoder returns
    exactly the shape of the input. There is one bias for each channel. (With one bias b' for each
    pixel, started at the mean image, black borders never changed: on MNIST the first stages of
    convolutional.yaml then ended at an SSE of 1.40, 1.65 and 3.17 instead of 1.05, 1.34 and 2.53.)

    Inputs and codes are flat rows in the order (height, width, channels), so a dense layer can
    follow.

    Masci, Meier, Cireşan & Schmidhuber (2011), "Stacked Convolutional Auto-Encoders for
    Hierarchical Feature Extraction"; strides in place of pooling: Springenberg et al. (2015),
    "Striving for Simplicity"; the transposed convolution: Dumoulin & Visin (2016), "A guide to
    convolution arithmetic for deep learning", section 4.

    Args:
        in_shape: (height, width), or (height, width, channels).
        channels: Channels of the code.
        kernel: Height and width of the kernel.
        stride: Step of the kernel, down and to the right; at most ``kernel``.
        activation: f, one of :data:`~sae.nets.activations.ACTIVATIONS`.
        output: g, one of :data:`~sae.nets.activations.ACTIVATIONS`.
        loss: ``"mse"`` or ``"bce"``.
        tied: Whether W' = W, one parameter for both.

    Raises:
        InputError: An option is out of range, the input is not an image, or the kernel does not fit
            the image.
    """

    def __init__(
        self,
        in_shape: int | Sequence[int],
        channels: int,
        kernel: int = 5,
        stride: int = 2,
        activation: str = "sigmoid",
        output: str = "sigmoid",
        loss: str = "mse",
        tied: bool = False,
    ) -> None:
        shape = as_shape(in_shape)
        if len(shape) not in (2, 3):
            found = f"{shape[0]} features" if len(shape) == 1 else f"a shape {list(shape)}"
            remedy = "give input_shape such as [28, 28], and place conv layers below dense ones"
            raise InputError("kind", "images as the input of a conv layer", found, remedy)
        check_integer("channels", channels, 1, "give a number such as 16", high=MOST_CHANNELS)
        check_integer("kernel", kernel, 1, "give its height and width, such as 5")
        check_integer("stride", stride, 1, "give the step between its places, such as 2")
        check_choice("activation", activation, list(ACTIVATIONS))
        check_bool("tied", tied)
        size, image = shape[:2], (*shape, 1)[:3]
        if kernel > min(size):
            expected = f"at most {min(size)}, for images of {size[0]}x{size[1]}"
            raise InputError("kernel", expected, str(kernel), "give a smaller one, or fewer layers")
        if stride > kernel:
            remedy = "a larger step leaves pixels out"
            raise InputError("stride", f"at most the kernel, {kernel}", str(stride), remedy)
        if channels * image[2] * kernel**2 > MOST_WEIGHTS:  # checked before memory runs out
            expected = f"a layer of at most {MOST_WEIGHTS:,} weights"
            found = f"{channels * image[2] * kernel**2:,}"
            raise InputError("channels", expected, found, "give fewer channels")
        self.padding = (kernel - 1) // 2
        places = [(n + 2 * self.padding - kernel) // stride + 1 for n in size]
        # Pixels at the lower and the right border that no step of the kernel reaches.
        over = [(n + 2 * self.padding - kernel) % stride for n in size]
        super().__init__(shape, (*places, channels), activation, output, loss)
        self.image, self.over = image, over
        self.kernel, self.stride, self.tied = kernel, stride, tied
        self.weight = nn.Parameter(torch.empty(channels, image[2], kernel, kernel))  # W
        self.bias = nn.Parameter(torch.empty(channels))  # b
        # W', or None if tied.
        self.decoder_weight = None if tied else nn.Parameter(torch.empty_like(self.weight))
        self.decoder_bias = nn.Parameter(torch.empty(image[2]))  # b'
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new weights; biases are zero.

        Weights are uniform with variance gain² · 2 / (m + n) (Glorot & Bengio 2010): a unit has m
        inputs, and a reconstructed pixel has n (fewer with a larger stride).
        """
        per_unit = self.image[2] * self.kernel**2
        per_input = self.code_shape[2] * self.kernel**2 / self.stride**2
        for weight, unit in ((self.weight, self.activation), (self.decoder_weight, self.output)):
            if weight is not None:
                bound = start_gain(unit) * math.sqrt(6 / (per_unit + per_input))
                nn.init.uniform_(weight, -bound, bound, generator=generator)
        nn.init.zeros_(self.bias)
        nn.init.zeros_(self.decoder_bias)

    @torch.no_grad()
    def start_at_mean(self, mean: Tensor) -> None:
        """Set b' so that a zero code gives the mean of each channel of the inputs.

        Args:
            mean: Mean of the inputs, (n_in,), in the range of the output unit.
        """
        of_channels = _images(mean[None], self.image).mean(dim=(0, 2, 3))
        self.decoder_bias.copy_(inverse_activation(self.output, of_channels))

    @torch.no_grad()
    def fit_start(self, x: Tensor, mean: Tensor) -> None:
        """Fit the scale and the biases of the initial weights to the inputs.

        As in :class:`~sae.nets.dense.Dense`, but a channel has one bias for all its places. W is
        scaled so that W * (x - mean) has a standard deviation of ``Dense.start_spread`` over places
        and samples. For the mean input, b makes the mean of W * x + b over the places 0. b' makes
        the mean reconstruction of each channel equal to the mean of its inputs.

        Args:
            x: Some of the inputs, (n, n_in).
            mean: Mean of all inputs, (n_in,), in the range of the output unit.
        """
        nn.init.zeros_(self.bias)
        spread = self._convolved(x - mean).std(correction=0)
        if spread > 0:  # otherwise the inputs do not vary
            self.weight.mul_(Dense.start_spread / spread)
        self.bias.copy_(-self._convolved(mean[None]).mean(dim=(0, 2, 3)))
        self.start_at_mean(mean)
        code = self.encode(x).mean(dim=0, keepdim=True)
        self.decoder_bias.sub_(self._laid_down(code, None).mean(dim=(0, 2, 3)))

    def encode(self, x: Tensor) -> Tensor:
        """Return f(W * x + b): (batch, n_in) -> (batch, n_code)."""
        return ACTIVATIONS[self.activation](_rows(self._convolved(x)))

    def decode_logits(self, h: Tensor) -> Tensor:
        """Return W' *ᵀ h + b': (batch, n_code) -> (batch, n_in)."""
        return _rows(self._laid_down(h, self.decoder_bias))

    def _convolved(self, x: Tensor) -> Tensor:
        """Return W * x + b: (batch, n_in) -> (batch, channels, height', width')."""
        images = _images(x, self.image)
        return F.conv2d(images, self.weight, self.bias, self.stride, self.padding)

    def _laid_down(self, h: Tensor, bias: Tensor | None) -> Tensor:
        """Return W' *ᵀ h plus ``bias``: (batch, n_code) -> (batch, channels, height, width)."""
        weight = self.weight if self.decoder_weight is None else self.decoder_weight
        h = _images(h, self.code_shape)
        return F.conv_transpose2d(h, weight, bias, self.stride, self.padding, self.over)

    def first_weights(self) -> dict[str, Tensor] | None:
        """Return the kernels of each channel, if inputs are grey or colour images."""
        if self.image[2] not in (1, 3):
            return None
        encoder = self._kernels(self.weight)
        if self.decoder_weight is None:
            return {"kernels, of encoder and decoder (tied)": encoder}
        return {"encoder kernels": encoder, "decoder kernels": self._kernels(self.decoder_weight)}

    @staticmethod
    def _kernels(weight: Tensor) -> Tensor:
        """Return kernels as images: (channels, kernel, kernel), or (…, 3) in colour."""
        kernels = weight.detach().permute(0, 2, 3, 1)
        return kernels.squeeze(3) if kernels.shape[3] == 1 else kernels

    def units_to_show(self, most: int) -> Sequence[int]:
        """Return the middle unit of each channel; the other units of a channel share its kernel."""
        height, width, channels = self.code_shape
        first = (height // 2 * width + width // 2) * channels
        return range(first, first + min(most, channels))

    def multiply_adds(self) -> int:
        """Return the multiplications per sample: each weight is used at each place, twice."""
        height, width, _ = self.code_shape
        return 2 * height * width * self.weight.numel() + self.n_code + self.n_in

    def extra_repr(self) -> str:
        """Return shapes, kernel, activations and loss, for ``print(layer)``."""
        kernel = f", kernel {self.kernel}, stride {self.stride}"
        return super().extra_repr() + kernel + (", tied" if self.tied else "")


def _images(x: Tensor, shape: Sequence[int]) -> Tensor:
    """View rows (batch, height · width · channels) as (batch, channels, height, width)."""
    return x.reshape(-1, *shape).permute(0, 3, 1, 2)


def _rows(images: Tensor) -> Tensor:
    """Turn images into rows: the reverse of :func:`_images`."""
    return images.permute(0, 2, 3, 1).flatten(1)
