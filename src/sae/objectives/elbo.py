"""The evidence lower bound of a variational autoencoder with Bernoulli pixels, in nats."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sae.batch import Batch
from sae.devices import send
from sae.errors import InputError, check_choice, check_integer
from sae.figure import Figure, Figures
from sae.nets.layer import Autoencoder
from sae.nets.reconstruction_loss import squared_error
from sae.nets.stack import Stack
from sae.nets.variational import Variational
from sae.objectives.reconstruct import Reconstruct
from sae.place import Place
from sae.seeding import derive_generator
from sae.terms.gaussian_kl import gaussian_kl

BINARISE = ("dynamic", "none")
# Number of samples whose pixels are drawn with one seed.
BLOCK = 64


class Elbo(Reconstruct):
    """Minimise -ELBO = -E_q(z|x)[log p(x|z)] + KL(q(z|x) || p(z)), with one z per image.

    p(x|z) is a Bernoulli distribution for each pixel: its negative logarithm is the network's
    cross-entropy. The variational layer at the top adds the divergence to the loss, times its
    kl_weight. The figure ``elbo`` always uses the weight 1, so it is the bound itself.

    Kingma & Welling (2014), "Auto-Encoding Variational Bayes", equations 3 and 7.

    Args:
        binarise: dynamic: pixels become 0 or 1, with their grey value as the probability of 1. Each
            training step draws them again; each validation and test image is drawn once, the same
            for every seed (Salakhutdinov & Murray 2008, and the figures of Burda et al. 2016).
            none: pixels keep their grey values; then the log-likelihood cannot be compared with
            published figures.
        samples: k of the log-likelihood in a test; 0 leaves it out. Burda et al. use 5000.

    Raises:
        InputError: A value is out of range.
    """

    part: ClassVar[str] = "reconstruction"

    def __init__(self, binarise: str = "dynamic", samples: int = 100) -> None:
        check_choice("binarise", binarise, BINARISE)
        check_integer("samples", samples, 0, "give the number of samples of each image, or 0")
        super().__init__()
        self.binarise, self.samples = binarise, samples

    def attach(self, net: Autoencoder, n_classes: int) -> None:
        """Raise :class:`InputError` unless the ELBO is defined for this network."""
        layers = list(net) if isinstance(net, Stack) else []
        random = [k for k, layer in enumerate(layers) if not layer.is_deterministic]
        if not layers or random != [len(layers) - 1] or not isinstance(layers[-1], Variational):
            remedy = "write {kind: variational, units: 50} last in model.layers, and nowhere else"
            where = ", ".join(str(k + 1) for k in random)
            found = f"random codes in layer {where} of {len(layers)}" if random else "none"
            raise InputError("objective", "one variational layer, at the top", found, remedy)
        if net.columns is not None:
            found, remedy = "categories, or values that are missing", "choose another objective"
            raise InputError("objective", "pixels, each from 0 to 1", found, remedy)
        if net.loss != "bce":
            remedy = "choose --model.loss bce"
            raise InputError("objective", "a network with loss bce", repr(net.loss), remedy)

    def prepare(self, batch: Batch, place: Place) -> Batch:
        """Draw the pixels, if ``binarise`` says so; the grey ones are kept as ``images``."""
        if self.binarise == "none":
            return batch
        if place.epoch is None and batch.number is not None:
            drawn = _always(batch.number, batch.x) < batch.x
        else:
            drawn = place.uniform("pixels", batch.x) < batch.x
        return batch._replace(x=drawn.to(batch.x.dtype), images=batch.x)

    def measure(
        self,
        net: Autoencoder,
        h: Tensor,
        batch: Batch,
        place: Place,
        losses: dict[str, Tensor] | None,
    ) -> dict[str, Tensor]:
        """Return ``elbo``, with one sample of the code per image, and ``sse`` of the grey images.

        The SSE uses the mean of the code, so that it can be compared with other autoencoders.
        """
        code = net.code_for_training(batch.x, place)
        assert code.mean is not None
        assert code.logvar is not None
        kl = gaussian_kl(code.mean, code.logvar).sum(dim=1).mean()
        grey = batch.x if batch.images is None else batch.images
        sse = squared_error(net(grey), grey)
        elbo = -net.reconstruction_loss(code.h, batch.x) - kl
        return {"elbo": elbo, "sse": sse, "image_sse": sse}

    def tested(self, net: Autoencoder, batch: Batch, place: Place) -> dict[str, Tensor]:
        """Return ``log_likelihood`` in nats per image; nothing with ``samples`` 0."""
        if not self.samples:
            return {}
        return {"log_likelihood": log_likelihood(net, batch.x, place, self.samples).mean()}

    def figures(self) -> Figures:
        """Return how the bound, the likelihood and the squared errors are shown."""
        likelihood = f"{{part}} log-likelihood, nats per image, {self.samples:,} samples"
        return {
            "elbo": Figure("{part} ELBO, nats per image", better="higher"),
            "log_likelihood": Figure(likelihood, better="higher"),
            **super().figures(),
        }

    def restored(self, net: Autoencoder, x_tilde: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the SSE of corrupted and restored samples, compared with the grey images."""
        grey = batch.x if batch.images is None else batch.images
        return super().restored(net, x_tilde, batch._replace(x=grey))


def log_likelihood(net: Autoencoder, x: Tensor, place: Place, samples: int) -> Tensor:
    """Estimate log p(x) of each image by importance sampling, in nats.

    The estimate is log 1/k Σ_i p(x|z_i) p(z_i) / q(z_i|x) with z_i ~ q(z|x), from Burda, Grosse &
    Salakhutdinov (2016), "Importance Weighted Autoencoders", equation 8. In expectation it is at
    most log p(x), and closer to it with more samples; with one sample it is the ELBO.

    Args:
        net: A stack whose top layer is variational and the only random one.
        x: Images of 0 and 1, (batch, pixels).
        place: The place that the samples are drawn from.
        samples: k, 1 or more. The memory needed does not grow with k.

    Returns:
        Nats, (batch,).
    """
    first = net.code_for_training(x, place)
    assert first.mean is not None
    assert first.logvar is not None
    mean, logvar = first.mean.float(), first.logvar.float()  # half precision otherwise, if mixed
    spread, total = (logvar / 2).exp(), None
    for k in range(samples):
        noise = place.inside("importance", k).normal("code", mean)
        z = mean + spread * noise
        # log p(z) - log q(z|x): the constants are the same in both.
        ratio = (noise.square() - z.square() + logvar).sum(dim=1) / 2
        logits = net.decode_logits(z).float()
        # log p of Bernoulli pixels: x · logit - log(1 + exp(logit)).
        weight = ratio + (x * logits).sum(dim=1) - F.softplus(logits).sum(dim=1)
        total = weight if total is None else torch.logaddexp(total, weight)
    assert total is not None
    return total - math.log(samples)


def _always(number: Tensor, x: Tensor) -> Tensor:
    """Return uniform numbers in [0, 1) that depend only on the number of the sample in its set.

    They are drawn on the CPU, because other devices draw other numbers.

    Args:
        number: Number of each sample, (batch,).
        x: A tensor with the shape of the result, (batch, pixels), and on its device.
    """
    numbers = number.cpu()
    blocks, row = torch.unique(numbers // BLOCK, return_inverse=True)
    drawn = [
        torch.rand(BLOCK, x.shape[1], generator=derive_generator(0, "pixels", block))
        for block in blocks.tolist()
    ]
    return send(torch.cat(drawn)[row * BLOCK + numbers % BLOCK], x.device)
