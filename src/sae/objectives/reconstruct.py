"""To rebuild the input: what an autoencoder is trained for, a stage as well as the stack."""

from __future__ import annotations

from torch import Tensor

from sae.batch import Batch
from sae.figure import Figure, Figures
from sae.nets.layer import Autoencoder
from sae.nets.stack import Stack
from sae.objectives.objective import Objective
from sae.place import Place


class Reconstruct(Objective):
    """Bring x^ = decode(h) close to the clean x, by the loss of the network: SSE or nats."""

    part = "reconstruction"

    def __init__(self) -> None:
        super().__init__()
        self._below = (Stack(),)  # not registered: the module of the phase has it already
        self.pixels = False

    @classmethod
    def of_stage(cls, below: Stack, pixels: bool = False) -> Reconstruct:
        """That of a stage.

        Args:
            below: Frozen layers between the pixels and the layer that is trained.
            pixels: Whether the images are to be rebuilt, through their frozen decoders, and not
                the codes that the layer is given.
        """
        objective = cls()
        objective._below, objective.pixels = (below,), pixels and len(below) > 0
        return objective

    @property
    def below(self) -> Stack:
        """The frozen layers below."""
        return self._below[0]

    def losses(self, net: Autoencoder, h: Tensor, batch: Batch, place: Place) -> dict[str, Tensor]:
        """The reconstruction loss per image, or per code."""
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
        """``sse`` of the clean inputs, and ``image_sse``, that in pixels, through all layers.

        With ``bce``, the cross-entropy, where the network is trained on that.
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
        """SSE of the corrupted samples themselves, and of what is made of them."""
        return {
            "corrupted_sse": net.squared_error(x_tilde, batch.x),
            "denoised_sse": net.squared_error(net(x_tilde), batch.x),
        }

    def finish(self, net: Autoencoder, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add ``mse``, per pixel."""
        return {**means, "mse": means["sse"] / net.n_in}

    def figures(self) -> Figures:
        """SSE and MSE; cross-entropy where it is the loss."""
        return {
            "sse": Figure("{part} SSE per image"),
            "mse": Figure("{part} MSE per pixel", "{:.5f}"),
            "bce": Figure("{part} cross-entropy per image, nats"),
            "corrupted_sse": Figure("SSE of the corrupted {part} images", better=""),
            "denoised_sse": Figure("SSE of their restorations"),
        }

    def unit(self, net: Autoencoder) -> str:
        """SSE or nats."""
        loss = self.below.loss if self.pixels else net.loss
        if net.columns is not None and net.columns.groups and loss == "mse":
            return "SSE and nats per image"
        return f"{'nats' if loss == 'bce' else 'SSE'} per image"

    def predict(self, net: Autoencoder, batch: Batch) -> dict[str, Tensor]:
        """``sse``, the squared error of each sample."""
        return {"sse": net.errors(net(batch.x), batch.x).sum(dim=1)}
