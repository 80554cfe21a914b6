"""Rebuild the input: the usual objective of an autoencoder, of a stage and of the stack."""

from __future__ import annotations

from torch import Tensor

from sae.batch import Batch
from sae.figure import Figure, Figures
from sae.nets.layer import Autoencoder
from sae.nets.stack import Stack
from sae.objectives.objective import Objective
from sae.place import Place


class Reconstruct(Objective):
    """Bring x^ = decode(h) close to the clean x, by the network's loss: SSE or nats per image."""

    part = "reconstruction"

    def __init__(self) -> None:
        super().__init__()
        self._below = (Stack(),)  # not registered: the module of the phase has it already
        self.pixels = False

    @classmethod
    def of_stage(cls, below: Stack, pixels: bool = False) -> Reconstruct:
        """Return the objective of a stage.

        Args:
            below: Frozen layers between the pixels and the layer that is trained.
            pixels: Whether to rebuild the images, through the frozen decoders of ``below``, instead
                of the codes that are the layer's input.
        """
        objective = cls()
        objective._below, objective.pixels = (below,), pixels and len(below) > 0
        return objective

    @property
    def below(self) -> Stack:
        """The frozen layers below the trained one."""
        return self._below[0]

    def losses(self, net: Autoencoder, h: Tensor, batch: Batch, place: Place) -> dict[str, Tensor]:
        """Return the reconstruction loss per image, or per code."""
        return {"loss": self._loss(net, h, batch)}

    def _loss(self, net: Autoencoder, h: Tensor, batch: Batch) -> Tensor:
        if not self.pixels:
            return net.reconstruction_loss(h, batch.x)
        assert batch.images is not None
        return self.below.reconstruction_loss(net.decode(h), batch.images)

    def measure(
        self,
        net: Autoencoder,
        h: Tensor,
        batch: Batch,
        place: Place,
        losses: dict[str, Tensor] | None,
    ) -> dict[str, Tensor]:
        """Return ``sse`` of the clean inputs, and ``image_sse`` in pixels, through all layers.

        If the network is trained with cross-entropy, ``bce`` is returned, too, in nats.
        """
        if losses is not None and net.loss == "mse" and not self.pixels and not net.columns:
            sse = losses["loss"]
        else:
            sse = net.squared_error(net.decode(h), batch.x)
        image_sse = sse
        if batch.images is not None:
            image_sse = self.below.squared_error(self.below.decode(net.decode(h)), batch.images)
        found = {"sse": sse, "image_sse": image_sse}
        if net.loss == "bce" and not self.pixels:
            own = net.reconstruction_loss(h, batch.x) if losses is None else losses["loss"]
            found["bce"] = own
        return found

    def restored(self, net: Autoencoder, x_tilde: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the SSE of the corrupted samples, and of their reconstructions."""
        return {
            "corrupted_sse": net.squared_error(x_tilde, batch.x),
            "denoised_sse": net.squared_error(net(x_tilde), batch.x),
        }

    def finish(self, net: Autoencoder, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return ``means`` with ``mse``, the SSE divided by the number of pixels."""
        return {**means, "mse": means["sse"] / net.n_in}

    def figures(self) -> Figures:
        """Return how SSE, MSE and cross-entropy are shown."""
        return {
            "sse": Figure("{part} SSE per image"),
            "mse": Figure("{part} MSE per pixel", "{:.5f}"),
            "bce": Figure("{part} cross-entropy per image, nats"),
            "corrupted_sse": Figure("SSE of the corrupted {part} images", better=""),
            "denoised_sse": Figure("SSE of their restorations"),
        }

    def unit(self, net: Autoencoder) -> str:
        """Return the unit of the loss: SSE or nats per image."""
        loss = self.below.loss if self.pixels else net.loss
        if net.columns is not None and net.columns.groups and loss == "mse":
            return "SSE and nats per image"
        return f"{'nats' if loss == 'bce' else 'SSE'} per image"

    def predict(self, net: Autoencoder, batch: Batch) -> dict[str, Tensor]:
        """Return ``sse``, the squared error of each sample, (batch,)."""
        return {"sse": net.errors(net(batch.x), batch.x).sum(dim=1)}
