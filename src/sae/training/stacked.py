"""The stacked autoencoder, fine-tuned as one to reconstruct its input."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchmetrics import MeanMetric, MeanSquaredError

from sae.errors import InputError
from sae.nets.build import build_stack
from sae.nets.stack import Stack
from sae.training.module import TrainingModule
from sae.training.recipe import Recipe


class StackedAutoencoder(TrainingModule):
    """Encoders AE1…AEn in order, their decoders in reverse.

    The decoder of a layer ends in the unit of the encoder below it, so that it can rebuild what
    that encoder gives; the first one ends in ``output``.

    Args:
        sizes: Units from the input to the code: [784, 256, 128] is 784→256→128→256→784.
        activation: Of all encoder layers, or a list with one for each: sigmoid, tanh, relu,
            leaky_relu, gelu, silu, identity.
        linear_code: No activation on the last encoder layer.
        output: Output unit on pixels: sigmoid for inputs in [0, 1], linear for any.
        loss: mse (squared error per image) or bce (cross-entropy per image, from logits; needs a
            sigmoid output). Stages whose output unit is no sigmoid use mse.
        tied: The decoders use the encoders' weights, transposed.

    Raises:
        InputError: A value is unknown, or the values do not fit each other.
    """

    def __init__(
        self,
        sizes: list[int],
        activation: str | list[str] = "sigmoid",
        linear_code: bool = False,
        output: str = "sigmoid",
        loss: str = "mse",
        tied: bool = False,
    ) -> None:
        stack = build_stack(sizes, activation, linear_code, output, loss, tied)
        super().__init__(stack, Stack(), Recipe(), phase="finetune", seed=0)
        self.save_hyperparameters()
        self.test_mse = MeanSquaredError()
        self.test_activity = MeanMetric()
        self.noisy_mse = MeanSquaredError()
        self.restored_mse = MeanSquaredError()

    @property
    def stack(self) -> Stack:
        """The layers."""
        assert isinstance(self.net, Stack)
        return self.net

    @property
    def sizes(self) -> list[int]:
        """Units from the input to the code."""
        return [self.stack[0].n_in, *(layer.n_code for layer in self.stack)]

    def test_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        """Squared error of the reconstruction of clean inputs; of corrupted ones, if trained so."""
        x = batch[0]
        share = self._share(x, batch_idx)
        h = self.net.encode(x)
        self.test_mse.update(self.net.decode(h)[: share.n], x[: share.n])
        if self.recipe.sparsity is not None:
            rho_hat = self.recipe.sparsity.activity(h, self.net.activation)
            self.test_activity.update(rho_hat.mean(), share.n)
        if self.recipe.corruption is not None:
            x_tilde = self.corrupt(x, "test", batch_idx, 0, share=share)
            self.noisy_mse.update(x_tilde[: share.n], x[: share.n])
            self.restored_mse.update(self.net(x_tilde)[: share.n], x[: share.n])

    def on_test_epoch_end(self) -> None:
        """Log SSE per image, MSE per pixel and what the recipe's kind asks for."""
        features, mse = self.net.n_features, self.test_mse.compute()
        self.log_dict({"test/sse": mse * features, "test/mse": mse}, sync_dist=True)
        self.test_mse.reset()
        if self.recipe.sparsity is not None:
            self.log("test/activity", self.test_activity.compute(), sync_dist=True)
            self.test_activity.reset()
        if self.recipe.corruption is not None:
            noisy, restored = self.noisy_mse.compute(), self.restored_mse.compute()
            sse = {"test/corrupted_sse": noisy, "test/denoised_sse": restored}
            sse = {name: value * features for name, value in sse.items()}
            self.log_dict(sse, sync_dist=True)
            self.noisy_mse.reset()
            self.restored_mse.reset()

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:
        """Codes of a batch, the squared error of each image, and the labels where there are any.

        Returns:
            ``code`` (batch, units), ``sse`` (batch,) and, with labels, ``label`` (batch,).
        """
        n = self._share(batch[0], batch_idx).n
        x, *labelled = (part[:n] for part in batch)
        code = self.net.encode(x)
        sse = (self.net.decode(code) - x).square().sum(dim=1)
        labels = {"label": labelled[0]} if labelled else {}
        return {"code": code, "sse": sse, **labels}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another network, in one sentence."""
        saved: Any = checkpoint.get("hyper_parameters")
        try:
            same = [str(layer) for layer in build_stack(**saved)] == [str(x) for x in self.stack]
        except (InputError, TypeError):
            same, saved = False, {}
        if not same:
            wanted = dict(self.hparams)
            found = {key: saved.get(key, "none") for key in wanted}
            differ = [key for key in wanted if found[key] != wanted[key]]
            raise InputError(
                "ckpt_path",
                "a checkpoint of " + ", ".join(f"{key} = {wanted[key]}" for key in differ),
                "one of " + ", ".join(f"{key} = {found[key]}" for key in differ),
                "use the config.yaml of the run that wrote the checkpoint",
            )
        super().on_load_checkpoint(checkpoint)
