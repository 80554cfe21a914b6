"""Stacked autoencoders for PyTorch Lightning.

Example::

    from sae import GreedyPretrainer, MNISTDataModule, Recipe, StackedAutoencoder

    data = MNISTDataModule(fallback="digits")
    data.setup()
    model = StackedAutoencoder([784, 256, 128])
    trainer = GreedyPretrainer([Recipe(epochs=5)] * 2, finetune=Recipe(epochs=5))
    trainer.fit(model, data.train_dataloader(), data.val_dataloader())
    code = model.encode(x)
"""

# ruff: noqa: E402  # before torch is imported
from sae import waiting

waiting.prepare()

from sae.corruption import Corruption
from sae.data import ArrayDataModule, DigitsDataModule, MNISTDataModule
from sae.errors import InputError
from sae.layers import AutoencoderLayer, Stack
from sae.modules import StackedAutoencoder, Stage
from sae.pretrain import GreedyPretrainer
from sae.recipe import Recipe
from sae.sparsity import Sparsity

__all__ = [
    "ArrayDataModule",
    "AutoencoderLayer",
    "Corruption",
    "DigitsDataModule",
    "GreedyPretrainer",
    "InputError",
    "MNISTDataModule",
    "Recipe",
    "Sparsity",
    "Stack",
    "StackedAutoencoder",
    "Stage",
]
