"""The module that trains a phase: it corrupts, encodes, and sums up objective and penalties."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from lightning import LightningModule, seed_everything
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from sae.batch import Batch
from sae.data.loader import Burst, TensorLoader
from sae.data.rows import scale, take
from sae.devices import beside, send
from sae.errors import DivergedError, InputError
from sae.figure import Figure
from sae.nets.activations import PIXELS
from sae.nets.layer import Autoencoder, Code, Layer
from sae.nets.stack import Stack
from sae.objectives.objective import Objective, TrainingSet
from sae.objectives.reconstruct import Reconstruct
from sae.place import Generators, Place, Share
from sae.seeding import derive_seed
from sae.terms.term import Term
from sae.training import optim
from sae.training.handover import CodesInMemory
from sae.training.recipe import Recipe

# Number of losses that are checked together on devices where reading one loss takes time.
CHECK_EVERY = 50
# Number of training inputs that begin_epoch of a layer can look at.
SOME = 4096


class _Means:
    """Means over an epoch. Logging every step costs as much as a small network's step itself.

    Args:
        finish: Turns the means, of any shape, into those to log.
    """

    def __init__(self, finish: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict) -> None:
        self.finish = finish
        self.clear()

    def clear(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.n_samples = 0

    def add(self, values: dict[str, Tensor], n_samples: int) -> None:
        for name, value in values.items():
            summed = value.detach().float() * n_samples  # bf16 would lose small values
            self.sums[name] = self.sums[name] + summed if name in self.sums else summed
        self.n_samples += n_samples

    def compute(self, strategy: Strategy) -> dict[str, Tensor]:
        """Return the means over the samples of all processes."""
        totals = torch.cat([total.flatten() for total in self.sums.values()])
        count = torch.full_like(totals[:1], self.n_samples)
        totals = strategy.reduce(torch.cat([totals, count]), reduce_op="sum")
        means = (totals[:-1] / totals[-1]).split([total.numel() for total in self.sums.values()])
        named = zip(self.sums.items(), means, strict=True)
        return self.finish({name: mean.view_as(total) for (name, total), mean in named})


def logged(
    model: TrainingModule, stages: Sequence[Recipe], finetune: Recipe, head: Recipe | None = None
) -> list[str]:
    """Return the names that every phase of a run logs: the possible monitors.

    Args:
        model: The model that is fine-tuned.
        stages: Recipe of each stage.
        finetune: Recipe of the fine-tuning.
        head: Recipe of the head's own training; None if there is none.
    """
    layers = list(model.net) if isinstance(model.net, Stack) else []
    phases = [
        _logged_by(Reconstruct(), recipe, layer, [layer])
        for recipe, layer in zip(stages, layers, strict=False)
        if recipe.epochs
    ]
    if head is not None:
        phases.append(_logged_by(model.objective, head, model.net, []))
    if finetune.epochs or not phases:
        phases.append(_logged_by(model.objective, finetune, model.net, layers))
    return [name for name in phases[0] if all(name in others for others in phases)]


def _logged_by(
    objective: Objective, recipe: Recipe, net: Autoencoder, layers: Sequence[Layer]
) -> list[str]:
    """Return the names that one phase logs."""
    terms = [*recipe.penalties, *(term for layer in layers for term in layer.own_terms())]
    penalties = dict.fromkeys(name for term in terms for name in (term.name, *term.figures()))
    if penalties:
        penalties |= {objective.part: None}
    both = [f"{split}/{name}" for name in ("loss", *penalties) for split in ("train", "val")]
    of_test = {"mse", "corrupted_sse", "denoised_sse", "log_likelihood"}
    figures = [name for name in objective.figures() if name not in of_test]
    if net.loss != "bce":
        figures = [name for name in figures if name != "bce"]
    pixels = ["image_sse"] if isinstance(objective, Reconstruct) else []
    return [*both, *(f"val/{name}" for name in (*figures, *pixels))]


class TrainingModule(LightningModule):
    """Train ``net``, a stage or the stack, for an objective.

    The loss of a batch is that of the objective plus all penalties: those of the recipe, on the
    code of ``net``, and those that a kind of layer adds itself. A penalty on the mean over a batch
    uses the mean over all processes. If the last batch has n samples and the others N, its penalty
    counts n/N. In validation the penalty is that of the mean over all validation samples, so it
    does not depend on the batch size.

    If the recipe has noise, the validation loss is also that of restoring corrupted inputs, with
    the same noise at every epoch. All other validation figures are those of clean inputs.

    Args:
        net: The network to train.
        below: Frozen layers between the pixels and ``net``; none for the stack.
        recipe: How to train it.
        phase: Name of this training in logs: ``stage1``, …, ``finetune``.
        seed: Seed of the run, from which all other seeds are derived.
        objective: The objective; to rebuild the input if left out.

    Attributes:
        pixel_range: The two values that salt-and-pepper noise sets pixels to: 0 and 1, or the
            smallest and the largest value of the training samples. None until they are known.
        image_shape: Height and width of an image, and 3 if it has colours; None if unknown.
        words: Changes texts about images into texts about rows, if the samples are not images.
        tables: Results of the last validation or test that are larger than a single number.
    """

    net: Autoencoder
    below: Stack

    def __init__(
        self,
        net: Autoencoder,
        below: Stack,
        recipe: Recipe,
        phase: str,
        seed: int,
        objective: Objective | None = None,
    ) -> None:
        super().__init__()
        self.net, self.below = net, below
        self.recipe, self.phase, self.seed = recipe, phase, seed
        self.objective = objective if objective is not None else Reconstruct()
        self.pixel_range: tuple[float, float] | None = None
        self.image_shape: tuple[int, ...] | None = None
        self.words: Callable[[str], str] = str
        self.tables: dict[str, Tensor] = {}
        self._every_n_epochs: int | None = None
        # If the inputs are codes: their images, in the same batches.
        self.val_images: TensorLoader | None = None
        self._means = {
            "train": _Means(),
            "val": _Means(self._with_penalties),
            "test": _Means(self._of_test),
        }
        self._unchecked: list[Tensor] = []
        self._generators = Generators()
        self._set_aside: list[nn.Parameter] = []

    def encode(self, x: Tensor) -> Tensor:
        """Return the code of a clean input of ``net``: (batch, features) -> (batch, units)."""
        return self.net.encode(x)

    def decode(self, h: Tensor) -> Tensor:
        """Return the reconstruction of a code: (batch, units) -> (batch, features)."""
        return self.net.decode(h)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``decode(encode(x))``: (batch, features) -> (batch, features)."""
        rebuilt: Tensor = self.net(x)
        return rebuilt

    # Places, shares, noise

    def place(self, *where: int | str, share: Share, epoch: int | None = None) -> Place:
        """Return a place of this phase; see :class:`~sae.place.Place`."""
        generators = self._generators
        return Place(self.seed, self.phase, *where, share=share, epoch=epoch, generators=generators)

    def corrupt(self, x: Tensor, place: Place) -> Tensor:
        """Return x~, with noise that depends only on the place; x itself without noise.

        The noise is drawn for the batch of all processes together, so that each sample gets the
        same noise for any number of processes.

        Args:
            x: Clean inputs, (rows, features).
            place: The place of this step in the run.
        """
        if self.recipe.corruption is None:
            return x
        share, generator = place.share, place.generator("noise", x.device)
        if share.n_batch == len(x):
            return self.recipe.corruption(x, generator, self.input_range)
        batch = F.pad(x, (0, 0, share.rows.start, share.n_batch - share.rows.stop))
        return self.recipe.corruption(batch, generator, self.input_range)[share.rows]

    @property
    def input_range(self) -> tuple[float, float]:
        """Smallest and largest value of the inputs of ``net``: pixels, or codes."""
        return self.below.code_range if len(self.below) else self.pixel_range or PIXELS

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the range of the pixels, which noise depends on, and the state of the objective."""
        checkpoint["pixel_range"] = self.pixel_range and list(self.pixel_range)
        if state := self.objective.epoch_state():
            checkpoint["objective"] = state

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what :meth:`on_save_checkpoint` saved."""
        found = checkpoint.get("pixel_range")
        self.pixel_range = found and (found[0], found[1])
        if state := checkpoint.get("objective"):
            self.objective.load_epoch_state(state)

    def _share(self, x: Tensor, batch_idx: int) -> Share:
        """Return which rows of the batch of all processes ``x`` is, and how many of them count.

        Raises:
            ValueError: The batch is not from the Trainer's loader. This happens if a Trainer
                validates on another loader than the one of its ``fit``.
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

    # Training

    def training_step(self, batch: tuple[Any, ...] | Burst, batch_idx: int) -> Tensor | None:
        """Return the loss of one batch, or take all steps of a burst of batches.

        Args:
            batch: A :class:`~sae.batch.Batch`, a plain tuple of its parts, or a burst of batches.
            batch_idx: Number of the batch in the epoch; for a burst, the number of the burst.

        Returns:
            The loss, for the Trainer to minimise; None if the steps were taken here.
        """
        if not isinstance(batch, Burst):
            return self.training_loss(batch, batch_idx)
        optimizer, schedule = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizer, LightningOptimizer)
        for step, single in enumerate(batch, batch.first):
            loss = self.training_loss(single, step)
            optimizer.zero_grad()
            with torch.autocast(self.device.type, enabled=False):  # it is for the forward pass
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            if isinstance(schedule, LRScheduler):
                schedule.step()
        # Loggers and LearningRateMonitor count steps by this; the Trainer adds the burst as one.
        self.trainer.fit_loop.epoch_loop._batches_that_stepped += step - batch.first
        return None

    def training_loss(self, batch: tuple[Any, ...], batch_idx: int) -> Tensor:
        """Return the loss of one batch, per image, weighted so that DDP averages all samples."""
        batch = Batch(*batch)
        share = self._share(batch.x, batch_idx)
        epoch = self.current_epoch
        # The 0 was the rank in older versions; it keeps the noise of each seed unchanged.
        place = self.place(epoch, batch_idx, 0, share=share, epoch=epoch)
        if (augment := self.recipe.augmentation) is not None:
            batch = batch._replace(x=augment(batch.x, place, self.image_shape))
        batch = self.objective.prepare(batch, place)
        x_tilde = self.corrupt(batch.x, place)
        code = self.objective.code(self.net, x_tilde, place)
        losses = self.objective.losses(self.net, code.h, batch, place)
        losses = self._penalised(losses, x_tilde, code, place)
        self._means["train"].add(losses, share.n)
        self._check_finite(losses["loss"], share, batch_idx)
        return losses["loss"] * share.weight

    def _terms(self, x: Tensor, code: Code) -> Iterator[tuple[Term, Autoencoder, Tensor, Code]]:
        """Yield each penalty with its network, the input and the code."""
        for term in self.recipe.penalties:
            yield term, self.net, x, code
        if isinstance(self.net, Layer):
            for term in self.net.own_terms():
                yield term, self.net, x, code
        elif isinstance(self.net, Stack):
            for layer, part in zip(self.net, code.parts, strict=False):
                for term in layer.own_terms():
                    yield term, layer, x, part
                x = part.h

    def _penalised(
        self, losses: dict[str, Tensor], x: Tensor, code: Code, place: Place
    ) -> dict[str, Tensor]:
        """Return the losses of a training batch with all penalties added."""
        penalties: dict[str, Tensor] = {}
        shown: dict[str, Tensor] = {}
        for term, net, inputs, part in self._terms(x, code):
            statistic, fullness = term.statistic(net, inputs, part), 1.0
            if term.of_the_batch:
                statistic, fullness = self._gathered(statistic, place.share), place.share.fullness
            value = term.value(statistic, place.epoch) * fullness
            before = penalties.get(term.name)
            penalties[term.name] = value if before is None else before + value
            shown |= term.shown(statistic)
        return self._sum(losses, penalties, shown)

    def _sum(
        self, losses: dict[str, Tensor], penalties: dict[str, Tensor], shown: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        if not penalties:
            return losses
        own = losses["loss"]
        total = own
        for value in penalties.values():
            total = total + value
        return {**losses, "loss": total, self.objective.part: own, **penalties, **shown}

    def _gathered(self, statistic: Tensor, share: Share) -> Tensor:
        """Return the mean over the whole batch, of all processes together."""
        if share.world == 1:
            return statistic
        shares = self.all_gather(statistic * share.weight, sync_grads=True)
        assert isinstance(shares, Tensor)
        return shares.mean(dim=0)

    def _check_finite(self, loss: Tensor, share: Share, batch_idx: int) -> None:
        """Raise an error that names the step, if a loss is not finite.

        A single process on a CPU checks each loss before the weights change. On a GPU, or with
        several processes, reading each loss would make the device wait, so ``CHECK_EVERY`` losses
        are checked together. The rest of an epoch is checked by its mean.
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

    # Validation, test, prediction

    def validation_step(self, batch: tuple[Any, ...], batch_idx: int) -> None:
        """Add up the loss as in training, and the figures of clean inputs."""
        batch = Batch(*batch)
        share = self._share(batch.x, batch_idx)
        place = self.place("val", batch_idx, share=share)
        if self.val_images is not None:
            images = send(self.val_images.batch(batch_idx).x, batch.x.device)
            batch = batch._replace(images=images)
        batch = self.objective.prepare(batch, place)
        x_tilde = self.corrupt(batch.x, place)
        code = self.net.code_for_training(x_tilde, place)
        losses = self.objective.losses(self.net, code.h, batch, place)
        clean = self.recipe.corruption is None and self.net.is_deterministic
        h = code.h if clean else self.net.encode(batch.x)
        figures = self.objective.measure(self.net, h, batch, place, losses if clean else None)
        statistics = self._statistics(x_tilde, code)
        self._means["val"].add({**losses, **figures, **statistics}, share.n)

    def _statistics(self, x: Tensor, code: Code) -> dict[str, Tensor]:
        """Return the statistics of all penalties, by number; valued after the last sample."""
        return {
            f"{k}": term.statistic(net, inputs, part)
            for k, (term, net, inputs, part) in enumerate(self._terms(x, code))
        }

    def _with_penalties(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the means of a validation, with the penalties on means over all its samples."""
        penalties, shown = self._valued(means)
        return self._keep_tables(self._sum(means, penalties, shown))

    def _valued(self, means: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return penalties and what they show, by name; take their statistics from ``means``."""
        penalties: dict[str, Tensor] = {}
        shown: dict[str, Tensor] = {}
        for k, term in enumerate(self.terms):
            if (statistic := means.pop(f"{k}", None)) is None:
                continue
            value, before = term.value(statistic, None), penalties.get(term.name)
            penalties[term.name] = value if before is None else before + value
            shown |= term.shown(statistic)
        return penalties, shown

    @property
    def terms(self) -> list[Term]:
        """All penalties: those of the recipe, then those of the layers."""
        layers = list(self.net) if isinstance(self.net, Stack) else [self.net]
        own = (layer.own_terms() for layer in layers if isinstance(layer, Layer))
        return [*self.recipe.penalties, *itertools.chain.from_iterable(own)]

    def test_step(self, batch: tuple[Any, ...], batch_idx: int) -> None:
        """Add up the figures of clean inputs and, if trained with noise, of restored ones."""
        batch = Batch(*batch)
        share = self._share(batch.x, batch_idx)
        place = self.place("test", batch_idx, 0, share=share)
        batch = self.objective.prepare(batch, place)
        code = self.net.code_for_training(batch.x, place)
        h = code.h if self.net.is_deterministic else self.net.encode(batch.x)
        figures = self.objective.measure(self.net, h, batch, place, None)
        figures |= self.objective.tested(self.net, batch, place)
        figures |= self._statistics(batch.x, code)
        if self.recipe.corruption is not None:
            x_tilde = self.corrupt(batch.x, place)
            figures |= self.objective.restored(self.net, x_tilde, batch)
        self._means["test"].add(figures, share.n)

    def _of_test(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        penalties, shown = self._valued(means)
        means = self.objective.finish(self.net, means)
        return self._keep_tables({**means, **penalties, **shown})

    def _keep_tables(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the single numbers; keep everything larger in :attr:`tables`."""
        self.tables = {name: mean.cpu() for name, mean in means.items() if mean.numel() > 1}
        return {name: mean for name, mean in means.items() if mean.numel() == 1}

    def figures(self) -> dict[str, Figure]:
        """Return how the figures of a validation and of a test are shown, in order."""
        found = dict(self.objective.figures())
        for term in self.terms:
            found |= term.figures()
        return found

    def on_test_epoch_start(self) -> None:
        """Clear the sums and tables of the previous pass."""
        self._means["test"].clear()
        self.tables = {}

    def on_test_epoch_end(self) -> None:
        """Log the figures that :meth:`figures` names."""
        if not self._means["test"].sums:  # nothing can be measured without labels
            return
        means = self._means["test"].compute(self.trainer.strategy)
        self.log_dict({f"test/{name}": means[name] for name in self.figures() if name in means})

    def predict_step(self, batch: tuple[Any, ...], batch_idx: int) -> dict[str, Tensor]:
        """Return codes of a batch, the objective's predictions, and the labels if there are any.

        Returns:
            ``code`` (batch, units); with labels ``label`` (batch,); and the predictions of the
            objective, (batch,) each.
        """
        batch = Batch(*batch)
        batch = batch.rows(self._share(batch.x, batch_idx).n)
        labels = {} if batch.y is None else {"label": batch.y}
        own = self.objective.predict(self.net, batch)
        return {"code": self.net.encode(batch.x), **own, **labels}

    # What the Trainer calls

    def train(self, mode: bool = True) -> TrainingModule:
        """Set the mode; the layers below stay in eval mode."""
        super().train(mode)
        self.below.eval()
        return self

    def setup(self, stage: str) -> None:
        """Freeze what the objective does not train: DDP would wait for its gradients."""
        if stage == "fit":
            trained = {id(p) for p in self.objective.trained(self.net)}
            mine = [p for p in self.net.parameters() if p.requires_grad and id(p) not in trained]
            self._set_aside = mine
            for parameter in mine:
                parameter.requires_grad_(False)

    def teardown(self, stage: str) -> None:
        """Unfreeze what :meth:`setup` froze."""
        for parameter in self._set_aside:
            parameter.requires_grad_(True)
        self._set_aside = []
        if stage == "fit":
            self.objective.end_training()

    def on_train_start(self) -> None:
        """Read the range of the pixels from the loader, and whether it may shuffle."""
        self._every_n_epochs = None  # an interrupted fit did not reset it
        loader, corruption = self.trainer.train_dataloader, self.recipe.corruption
        if self.rebuilds_pixels and None in (getattr(loader, "images", None), self.val_images):
            expected, found = "a loader with the images of its codes", "one without"
            remedy = "leave it to GreedyPretrainer, which knows them, or choose input"
            raise InputError("target", expected, found, remedy)
        if not isinstance(loader, TensorLoader):
            return
        asks = corruption is not None and corruption.kind == "salt_and_pepper"
        if asks and self.pixel_range is None and not len(self.below):  # otherwise it is known
            self.pixel_range = loader.survey().pixel_range
        # With overfit_batches the Trainer says that it stops the shuffling, but it can do so only
        # for a DataLoader.
        few: float = self.trainer.overfit_batches  # type: ignore[attr-defined]  # set from afar
        loader.sampler.held = few > 0

    def on_train_epoch_start(self) -> None:
        """Clear the sums of the previous epoch, and seed the global random numbers.

        So other code that draws random numbers, such as a user's callback, draws the same ones in
        this epoch after a resume.
        """
        self._means["train"].clear()
        self._unchecked.clear()
        self._begin_epoch()
        seed = derive_seed(self.seed, self.phase, self.current_epoch) % 2**32
        seed_everything(seed, workers=True, verbose=False)
        # Always validate the last epoch, which may be the best.
        if self.trainer.max_epochs == self.current_epoch + 1 and self._every_n_epochs is None:
            self._every_n_epochs = self.trainer.check_val_every_n_epoch
            if self._every_n_epochs is not None:
                self.trainer.check_val_every_n_epoch = 1

    def _begin_epoch(self) -> None:
        """Call ``begin_epoch`` of the layers and of the objective, if they define it."""
        loader = self.trainer.train_dataloader
        if not isinstance(loader, TensorLoader):
            return
        if self.objective.reconstructs:  # without decoder training layers stay as they are
            self._begin_epoch_of_layers(loader)
        if type(self.objective).begin_epoch is not Objective.begin_epoch:
            epoch = self.current_epoch
            place = self.place("epoch", epoch, share=Share.equal(1), epoch=epoch)
            samples = TrainingSet(
                len(loader.x), partial(self._all_codes, loader), partial(self._rows_of, loader)
            )
            self.objective.begin_epoch(self.net, epoch, samples, place)

    def _begin_epoch_of_layers(self, loader: TensorLoader) -> None:
        layers: Sequence[Layer] = list(self.net) if isinstance(self.net, Stack) else ()
        if isinstance(self.net, Layer):
            layers = [self.net]
        for k, layer in enumerate(layers):
            if type(layer).begin_epoch is not Layer.begin_epoch:
                layer.begin_epoch(self.current_epoch, partial(self._some, loader, layers[:k]))

    def _all_codes(self, loader: TensorLoader) -> Tensor:
        """Return the clean codes of all training inputs, (n, units), computed once in total."""
        codes = CodesInMemory().hand_on(self.net, loader, f"{self.phase}.epoch", self.device).x
        assert isinstance(codes, Tensor)
        return codes

    def _rows_of(self, loader: TensorLoader, number: Tensor) -> Tensor:
        """Return the clean training inputs with these numbers, on the device of the weights."""
        x = loader.x
        rows = take(x, number.to(x.device if isinstance(x, Tensor) else "cpu"))
        return scale(beside(self.net, rows))

    @torch.no_grad()
    def _some(self, loader: TensorLoader, below: Sequence[Layer]) -> Tensor:
        """Return some of the inputs of a layer, on the device of its weights."""
        x = beside(self.net, torch.cat(list(loader.sample(SOME).whole())))
        for layer in below:
            x = layer.encode(x)
        return x

    def on_fit_end(self) -> None:
        """Restore the Trainer's own ``check_val_every_n_epoch``."""
        if self._every_n_epochs is not None:
            self.trainer.check_val_every_n_epoch = self._every_n_epochs
            self._every_n_epochs = None

    def on_validation_epoch_start(self) -> None:
        """Clear the sums of the previous pass."""
        self._means["val"].clear()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the means of the epoch after its last batch, before the callbacks need them."""
        if self.trainer.is_last_batch:
            self._log_means("train")

    def on_validation_epoch_end(self) -> None:
        """Log the means of the validation."""
        self._log_means("val")

    @property
    def rebuilds_pixels(self) -> bool:
        """Whether the loss compares images, through the frozen decoders below, instead of codes."""
        return isinstance(self.objective, Reconstruct) and self.objective.pixels

    @property
    def loss_unit(self) -> str:
        """Unit of the loss: ``SSE per image``, or ``per code`` if codes are rebuilt."""
        unit = self.objective.unit(self.net)
        if len(self.below) > 0 and not self.rebuilds_pixels and self.objective.reconstructs:
            unit = unit.replace("per image", "per code")
        unit = " + ".join(dict.fromkeys([unit, *(term.called for term in self.terms)]))
        return self.words(unit)

    @property
    def judged_by(self) -> tuple[str, str]:
        """The figure that chooses the best epoch, and its unit: ``("loss", "SSE per image")``."""
        name = self.objective.monitor.removeprefix("val/")
        return name, self.loss_unit if name == "loss" else self.figures()[name].unit

    def _log_means(self, split: str) -> None:
        if not self._means[split].sums:  # a subclass with its own steps adds nothing
            return
        means = self._means[split].compute(self.trainer.strategy)
        if not torch.isfinite(means["loss"]):
            raise self._diverged(split, means["loss"].item(), f"epoch {self.current_epoch}")
        self._log({f"{split}/{name}": mean for name, mean in means.items()})

    def _log(self, means: dict[str, Tensor]) -> None:
        """Log the means of an epoch, to the loggers immediately.

        The Trainer would send them only after the epoch's checkpoint is written, so a run resumed
        from it would have a gap. Callbacks find each figure under two names: one with the name of
        the phase, and one that is the same in all phases, for use as ``monitor``.
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
        """Return the optimiser and schedule of the recipe, for all trained parameters."""
        groups: list[tuple[list[nn.Parameter], float]] = []
        if trained := [p for p in self.objective.trained(self.net) if p.requires_grad]:
            groups.append((trained, 1.0))
        if own := list(self.objective.parameters()):
            groups.append((own, self.objective.lr_factor))
        if len(groups) > 1 and self.objective.lr_factor == 1:  # a group takes time at each step
            groups = [([*trained, *own], 1.0)]
        optimizer = optim.optimizer(groups, self.recipe, self._trainer)
        if self.recipe.schedule == "constant":
            return optimizer
        schedule = optim.schedule(optimizer, self.recipe, self.trainer)
        # With this name, a learning-rate monitor's curve appears with those of its phase.
        each: Any = {"scheduler": schedule, "interval": "step", "name": f"{self.phase}/lr"}
        return {"optimizer": optimizer, "lr_scheduler": each}

    # Pictures show pixels, also if this module is trained on codes.

    @torch.no_grad()
    def reconstruct_corrupted(self, pixels: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return corrupted inputs and their reconstructions as images; None without noise.

        The inputs of a stage above the first are codes: these are decoded to pixels by the layers
        below. The noise is the same at every call.

        Args:
            pixels: Clean images, (n, pixels).

        Returns:
            Two tensors of the shape of ``pixels``, on the device of the weights.
        """
        if self.recipe.corruption is None:
            return None
        pixels = beside(self.net, pixels)
        place = self.place("picture", share=Share.equal(len(pixels)))
        x_tilde = self.corrupt(self.below.encode(pixels), place)
        return self.below.decode(x_tilde), self.below.decode(self.net(x_tilde))
