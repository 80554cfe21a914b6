"""Tiny data and models for tests; never MNIST itself."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from lightning import Callback

from sae.cli.command import main
from sae.data import SampleDataModule, TableDataModule, TensorLoader
from sae.data.datamodule import Samples
from sae.nets.build import build_stack
from sae.pictures.scene import Probe, Scene
from sae.place import Place, Share
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder
from sae.training.stage import Stage

ROOT = Path(__file__).parents[1]
SHORT = ["--pretrain.epochs", "2", "--finetune.epochs", "2", "--model.sizes", "[784, 12, 4]"]


class TinyDataModule(SampleDataModule):
    """Random images of 4x3 pixels in three classes, each brighter than the one before."""

    name = "tiny"
    description = "tiny random images"
    image_shape = (4, 3)

    def __init__(self, n: int = 96, batch_size: int = 16, val_size: int = 16) -> None:
        super().__init__(batch_size, val_size)
        self.n = n

    def load(self) -> tuple[Samples, Samples]:
        generator = torch.Generator().manual_seed(0)
        y = torch.arange(self.n + 24) % 3
        x = torch.randint(0, 100, (len(y), 12), generator=generator) + 70 * y[:, None]
        samples = Samples(x.to(torch.uint8), y)
        return samples[torch.arange(self.n)], samples[torch.arange(self.n, len(y))]


def tiny_data(**kwargs) -> TinyDataModule:
    data = TinyDataModule(**kwargs)
    data.setup()
    return data


def tiny_model(**kwargs) -> StackedAutoencoder:
    """12→6→3 with random biases too, so that no zero hides a mistake."""
    model = StackedAutoencoder(**({"sizes": [12, 6, 3]} | kwargs))
    return randomised(model)


def tiny_stack(**kwargs):
    return randomised(build_stack(**({"sizes": [12, 6, 3]} | kwargs)))


def randomised(module, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return module


def loader(n: int = 20, features: int = 12, batch_size: int = 8, **kwargs) -> TensorLoader:
    generator = torch.Generator().manual_seed(1)
    return TensorLoader(torch.rand(n, features, generator=generator), None, batch_size, **kwargs)


def place_of(module, x, *where: int | str, epoch: int | None = None) -> Place:
    """A place of a phase in which the whole batch is this process's."""
    return module.place(*where, share=Share.equal(len(x)), epoch=epoch)


def corrupted(module, x, *where: int | str):
    return module.corrupt(x, place_of(module, x, *where))


def metrics_of(rows: list[str]) -> dict[tuple[str, int], dict[str, float]]:
    """What is read of metrics.csv: of rows such as ``stage1,0,5,4,4``, with three figures.

    The figures are the losses of training and validation, and the error in pixels; one that is left
    out was not measured.
    """
    found = {}
    for row in rows:
        phase, epoch, *values = row.split(",")
        names = ("train/loss", "val/loss", "val/image_sse")
        pairs = zip(names, values, strict=True)
        found[phase, int(epoch)] = {name: float(value) for name, value in pairs if value}
    return found


def as_process(patch, rank: int, world: int) -> None:
    """Have loaders take this process for number ``rank`` of ``world``, with no other in sight."""
    patch.setattr(dist, "is_initialized", lambda: True)
    patch.setattr(dist, "get_rank", lambda: rank)
    patch.setattr(dist, "get_world_size", lambda: world)


def clone_state(module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same_state(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def write_mnist(folder: Path, monkeypatch, n_train: int = 60, n_test: int = 20) -> None:
    """Four small archives in MNIST's own format, and checksums that fit them."""
    import hashlib

    from sae.data import idx

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    checksums = {}
    for part, n in (("train", n_train), ("t10k", n_test)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        for kind, array in (
            (f"{part}-images-idx3-ubyte", images),
            (f"{part}-labels-idx1-ubyte", labels),
        ):
            content = idx_bytes(array)
            (folder / f"{kind}.gz").write_bytes(gzip.compress(content))
            checksums[kind] = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(idx, "CHECKSUMS", checksums)


def idx_bytes(array: np.ndarray) -> bytes:
    shape = np.array(array.shape, dtype=">i4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()


class Stateful(Callback):
    """A callback with more in its state than tensors and plain values."""

    def state_dict(self) -> dict:
        return {"where": Path.cwd()}


class CountEpochs(Callback):
    """Count the epochs this very object sees, and write the number at the end of its training."""

    def __init__(self) -> None:
        self.epochs = 0

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        self.epochs += 1

    def on_train_end(self, trainer, pl_module) -> None:
        with Path("epochs.txt").open("a") as file:
            file.write(f"{self.epochs}\n")


def fit(*args: str, config: str = "digits") -> Path:
    """Run ``fit`` in the working folder; give the run's folder."""
    main(["fit", "--config", str(ROOT / "configs" / f"{config}.yaml"), *SHORT, *args])
    return sorted(Path("lightning_logs").glob("*/version_*"))[-1]


def refusal(capsys, *words: str) -> str:
    """The one sentence with which a command line ends: exit code 2 and no traceback."""
    with pytest.raises(SystemExit) as end:
        main(list(words))
    assert end.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def refused_fit(capsys, *words: str) -> str:
    """The same of a ``fit`` on the digits, before any training."""
    config = str(ROOT / "configs/digits.yaml")
    line = refusal(capsys, "fit", "--config", config, *SHORT, *words)
    assert not Path("lightning_logs").exists()
    return line


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text())


def verb(name: str, folder: Path, *args: str) -> None:
    checkpoint = folder / "finetune" / "checkpoints" / "best.ckpt"
    main([name, "--config", str(folder / "config.yaml"), "--ckpt_path", str(checkpoint), *args])


def tiny_scene(kind: str = "stack", recipe: Recipe | None = None, **kwargs) -> Scene:
    """A phase of 12→6→3 on tiny data, as its pictures see it; ``stage1``, ``stage2`` or ``stack``.

    The keywords are those of the network.
    """
    model = tiny_model(**kwargs).eval()
    probe = Probe(tiny_data(), 12)
    if kind == "stack":
        model.recipe = recipe or Recipe()
        return Scene(model, model.stack, probe, "fine-tune", range(1, len(model.stack) + 1))
    index = int(kind.removeprefix("stage")) - 1
    stage = Stage(model.stack, index, recipe or Recipe()).eval()
    return Scene(stage, model.stack, probe, f"stage {index + 1}/2", range(1, index + 1))


def table_scene(missing: str = "mask", label: str | None = None) -> Scene:
    """A stack of 2 units on 90 rows of two numbers and a category, written into this folder.

    The number ``b`` of every third row is missing, and ``still`` does not vary.
    """
    rows = [
        f"{k},{1000 + 7 * k % 40 if k % 3 else ''},{('blue', 'red')[k % 2]},5,{'xy'[k % 2]}"
        for k in range(90)
    ]
    Path("x.csv").write_text("\n".join(["a,b,colour,still,kind", *rows, ""]))
    ignored = [] if label else ["kind"]
    data = TableDataModule("x.csv", missing=missing, label=label, ignore=ignored, split_seed=1)
    data.setup()
    model = StackedAutoencoder([data.n_features, 2])
    model.suit(data.preparation)
    model = randomised(model).eval()
    model.recipe = Recipe()
    return Scene(model, model.stack, Probe(data, 2), "fine-tune", [1])
