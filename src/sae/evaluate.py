"""How good a code is, beside what PCA does with as many numbers."""

from __future__ import annotations

import numpy as np
from lightning import Trainer
from numpy.typing import NDArray

from sae.data import ImageDataModule, TensorLoader, encode
from sae.modules import StackedAutoencoder

N_NEIGHBOURS = 5
Array = NDArray[np.float32]


def pca_sse(train: Array, test: Array, n_components: int) -> float:
    """SSE per image of the test images rebuilt from ``n_components`` principal components.

    Args:
        train: Images that the components are computed from, (n, features).
        test: Images to rebuild, (m, features).
        n_components: Size of the code; cut to what the training images allow.
    """
    from sklearn.decomposition import PCA

    n_components = min(n_components, *train.shape)
    pca = PCA(n_components, svd_solver="covariance_eigh").fit(train)
    rebuilt = pca.inverse_transform(pca.transform(test))
    return float(np.square(test - rebuilt).sum(axis=1).mean())


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
) -> dict[str, float]:
    """All figures on the official test images. Nothing is chosen by them.

    Args:
        trainer: A fresh Trainer.
        model: The finished stack.
        data: Its data, set up.
        checkpoint: Where its weights come from; None takes those it has.

    Returns:
        ``sse`` per image, ``mse`` per pixel and what :func:`compare` adds; the latter on the main
        process only.
    """
    loader = data.test_dataloader()
    logged = trainer.test(model, loader, ckpt_path=checkpoint, verbose=False, weights_only=True)[0]
    figures = {key.removeprefix("test/"): value for key, value in logged.items()}
    if trainer.is_global_zero:
        figures |= compare(model, data)
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


def compare(model: StackedAutoencoder, data: ImageDataModule) -> dict[str, float]:
    """Figures on the test images that need the training images too.

    Returns:
        ``pca_sse``, SSE per image of PCA with as many components as the code has units, and
        ``knn_accuracy``, percent, of 5-NN from training codes to test codes.
    """
    train, test = data.train_dataloader(), data.test_dataloader()
    figures = {"pca_sse": pca_sse(_array(train), _array(test), model.sizes[-1])}
    codes = [_array(encode(model.net, loader, model.device)) for loader in (train, test)]
    labels = [loader.y for loader in (train, test)]
    if labels[0] is not None and labels[1] is not None:
        figures["knn_accuracy"] = knn_accuracy(
            codes[0], labels[0].numpy(), codes[1], labels[1].numpy()
        )
    return figures


def _array(loader: TensorLoader) -> Array:
    return np.concatenate([x.numpy() for x in loader.whole()])
