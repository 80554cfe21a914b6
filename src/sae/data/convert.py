"""Convert tensors, Datasets and DataLoaders of PyTorch to the loader that training uses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    default_collate,
)

from sae.data.loader import TensorLoader
from sae.errors import InputError

Samples = TensorLoader | Tensor | Dataset[Any] | DataLoader[Any]
BATCH_SIZE = 256
READ, LOOKED_AT_TWICE = 1024, 16
_EXPECTED = "a TensorLoader, a tensor (n, features), a Dataset of samples, or a DataLoader of one"


def as_loader(data: Samples, key: str, features: int, shuffle: bool) -> TensorLoader:
    """Convert samples to a TensorLoader; a suitable TensorLoader is returned unchanged.

    The samples of a Dataset are read once and flattened. If a sample has several values, the first
    is x, and the second is its label if it is an integer. uint8 pixels become [0, 1]; other types
    become float32. The batch size of a DataLoader is kept, and also whether it shuffles; the order
    comes from the seed of the run.

    Args:
        data: The samples: a TensorLoader, a tensor (n, ...), a map-style Dataset or a DataLoader.
        key: The name of the argument for messages: ``train`` or ``val``.
        features: Number of features that a sample must have.
        shuffle: Whether samples may be shuffled each epoch. Then a TensorLoader or DataLoader
            shuffles if it was created to do so, and tensors and Datasets always are shuffled. False
            keeps the stored order.

    Raises:
        InputError: The samples have another type or number of features, or a DataLoader has a
            sampler or an option that a TensorLoader cannot reproduce.
    """
    if isinstance(data, DataLoader):
        loader = _of_dataloader(data, key)
    elif type(data) is TensorLoader:
        x = data.x
        loader = data.of(_flat(x, key)) if isinstance(x, Tensor) and _is_odd(x) else data
    elif isinstance(data, Tensor):
        loader = TensorLoader(_flat(data, key), None, BATCH_SIZE, shuffle)
    elif isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        loader = _of_dataset(data, key, BATCH_SIZE, shuffle)
    else:
        raise InputError(key, _EXPECTED, type(data).__name__, "wrap its samples in a TensorLoader")
    if loader.sampler.shuffle and not shuffle:
        loader = TensorLoader(loader.x, loader.y, loader.batch_size)
    if loader.x.shape[1] != features:
        found, remedy = str(loader.x.shape[1]), "change model.sizes, or the samples"
        expected = f"samples of {features} features, like the input of the model"
        raise InputError(key, expected, found, remedy)
    return loader


def _of_dataloader(data: DataLoader[Any], key: str) -> TensorLoader:
    known = type(data.sampler) in (RandomSampler, SequentialSampler)
    whole = known and type(data.batch_sampler) is BatchSampler and not data.drop_last
    if isinstance(data.sampler, RandomSampler):
        whole = whole and not data.sampler.replacement and len(data.sampler) == len(data.dataset)  # type: ignore[arg-type]
    if type(data) is not DataLoader or not whole or data.batch_size is None:
        found = "one that skips, repeats or chooses samples"
        remedy = "put these samples into a TensorLoader yourself"
        raise InputError(key, "a plain DataLoader of all its samples", found, remedy)
    shuffle = isinstance(data.sampler, RandomSampler)
    return _of_dataset(data.dataset, key, data.batch_size, shuffle, data)


def _of_dataset(
    data: Dataset[Any],
    key: str,
    batch_size: int,
    shuffle: bool,
    like: DataLoader[Any] | None = None,
) -> TensorLoader:
    plain = like is None or like.collate_fn is default_collate
    if type(data) is TensorDataset and plain and len(data):  # no need to read it sample by sample
        x, y = _x_and_y(data.tensors, key)
        return TensorLoader(_flat(x, key), y, batch_size, shuffle)
    options: dict[str, Any] = (
        {} if like is None else {"num_workers": like.num_workers, "collate_fn": like.collate_fn}
    )
    parts = list(DataLoader(data, READ, **options))
    if not parts:
        raise InputError(key, "at least one sample", "none", "give some")
    xs, ys = zip(*(_x_and_y(part, key) for part in parts), strict=True)
    _check_fixed(data, torch.cat(xs[:1]), key, like)
    labels = None if any(y is None for y in ys) else torch.cat(ys)
    return TensorLoader(_flat(torch.cat(xs), key), labels, batch_size, shuffle)


def _x_and_y(batch: Any, key: str) -> tuple[Tensor, Tensor | None]:
    """The samples of a batch, and its labels or None."""
    parts = [batch] if isinstance(batch, Tensor) else batch
    if not isinstance(parts, (list, tuple)) or not parts or not isinstance(parts[0], Tensor):
        expected, found = "samples x, or (x, label)", f"batches that are a {type(batch).__name__}"
        raise InputError(key, expected, found, "change the Dataset to return these")
    y = parts[1] if len(parts) > 1 else None
    is_target = isinstance(y, Tensor) and y.shape == parts[0].shape and y.is_floating_point()
    if is_target and not torch.equal(torch.as_tensor(y), parts[0]):
        found = "pairs of an input and another target"
        remedy = "give only x; for noise use an objective with corruption"
        raise InputError(key, "samples that are their own target", found, remedy)
    is_label = isinstance(y, Tensor) and y.ndim == 1 and not y.dtype.is_floating_point
    return parts[0], y if is_label else None


def _check_fixed(data: Dataset[Any], first: Tensor, key: str, like: DataLoader[Any] | None) -> None:
    """Read some samples again, and raise InputError if they differ: each is read only once."""
    n = min(LOOKED_AT_TWICE, len(first))
    collate = default_collate if like is None else like.collate_fn
    again, _ = _x_and_y(collate([data[k] for k in range(n)]), key)
    if not torch.equal(again.nan_to_num(), first[:n].nan_to_num()):
        found, remedy = "samples that change", "remove random transforms from the Dataset"
        raise InputError(key, "the same samples at each reading", found, remedy)


def _is_odd(x: Tensor) -> bool:
    return x.ndim != 2 or x.dtype not in (torch.uint8, torch.float32)


def _flat(x: Tensor, key: str) -> Tensor:
    """Flatten (n, …) to (n, features) on the CPU; types other than uint8 become float32."""
    if x.ndim < 2 or len(x) == 0:
        found = f"a tensor of shape {tuple(x.shape)}"
        raise InputError(key, "samples (n, features)", found, "give one row per sample")
    x = x.detach().flatten(1).cpu()
    return x if x.dtype == torch.uint8 else x.float()
