"""How good a code is, beside what PCA does with as many numbers."""

from __future__ import annotations

import numpy as np
from lightning import Trainer
from numpy.typing import NDArray

from sae.data import ImageDataModule, TensorLoader
from sae.data.encode import encoded
from sae.devices import placed
from sae.look.pca import PCA, fit_pca, pca_sse
from sae.training.stacked import StackedAutoencoder

N_NEIGHBOURS = 5
# PCA and 5-NN look at no more training samples than these, nor does 5-NN at more test samples:
# what they need grows with all of them, and what they say hardly changes.
MOST_COMPARED = 100_000
MOST_ASKED = 20_000
Array = NDArray[np.float32]


def knn_accuracy(
    train_codes: Array, train_labels: Array, test_codes: Array, test_labels: Array
) -> float:
    """Accuracy, in percent, of a vote among the 5 nearest training codes of each test code.

    Args:
        train_codes: (n, units).
        train_labels: (n,).
        test_codes: (m, units).
        test_labels: (m,).
    """
    from sklearn.neighbors import KNeighborsClassifier

    neighbours = min(N_NEIGHBOURS, len(train_codes))
    classifier = KNeighborsClassifier(neighbours).fit(train_codes, train_labels)
    return 100 * float(classifier.score(test_codes, test_labels))


def figures_on_test(
    trainer: Trainer,
    model: StackedAutoencoder,
    data: ImageDataModule,
    checkpoint: str | None = None,
    pca: PCA | None = None,
) -> dict[str, float]:
    """All figures on the official test images. Nothing is chosen by them.

    Args:
        trainer: A fresh Trainer.
        model: The finished stack.
        data: Its data, set up.
        checkpoint: Where its weights come from; None takes those it has.
        pca: That of :func:`fit_pca`, where it is there already.

    Returns:
        ``sse`` per image, ``mse`` per pixel and what :func:`compare` adds; the latter on the main
        process only.
    """
    loader = data.test_dataloader()
    logged = trainer.test(model, loader, ckpt_path=checkpoint, verbose=False, weights_only=True)[0]
    figures = {key.removeprefix("test/"): value for key, value in logged.items()}
    if trainer.is_global_zero:
        with placed(model, trainer.strategy.root_device):
            figures |= compare(model, data, pca)
    trainer.strategy.barrier()
    return figures


def validation_sse(
    trainer: Trainer,
    model: StackedAutoencoder,
    data: ImageDataModule,
    checkpoint: str | None = None,
) -> float:
    """SSE per image on the validation images; arguments as in :func:`figures_on_test`."""
    loader = data.val_dataloader()
    trainer.validate(model, loader, ckpt_path=checkpoint, verbose=False, weights_only=True)
    return float(trainer.callback_metrics[f"{model.phase}/val/sse"])


def compare(
    model: StackedAutoencoder, data: ImageDataModule, pca: PCA | None = None
) -> dict[str, float]:
    """Figures on the test images that need the training images too.

    Returns:
        ``pca_sse``, SSE per image of PCA with as many components as the code has units, and
        ``knn_accuracy``, percent, of 5-NN from training codes to test codes.
    """
    train, test = data.train_dataloader(), data.test_dataloader()
    size = model.sizes[-1]
    pca = fit_pca(to_compare(train), size) if pca is None else pca
    figures = {"pca_sse": pca_sse(pca, test.whole(), size)}
    some = [train.sample(MOST_COMPARED), test.sample(MOST_ASKED)]
    codes = [
        np.concatenate([h.numpy() for _, _, h in encoded(model.net, loader)]) for loader in some
    ]
    labels = [loader.y for loader in some]
    if labels[0] is not None and labels[1] is not None:
        figures["knn_accuracy"] = knn_accuracy(
            codes[0], labels[0].numpy(), codes[1], labels[1].numpy()
        )
    return figures


def to_compare(loader: TensorLoader) -> Array:
    """All x of a loader, (n, features), or as many as PCA needs."""
    some = loader.sample(MOST_COMPARED)
    x = np.empty(some.x.shape, np.float32)  # filled part by part: no second copy at any time
    for (first, last), part in zip(some.chunks(), some.whole(), strict=True):
        x[first:last] = part.numpy()
    return x
