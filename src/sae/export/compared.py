"""The samples on which an export is compared with the run: real ones if they are found."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sae import kinds
from sae.data.datamodule import SampleDataModule
from sae.export.trained import Trained

MOST = 256
SEED = 0


@torch.no_grad()
def samples_of(run: Trained) -> tuple[Tensor, str]:
    """Samples for the comparison, and their description.

    They are the first validation samples of the run's data. If these are missing or have changed,
    samples are drawn at random in the range of the network's inputs.

    Args:
        run: The run.

    Returns:
        Samples in the user's units, (n, columns), and one phrase that says where they come from.
    """
    data, why = _data_of(run)
    if data is not None:
        x = next(iter(data.val_dataloader().whole()))[:MOST].cpu()
        words = f"the first {len(x)} validation samples of {data.name}"
    else:
        draw = torch.Generator().manual_seed(SEED)
        shape = (MOST, run.stack.n_in)
        if run.stack.output == "sigmoid":
            x, how = torch.rand(shape, generator=draw), "uniform in the range of the inputs"
        else:
            x, how = torch.randn(shape, generator=draw), "N(0, 1) as prepared inputs"
        words = f"{MOST} random samples, {how}, because {why}"
    x = run.preparation.inverse(x)
    if getattr(run.preparation, "missing", "error") != "error":
        rows = torch.arange(1, len(x), 2)
        x[rows, rows % x.shape[1]] = float("nan")
        words += ", with a missing value in every second one"
    return x, words


def _data_of(run: Trained) -> tuple[SampleDataModule | None, str]:
    """The data of a run after ``setup`` and an empty text; or None and the reason."""
    named: Any = run.config.get("data")
    if named is None or "class_path" not in named:
        return None, "a hub folder does not say where the data are"
    try:
        kind = kinds.find(named["class_path"], "sae.data", SampleDataModule, "data")
        data = kind(**named.get("init_args") or {})
        data.setup()
        same = data.fingerprint() == run.manifest["data"]["sha256"]
    except Exception as error:  # a user's class may raise anything
        return None, f"the data of the run cannot be read ({' '.join(str(error).split())[:200]})"
    return (data, "") if same else (None, "the data of the run have changed")
