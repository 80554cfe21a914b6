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

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sae.training import waiting

waiting.prepare()  # before torch is imported

if TYPE_CHECKING:
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

# Name -> its module; a datamodule is in sae.data. Each is imported when it is first used, as is a
# module such as sae.data, so that the command line can answer a typo before torch and Lightning are
# imported.
_MODULES = {
    "Corruption": "sae.terms.corruption",
    "Dense": "sae.nets.dense",
    "GreedyPretrainer": "sae.training.pretrain",
    "InputError": "sae.errors",
    "Recipe": "sae.training.recipe",
    "Sparsity": "sae.terms.sparsity",
    "Stack": "sae.nets.stack",
    "Stage": "sae.training.stage",
    "StackedAutoencoder": "sae.training.stacked",
    "load_run": "sae.run.model",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        spec = None if name.startswith("_") else find_spec(f"{__name__}.{name}")
        if spec is not None and spec.origin is not None:  # a module; a folder of configs has none
            return import_module(spec.name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_MODULES.get(name, "sae.data")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
