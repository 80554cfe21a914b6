"""The script that most people write: torchvision's MNIST, a DataLoader, a LightningModule a stage.

Lightning's logger, checkpoints, progress bar and summary are off, and nothing is validated. A stage
above the first runs the frozen encoder below it in each step.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import lightning as L
import torch
from job import LR, SIZES, Clock, begin, images, parser, report
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import MNIST


class LitAutoencoder(L.LightningModule):
    def __init__(self, below: nn.Module, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.below, self.encoder, self.decoder = below, encoder, decoder
        self.below.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, _ = batch
        x = self.below(x.flatten(1))
        return (self(x) - x).square().sum(1).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        trained = [*self.encoder.parameters(), *self.decoder.parameters()]
        return torch.optim.Adam(trained, lr=LR)


def layer(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, n_out), nn.Sigmoid())


def write_raw(x: Tensor, folder: Path) -> None:
    """Images of the job as the unpacked files that torchvision reads."""
    folder.mkdir(parents=True)
    for part, n_dims, content in (("images", 3, x), ("labels", 1, torch.zeros(len(x)).byte())):
        shape = [len(x), 28, 28][:n_dims]
        head = bytes([0, 0, 8, n_dims]) + b"".join(n.to_bytes(4, "big") for n in shape)
        for split in ("train", "t10k"):  # torchvision wants to see all four
            path = folder / f"{split}-{part}-idx{n_dims}-ubyte"
            path.write_bytes(head + content.numpy().tobytes())


class Looks(L.Callback):
    def __init__(self, look: Callable[[], None]) -> None:
        self.look = look

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.look()


def fit(module: L.LightningModule, loader: DataLoader, epochs: int, *callbacks: L.Callback) -> None:
    trainer = L.Trainer(
        max_epochs=epochs,
        callbacks=list(callbacks),
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader)


def main() -> None:
    options = parser()
    options.add_argument("--workers", type=int, default=0)
    job = begin(options)
    with tempfile.TemporaryDirectory() as root:
        write_raw(images(job, "train"), Path(root) / "MNIST" / "raw")
        data = MNIST(root, train=True, transform=transforms.ToTensor())
    loader = DataLoader(data, job.batch_size, shuffle=True, num_workers=job.workers)
    encoders = [layer(n_in, n_code) for n_in, n_code in pairwise(SIZES)]
    decoders = [layer(n_code, n_in) for n_in, n_code in pairwise(SIZES)]
    with Clock() as clock:
        for k, (encoder, decoder) in enumerate(zip(encoders, decoders, strict=True)):
            below = nn.Sequential(*encoders[:k])
            fit(LitAutoencoder(below, encoder, decoder), loader, job.epochs)
        encoder, decoder = nn.Sequential(*encoders), nn.Sequential(*reversed(decoders))
        stack = LitAutoencoder(nn.Identity(), encoder.requires_grad_(True), decoder)
        fit(stack, loader, job.finetune_epochs, Looks(lambda: clock.look(stack, job)))
    report(job, clock, stack)


if __name__ == "__main__":
    main()
