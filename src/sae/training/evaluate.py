"""Figures of a finished model, and of PCA with as many components, to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from lightning import Trainer
from numpy.typing import NDArray
from torch import Tensor

from sae.data import SampleDataModule
from sae.data.encode import encoded
from sae.data.loader import TensorLoader
from sae.data.rows import scale, take
from sae.devices import beside, placed
from sae.figure import Figure, Measured
from sae.look.knn import MOST_ASKED, MOST_COMPARED, knn_accuracy, to_compare
from sae.look.pca import PCA, fit_pca, pca_sse
from sae.look.restoration import Comparison, are_images
from sae.place import Share
from sae.training.stacked import StackedAutoencoder


@dataclass(frozen=True)
class CodesSeen:
    """The codes of the test samples, as they were computed for 5-NN.

    Attributes:
        codes: (m, units), in the order of the test samples; 20,000 of them at most.
        labels: Their classes, (m,); None where they have none.
        n_samples: Test samples in all.
    """

    codes: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    n_samples: int


# Most test images for PSNR and SSIM of restorations: SSIM takes a second for a few thousand.
MOST_RESTORED = 2000


def figures_on_test(
    trainer: Trainer,
    model: StackedAutoencoder,
    data: SampleDataModule,
    checkpoint: str | None = None,
    pca: PCA | None = None,
    look: Callable[[CodesSeen], None] | None = None,
) -> dict[str, Measured]:
    """Return all figures on the official test images. They must choose nothing.

    Args:
        trainer: A new Trainer.
        model: The finished stack.
        data: Its data, set up.
        checkpoint: File to load the weights from; None for the weights that the model has.
        pca: Result of :func:`fit_pca`; computed if left out.
        look: Called with the codes of the test samples, on the main process only.

    Returns:
        Figures by name: those of the objective, of penalties and noise, and, on the main process
        only, those of :func:`compare`.
    """
    loader = data.test_dataloader()
    logged = trainer.test(model, loader, ckpt_path=checkpoint, verbose=False, weights_only=True)[0]
    figures = {
        name: Measured(figure, logged[f"test/{name}"])
        for name, figure in model.figures().items()
        if f"test/{name}" in logged
    }
    if trainer.is_global_zero:
        with placed(model, trainer.strategy.root_device):
            figures |= compare(model, data, pca, look)
    trainer.strategy.barrier()
    return figures


def figures_on_validation(
    trainer: Trainer,
    model: StackedAutoencoder,
    data: SampleDataModule,
    checkpoint: str | None = None,
) -> dict[str, Measured]:
    """Return the model's figures on the validation images; see :func:`figures_on_test`."""
    loader = data.val_dataloader()
    trainer.validate(model, loader, ckpt_path=checkpoint, verbose=False, weights_only=True)
    logged = trainer.callback_metrics
    return {
        name: Measured(figure, float(logged[f"{model.phase}/val/{name}"]), "validation")
        for name, figure in model.objective.figures().items()
        if f"{model.phase}/val/{name}" in logged
    }


def errors_of(model: StackedAutoencoder) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Return a function for the squared errors of any reconstruction; None for the plain one."""
    return None if model.stack.columns is None else model.stack.errors


def compare(
    model: StackedAutoencoder,
    data: SampleDataModule,
    pca: PCA | None = None,
    look: Callable[[CodesSeen], None] | None = None,
) -> dict[str, Measured]:
    """Return figures on the test images that also need the training images.

    Returns:
        ``pca_sse``, the SSE per image of PCA with as many components as the code has units (or
        fewer, if the training images have fewer directions), if the model reconstructs; those of
        :func:`restoration`, if it restores images; and ``knn_accuracy``, the accuracy in percent of
        5-NN from training codes to test codes, if there are labels.
    """
    train, test = data.train_dataloader(), data.test_dataloader()
    size, found = model.sizes[-1], {}
    if model.objective.reconstructs:
        pca = fit_pca(to_compare(train), size, train.has_gaps) if pca is None else pca
        n = min(size, len(pca.components))
        figure = Figure(f"PCA-{n}, {{part}} SSE per image")
        found["pca_sse"] = Measured(figure, pca_sse(pca, test.whole(), size, errors_of(model)))
        if denoises(model, data):
            found |= restoration(model, data, pca)
    known, asked = data.labelled_dataloader().sample(MOST_COMPARED), test.sample(MOST_ASKED)
    voted = known.y is not None and asked.y is not None
    if look is None and not voted:
        return found
    codes = _codes(model, asked)
    labels = None if asked.y is None else asked.y.numpy()
    if known.y is not None and labels is not None:
        accuracy = knn_accuracy(_codes(model, known), known.y.numpy(), codes, labels)
        figure = Figure("5-NN accuracy on codes, train→{part}", "{:.1f} %", "higher")
        found["knn_accuracy"] = Measured(figure, accuracy)
    if look is not None:
        look(CodesSeen(codes, labels, len(data.test)))
    return found


def _codes(model: StackedAutoencoder, loader: TensorLoader) -> NDArray[np.float32]:
    """The codes of all samples of a loader, (n, units)."""
    return np.concatenate([h.numpy() for _, _, h in encoded(model.net, loader)])


def denoises(model: StackedAutoencoder, data: SampleDataModule) -> bool:
    """Return whether the stack is trained to restore corrupted images."""
    of_images = are_images(data.image_shape)
    return model.recipe.denoises and model.objective.reconstructs and of_images


@torch.no_grad()
def restoration(model: StackedAutoencoder, data: SampleDataModule, pca: PCA) -> dict[str, Measured]:
    """Return PSNR and SSIM of the first test images, corrupted as in the test, and restored.

    Args:
        model: A model that :func:`denoises`, on the device to compute on.
        data: Its data, set up.
        pca: Principal components of the training images.
    """
    training = model.training
    model.eval()
    n, size = min(MOST_RESTORED, len(data.test)), data.batch_size
    low, high = zip(*(torch.aminmax(x) for x in _clean(data, n)), strict=True)
    span = max(1.0, *map(float, high)) - min(0.0, *map(float, low))
    found = Comparison(data.image_shape, span, pca, model.sizes[-1])
    for k, clean in enumerate(_clean(data, n)):
        x = beside(model, clean)
        noisy = model.corrupt(x, model.place("test", k, 0, share=Share.equal(len(x))))
        restored = model.net(noisy).float().cpu()
        m = min(len(clean), n - k * size)  # noise is drawn for whole batches
        found.add(noisy[:m].cpu(), restored[:m], clean[:m])
    model.train(training)
    return found.figures("{part} images", None if n == len(data.test) else n)


def _clean(data: SampleDataModule, n: int) -> Iterator[Tensor]:
    """Yield the test batches with the first ``n`` images, (batch, pixels)."""
    for first in range(0, n, data.batch_size):
        last = min(first + data.batch_size, len(data.test))
        yield scale(take(data.test.x, slice(first, last)))
