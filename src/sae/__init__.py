"""Stacked autoencoders for PyTorch Lightning.

Example::

    from sae import GreedyPretrainer, MNISTDataModule, Recipe, StackedAutoencoder

    data = MNISTDataModule(fallback="digits")
    data.setup()
    model = StackedAutoencoder([784, 256, 128])
    trainer = GreedyPretrainer([Recipe(epochs=5)] * 2, finetune=Recipe(epochs=5))
    trainer.fit(model, data.train_dataloader(), data.val_dataloader())
    code = model.encode(x)

``sae.load_run("lightning_logs/stacked/version_0").encode(X)`` returns codes from a finished run; X
is an array, a tensor or a data frame in the units of the run's data.
"""

# ruff: noqa: E402  # waiting.prepare() must run before torch is imported
from sae.training import waiting

waiting.prepare()

from sae.data import (
    ArrayDataModule,
    DigitsDataModule,
    EMNISTDataModule,
    FashionMNISTDataModule,
    ImageFolderDataModule,
    KMNISTDataModule,
    MNISTDataModule,
    TableDataModule,
)
from sae.errors import InputError
from sae.nets.dense import Dense
from sae.nets.stack import Stack
from sae.run.model import load_run
from sae.terms.corruption import Corruption
from sae.terms.sparsity import Sparsity
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder
from sae.training.stage import Stage

__all__ = [
    "ArrayDataModule",
    "Corruption",
    "Dense",
    "DigitsDataModule",
    "EMNISTDataModule",
    "FashionMNISTDataModule",
    "GreedyPretrainer",
    "ImageFolderDataModule",
    "InputError",
    "KMNISTDataModule",
    "MNISTDataModule",
    "Recipe",
    "Sparsity",
    "Stack",
    "StackedAutoencoder",
    "Stage",
    "TableDataModule",
    "load_run",
]
