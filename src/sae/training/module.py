"""What a stage and the stack share: corrupt, encode, decode, compare with the clean input."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from lightning import LightningModule, seed_everything
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from sae.data.loader import Burst, Share, TensorLoader
from sae.devices import beside, send
from sae.errors import DivergedError, InputError
from sae.nets.activations import PIXELS
from sae.nets.layer import Autoencoder
from sae.nets.losses import squared_error
from sae.nets.stack import Stack
from sae.seeding import derive_seed
from sae.training.recipe import Recipe

# Losses that are looked at together where each look costs.
CHECK_EVERY = 50


class _Means:
    """Means over an epoch. Logging every step costs as much as a small network's step itself.

    Args:
        finish: Makes of the means, of any shape, those to log.
    """

    def __init__(self, finish: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict) -> None:
        self.finish = finish
        self.clear()

    def clear(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.n_samples = 0

    def add(self, values: dict[str, Tensor], n_samples: int) -> None:
        for name, value in values.items():
            summed = value.detach().float() * n_samples  # bf16 would lose the small ones
            self.sums[name] = self.sums[name] + summed if name in self.sums else summed
        self.n_samples += n_samples

    def compute(self, strategy: Strategy) -> dict[str, Tensor]:
        """The means over all samples, however they were shared out among the processes."""
        totals = torch.cat([total.flatten() for total in self.sums.values()])
        count = torch.full_like(totals[:1], self.n_samples)
        totals = strategy.reduce(torch.cat([totals, count]), reduce_op="sum")
        means = (totals[:-1] / totals[-1]).split([total.numel() for total in self.sums.values()])
        named = zip(self.sums.items(), means, strict=True)
        return self.finish({name: mean.view_as(total) for (name, total), mean in named})


class TrainingModule(LightningModule):
    """Train ``net`` to bring x^ = decode(encode(x~)) close to the clean x.

    The loss is the reconstruction loss per image plus, where the recipe has one, the sparsity
    penalty on the code. In training the penalty is that of the batch's mean activity, of all
    processes together; a last batch of n samples where others have N counts n/N of it, for a mean
    of few says little. In validation it is that of the mean activity over all validation samples,
    so that the size of its batches plays no part.

    Where the recipe has noise the validation loss, too, is that of restoring corrupted inputs: the
    noise on each is the same at every epoch. The squared errors beside it are those of clean ones.

    Args:
        net: What is trained.
        below: Frozen layers between the pixels and ``net``; none for the stack.
        recipe: How it is trained.
        phase: Name of this training in logs: ``stage1``, …, ``finetune``.
        seed: Seed of the run, from which the noise takes its own.

    Attributes:
        pixel_range: What salt and pepper sets pixels to: 0 and 1, or the least and the greatest
            value of training samples that lie elsewhere. None until they are known.
    """

    net: Autoencoder
    below: Stack

    def __init__(
        self, net: Autoencoder, below: Stack, recipe: Recipe, phase: str, seed: int
    ) -> None:
        super().__init__()
        self.net, self.below = net, below
        self.recipe, self.phase, self.seed = recipe, phase, seed
        self.pixel_range: tuple[float, float] | None = None
        self._every_n_epochs: int | None = None
        # Where the inputs are codes: their images, in the same batches.
        self.val_images: TensorLoader | None = None
        self._means = {"train": _Means(), "val": _Means(self._with_penalty)}
        self._unchecked: list[Tensor] = []
        self._noise: torch.Generator | None = None

    def encode(self, x: Tensor) -> Tensor:
        """The code of a clean input of ``net``: (batch, features) -> (batch, units)."""
        return self.net.encode(x)

    def decode(self, h: Tensor) -> Tensor:
        """The reconstruction of a code: (batch, units) -> (batch, features)."""
        return self.net.decode(h)

    def forward(self, x: Tensor) -> Tensor:
        """``decode(encode(x))``: (batch, features) -> (batch, features)."""
        return self.net(x)

    def corrupt(self, x: Tensor, *place: int | str, share: Share | None = None) -> Tensor:
        """x~, with noise that is a function of (seed, phase, place); x itself without noise.

        The noise is drawn for the batch of all processes together, so that each sample gets the
        same however many there are.

        Args:
            x: Clean inputs, (rows, features).
            place: Where in the run.
            share: Which rows of the batch these are; all of them if left out.
        """
        if self.recipe.corruption is None:
            return x
        share = share or Share.equal(len(x))
        seed = derive_seed(self.seed, "noise", self.phase, *place)
        generator = self._noise_on(x.device).manual_seed(seed)
        if share.n_batch == len(x):
            return self.recipe.corruption(x, generator, self.input_range)
        batch = F.pad(x, (0, 0, share.rows.start, share.n_batch - share.rows.stop))
        return self.recipe.corruption(batch, generator, self.input_range)[share.rows]

    @property
    def input_range(self) -> tuple[float, float]:
        """Least and greatest value of the inputs of ``net``: pixels, or codes."""
        return self.below.range if len(self.below) else self.pixel_range or PIXELS

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep between which values the pixels lie: figures on corrupted inputs want that noise."""
        checkpoint["pixel_range"] = self.pixel_range and list(self.pixel_range)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it up."""
        found = checkpoint.get("pixel_range")
        self.pixel_range = found and (found[0], found[1])

    def _noise_on(self, device: torch.device) -> torch.Generator:
        """The generator of the noise: a GPU takes longer to make a new one than for the noise."""
        if self._noise is None or self._noise.device != device:
            self._noise = torch.Generator(device)
        return self._noise

    def _share(self, x: Tensor, batch_idx: int) -> Share:
        """What of the batch of all processes together ``x`` is, and how much of it counts.

        Raises:
            ValueError: The batch is not the loader's: the Trainer still names the loader of its
                ``fit`` when it validates on another one.
        """
        trainer = self._trainer
        if trainer is None:
            return Share.equal(len(x))
        if trainer.world_size == 1:
            train = trainer.train_dataloader if trainer.training else None
            n_full = train.n_full if isinstance(train, TensorLoader) else None
            return Share.equal(len(x), n_full=n_full)
        if trainer.training:
            loader = trainer.train_dataloader
        elif trainer.testing:
            loader = trainer.test_dataloaders
        elif trainer.predicting:
            loader = trainer.predict_dataloaders
        else:
            loader = trainer.val_dataloaders
        if isinstance(loader, list):
            (loader,) = loader  # the steps take no index of a loader
        if not isinstance(loader, TensorLoader):
            return Share.equal(len(x), trainer.global_rank, trainer.world_size)
        share = loader.share(batch_idx)
        if len(x) != share.rows.stop - share.rows.start:
            raise ValueError("batches of another loader; use a fresh Trainer for it")
        return share

    def training_step(self, batch: tuple[Tensor, ...] | Burst, batch_idx: int) -> Tensor | None:
        """Loss of one batch; of a burst of batches all that is done at a step, for each.

        Args:
            batch: x, (batch, features); labels, which are not looked at; and images, (batch,
                pixels), where these are to be rebuilt. Or several such.
            batch_idx: Number of the batch in the epoch; of a burst, its own.

        Returns:
            The loss, for the Trainer to minimise; None where the steps have been taken here.
        """
        if not isinstance(batch, Burst):
            return self.training_loss(batch, batch_idx)
        optimizer, schedule = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizer, LightningOptimizer)
        for step, single in enumerate(batch, batch.first):
            loss = self.training_loss(single, step)
            optimizer.zero_grad()
            with torch.autocast(self.device.type, enabled=False):  # it is for the forward pass
                loss.backward()
                optimizer.step()
            if isinstance(schedule, LRScheduler):
                schedule.step()
        # Loggers and LearningRateMonitor count steps by this; the Trainer adds the burst as one.
        self.trainer.fit_loop.epoch_loop._batches_that_stepped += step - batch.first
        return None

    def training_loss(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """Loss of one batch, per image; weighted so that DDP's mean is that of all samples."""
        x = batch[0]
        images = batch[-1] if self.rebuilds_pixels else None
        share = self._share(x, batch_idx)
        # The 0 stands where the rank once did, so that seeds keep their noise.
        x_tilde = self.corrupt(x, self.current_epoch, batch_idx, 0, share=share)
        losses = self._losses(self.net.encode(x_tilde), x, images, share)
        self._means["train"].add(losses, share.n)
        self._check_finite(losses["loss"], share, batch_idx)
        return losses["loss"] * share.weight

    def _check_finite(self, loss: Tensor, share: Share, batch_idx: int) -> None:
        """Stop as soon as a loss is not finite, and name its step.

        One process on a CPU sees it before its weights are spoilt. Elsewhere a look at each loss
        would hold up the device, or take word from the other processes: some are looked at
        together, and what is left at the end of an epoch shows in its mean.
        """
        if loss.device.type == "cpu" and share.world == 1:
            if not math.isfinite(value := loss.item()):
                when = f"epoch {self.current_epoch}, step {batch_idx}"
                raise self._diverged("train", value, when)
            return
        self._unchecked.append(loss.detach())
        if len(self._unchecked) < CHECK_EVERY:
            return
        losses = torch.stack(self._unchecked)
        self._unchecked.clear()
        if share.world > 1:
            gathered = self.all_gather(losses)
            assert isinstance(gathered, Tensor)
            losses = gathered.sum(dim=0)
        bad = (~torch.isfinite(losses)).nonzero()
        if len(bad):
            first = int(bad[0])
            step = batch_idx - len(losses) + 1 + first
            when = f"epoch {self.current_epoch}, step {step}"
            raise self._diverged("train", losses[first].item(), when)

    def _diverged(self, split: str, loss: float, when: str) -> DivergedError:
        return DivergedError(
            self.phase,
            f"a finite {split} loss",
            f"{loss} in {when}",
            "its learning rate (lr) is likely too high: lower it, or choose a bounded activation "
            "(what was saved before is still good)",
        )

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        """Loss as in training, and the squared error of clean inputs, also in pixels."""
        x = batch[0]
        share = self._share(x, batch_idx)
        h = self.net.encode(x)
        h_tilde = h
        if self.recipe.corruption is not None:
            h_tilde = self.net.encode(self.corrupt(x, "val", batch_idx, share=share))
        images = None
        if self.val_images is not None:
            images = send(self.val_images.batch(batch_idx)[0], x.device)
        target = images if self.rebuilds_pixels else None
        values = {"loss": self._reconstruction_loss(h_tilde, x, target)}
        if h_tilde is h and self.net.loss == "mse" and target is None:
            values["sse"] = values["loss"]
        else:
            values["sse"] = squared_error(self.net.decode(h), x)
        values["image_sse"] = values["sse"]
        if images is not None:
            values["image_sse"] = squared_error(self.below.decode(self.net.decode(h)), images)
        if self.recipe.sparsity is not None:
            values["activity"] = self.recipe.sparsity.activity(h_tilde.float(), self.net.activation)
        self._means["val"].add(values, share.n)

    def _with_penalty(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """The means of a validation with the penalty on the mean activity of each unit."""
        if self.recipe.sparsity is None:
            return means
        penalty = self.recipe.sparsity(means["activity"])
        return self._sum(means["loss"], penalty, means["activity"]) | {
            name: mean for name, mean in means.items() if name not in ("loss", "activity")
        }

    @property
    def rebuilds_pixels(self) -> bool:
        """Whether the loss compares images, through the frozen decoders below, and not codes."""
        return self.recipe.target == "pixels" and len(self.below) > 0

    def _reconstruction_loss(self, h: Tensor, x: Tensor, images: Tensor | None) -> Tensor:
        """Of a code, per image: against the clean inputs, or against ``images`` where given."""
        if images is None:
            return self.net.reconstruction_loss(h, x)
        return self.below.reconstruction_loss(self.net.decode(h), images)

    def _losses(
        self, h: Tensor, x: Tensor, images: Tensor | None, share: Share
    ) -> dict[str, Tensor]:
        """``loss``, what to minimise; under a penalty also its parts and the mean activity."""
        loss = self._reconstruction_loss(h, x, images)
        if self.recipe.sparsity is None:
            return {"loss": loss}
        rho_hat = self._activity(h, share)
        return self._sum(loss, self.recipe.sparsity(rho_hat) * share.fullness, rho_hat)

    @staticmethod
    def _sum(loss: Tensor, penalty: Tensor, rho_hat: Tensor) -> dict[str, Tensor]:
        return {
            "loss": loss + penalty,
            "reconstruction": loss,
            "sparsity": penalty,
            "activity": rho_hat.mean(),
        }

    def _activity(self, h: Tensor, share: Share) -> Tensor:
        """rho_hat over the whole batch, the shares of all processes together."""
        assert self.recipe.sparsity is not None
        rho_hat = self.recipe.sparsity.activity(h.float(), self.net.activation)
        if share.world > 1:
            shares = self.all_gather(rho_hat * share.weight, sync_grads=True)
            assert isinstance(shares, Tensor)
            rho_hat = shares.mean(dim=0)
        return rho_hat

    def on_train_start(self) -> None:
        """Look at the loader: between which values its pixels lie, and whether it may shuffle."""
        self._every_n_epochs = None  # a fit that was broken off has not given it back
        loader, corruption = self.trainer.train_dataloader, self.recipe.corruption
        if self.rebuilds_pixels and None in (getattr(loader, "images", None), self.val_images):
            expected, found = "a loader with the images of its codes", "one without"
            remedy = "leave it to GreedyPretrainer, which knows them, or choose input"
            raise InputError("target", expected, found, remedy)
        if not isinstance(loader, TensorLoader):
            return
        asks = corruption is not None and corruption.kind == "salt_and_pepper"
        if asks and self.pixel_range is None and not len(self.below):  # else it is known
            self.pixel_range = loader.survey().pixel_range
        # A Trainer that is to overfit on some batches says that it stops the shuffling, and can do
        # so for a DataLoader alone.
        few: float = self.trainer.overfit_batches  # type: ignore[attr-defined]  # set from afar
        loader.sampler.held = few > 0

    def on_train_epoch_start(self) -> None:
        """Forget the sums of the epoch before.

        Whatever else draws random numbers (a user's callback) draws those of its epoch, too,
        whatever ran before.
        """
        self._means["train"].clear()
        self._unchecked.clear()
        seed = derive_seed(self.seed, self.phase, self.current_epoch) % 2**32
        seed_everything(seed, workers=True, verbose=False)
        # The Trainer validates every so many epochs; the last one may well be the best.
        if self.trainer.max_epochs == self.current_epoch + 1 and self._every_n_epochs is None:
            self._every_n_epochs = self.trainer.check_val_every_n_epoch
            if self._every_n_epochs is not None:
                self.trainer.check_val_every_n_epoch = 1

    def on_fit_end(self) -> None:
        """Give the Trainer its own rhythm of validations back."""
        if self._every_n_epochs is not None:
            self.trainer.check_val_every_n_epoch = self._every_n_epochs
            self._every_n_epochs = None

    def on_validation_epoch_start(self) -> None:
        """Forget the sums of the pass before."""
        self._means["val"].clear()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the means of the epoch with its last batch, in time for all callbacks."""
        if self.trainer.is_last_batch:
            self._log_means("train")

    def on_validation_epoch_end(self) -> None:
        """Log the means of the pass."""
        self._log_means("val")

    @property
    def loss_unit(self) -> str:
        """What a loss is counted in: ``SSE per image``, or per code where codes are rebuilt."""
        of_codes = len(self.below) > 0 and not self.rebuilds_pixels
        loss = self.below.loss if self.rebuilds_pixels else self.net.loss
        error = "nats" if loss == "bce" else "SSE"
        penalty = "" if self.recipe.sparsity is None else " + penalty"
        return f"{error} per {'code' if of_codes else 'image'}{penalty}"

    def _log_means(self, split: str) -> None:
        if not self._means[split].sums:  # a step of a subclass's own has added nothing
            return
        means = self._means[split].compute(self.trainer.strategy)
        if not torch.isfinite(means["loss"]):
            raise self._diverged(split, means["loss"].item(), f"epoch {self.current_epoch}")
        self._log({f"{split}/{name}": mean for name, mean in means.items()})

    def _log(self, means: dict[str, Tensor]) -> None:
        """Log what the epoch has come to, to the loggers at once.

        The Trainer would tell them only when the epoch's checkpoint is written: a run that goes on
        from there would have a gap. Callbacks find each figure under its phase's own name, and
        under one that all phases have in common, for a ``monitor`` that holds in each.
        """
        metrics = {f"{self.phase}/{name}": mean for name, mean in means.items()}
        both = {**metrics, **means}
        self.log_dict(
            both, on_step=False, on_epoch=True, batch_size=1, sync_dist=True, logger=False
        )
        if not self.trainer.sanity_checking:
            for logger in self.trainer.loggers:
                values = {name: float(value) for name, value in metrics.items()}
                logger.log_metrics(values, self.trainer.global_step - 1)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser and schedule of the recipe, over the parameters of ``net`` alone."""
        optimizer = self._optimizer()
        if self.recipe.schedule == "constant":
            return optimizer
        # The name puts the curve of a learning-rate monitor beside those of its phase.
        schedule: Any = {
            "scheduler": self._schedule(optimizer),
            "interval": "step",
            "name": f"{self.phase}/lr",
        }
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _optimizer(self) -> Optimizer:
        parameters, recipe = list(self.net.parameters()), self.recipe
        if recipe.optimizer == "sgd":
            return SGD(parameters, recipe.lr, momentum=0.9, weight_decay=recipe.weight_decay)
        # Fused Adam: one kernel for all parameters instead of a dozen small ones for each. It does
        # not go together with gradient clipping under mixed precision.
        clips = self._trainer is not None and bool(self._trainer.gradient_clip_val)
        fused = not clips and all(p.device.type in ("cpu", "cuda") for p in parameters)
        kind = Adam if recipe.optimizer == "adam" else AdamW
        return kind(parameters, recipe.lr, weight_decay=recipe.weight_decay, fused=fused)

    def _schedule(self, optimizer: Optimizer) -> LRScheduler:
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        epochs = range(self.trainer.max_epochs or 1)
        loader = self.trainer.train_dataloader
        if isinstance(loader, TensorLoader) and loader.burst > 1:  # those were bursts
            steps = loader.n_batches * len(epochs)
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]  # set from afar
            if isinstance(callback, GradientAccumulationScheduler):  # the Trainer knows its first
                batches = self.trainer.num_training_batches
                each = (callback.get_accumulate_grad_batches(epoch) for epoch in epochs)
                steps = sum(math.ceil(batches / n) for n in each)
        if self.recipe.schedule == "cosine":
            return CosineAnnealingLR(optimizer, T_max=steps)
        return OneCycleLR(optimizer, self.recipe.lr, total_steps=steps, cycle_momentum=False)

    # Pictures look at pixels, whatever this module is trained on.

    @torch.no_grad()
    def reconstruct_corrupted(self, pixels: Tensor) -> tuple[Tensor, Tensor] | None:
        """What this module is given under noise, and what it makes of it; None without noise.

        A stage above the first sees codes: what it sees and what it makes of it both go back
        through the decoders below, down to pixels. The noise is the same at every call.

        Args:
            pixels: Clean images, (n, pixels).

        Returns:
            Two tensors of the shape of ``pixels``, where the weights lie.
        """
        if self.recipe.corruption is None:
            return None
        pixels = beside(self.net, pixels)
        x_tilde = self.corrupt(self.below.encode(pixels), "picture")
        return self.below.decode(x_tilde), self.below.decode(self.net(x_tilde))
