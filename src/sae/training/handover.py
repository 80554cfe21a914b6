"""How the codes of a trained stage reach the next one: in memory, on disk, or computed per batch.

All three ways give the next stage the same samples in the same order. If there are several
processes, each computes a part of the codes, so that no code is computed twice.
"""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from sae.data.encode import chunks_of, encoded
from sae.data.loader import TensorLoader
from sae.data.rows import EncodedRows, FileRows
from sae.errors import InputError
from sae.files import write_npy
from sae.nets.layer import Autoencoder
from sae.nets.stack import Stack
from sae.text import megabytes, shown_path

CACHES = ("memory", "disk", "none")
# Folder of the codes in a run's folder, with cache disk.
CODES_FOLDER = "codes"


class Codes(ABC):
    """Computes and keeps the codes of the layer that was trained last."""

    @abstractmethod
    def hand_on(
        self, layer: Autoencoder, loader: TensorLoader, name: str, device: torch.device | str
    ) -> TensorLoader:
        """Return a loader with the clean codes of all samples: the inputs of the next stage.

        Args:
            layer: The trained layer; used in eval mode.
            loader: Its inputs, (n, features).
            name: A name that is used once in a run, such as ``stage1.train``.
            device: Device to compute on.

        Returns:
            A loader of codes (n, units) with the labels, batch size and order of ``loader``.
        """

    def forget(self, stage: str) -> None:  # noqa: B027  # memory frees itself
        """Free or delete the codes of a stage, which are no longer needed."""

    def close(self) -> None:  # noqa: B027
        """Free or delete all codes."""


class StageInputs:
    """The inputs of each stage: the codes of the layers below, computed when they are needed.

    Args:
        stack: The layers.
        codes: How to keep their codes.
        train: Training samples of the first stage.
        val: Validation samples of the first stage.
    """

    def __init__(self, stack: Stack, codes: Codes, train: TensorLoader, val: TensorLoader) -> None:
        self.stack, self.codes = stack, codes
        self._loaders, self._index = (train, val), 0

    def of(self, index: int, device: torch.device | str) -> tuple[TensorLoader, TensorLoader]:
        """Return the inputs of a stage.

        Args:
            index: Number of the stage, from 0; not lower than in the previous call.
            device: Device to compute codes on.

        Returns:
            Training inputs and validation inputs.
        """
        while self._index < index:
            below, layer = self._index, self.stack[self._index]
            train, val = (
                self.codes.hand_on(layer, loader, f"stage{below + 1}.{part}", device)
                for part, loader in zip(("train", "val"), self._loaders, strict=True)
            )
            self.codes.forget(f"stage{below}")
            self._loaders, self._index = (train, val), below + 1
        return self._loaders

    def forget(self) -> None:
        """Free the codes that the last stage was trained on, when no process reads them."""
        self.codes.forget(f"stage{self._index}")


class CodesInMemory(Codes):
    """Codes in memory, in single precision, on every process."""

    def hand_on(
        self, layer: Autoencoder, loader: TensorLoader, name: str, device: torch.device | str
    ) -> TensorLoader:
        """See :class:`Codes`."""
        n, units = len(loader.x), layer.n_code
        check_memory(name, 4 * n * units)
        codes = torch.empty(n, units)
        for first, last, h in encoded(layer, loader, device, _rank_and_world()):
            codes[first:last] = h
        if _rank_and_world()[1] > 1:
            _exchange(codes, loader)
        return loader.of(codes)


class CodesOnDisk(Codes):
    """Codes in files: each process writes one part, and all processes read all parts.

    Args:
        folder: Folder of the files; created when needed and deleted at the end. If there are
            several machines, they must share it.
        tell: Called with a line that says what is written where.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None] = print) -> None:
        self.folder, self.tell = folder, tell

    def hand_on(
        self, layer: Autoencoder, loader: TensorLoader, name: str, device: torch.device | str
    ) -> TensorLoader:
        """See :class:`Codes`."""
        rank, world = _rank_and_world()
        n_bytes = 4 * len(loader.x) * layer.n_code
        self.folder.mkdir(parents=True, exist_ok=True)
        if rank == 0:
            stage, part = name.split(".")
            self.tell(
                f"{stage}: codes of the {part} samples take {megabytes(n_bytes)} on disk, "
                f"in {shown_path(self.folder)}, until they are no longer needed"
            )
        bounds = [_share_of_rows(loader, r, world) for r in range(world)]
        paths = [self.folder / f"{name}-{r:05d}-of-{world:05d}.npy" for r in range(world)]
        start, stop = bounds[rank]
        parts = (h for _, _, h in encoded(layer, loader, device, (rank, world)))
        write_npy(paths[rank], (stop - start, layer.n_code), parts)
        _wait_for_all()
        filled = [path for path, (a, b) in zip(paths, bounds, strict=True) if b > a]
        missing = [path for path in filled if not path.exists()]
        if missing:
            expected = "a folder that all machines share, for --pretrain.cache disk"
            remedy = "name one with --trainer.default_root_dir"
            raise InputError(str(self.folder), expected, f"no {missing[0].name} in it", remedy)
        return loader.of(FileRows(filled))

    def forget(self, stage: str) -> None:
        """Delete the files of a stage."""
        _wait_for_all()
        if _rank_and_world()[0] == 0:
            for path in self.folder.glob(f"{stage}.*.npy"):
                path.unlink()

    def close(self) -> None:
        """Delete the folder."""
        if _rank_and_world()[0] == 0:
            shutil.rmtree(self.folder, ignore_errors=True)


class CodesNotKept(Codes):
    """Codes that are computed for each batch: they take no memory, but each epoch is slower."""

    def hand_on(
        self, layer: Autoencoder, loader: TensorLoader, name: str, device: torch.device | str
    ) -> TensorLoader:
        """See :class:`Codes`."""
        layer.eval()
        return loader.of(EncodedRows(loader.x, layer, device))


def _share_of_rows(loader: TensorLoader, rank: int, world: int) -> tuple[int, int]:
    """Return the first row and the end of the rows that process ``rank`` computes."""
    mine = chunks_of(loader, rank, world)
    return (mine[0][0], mine[-1][1]) if mine else (0, 0)


def _exchange(codes: Tensor, loader: TensorLoader) -> None:
    """Fill in the codes that other processes computed, one chunk at a time."""
    between = "cuda" if dist.get_backend() == "nccl" else "cpu"  # devices that can send tensors
    world = dist.get_world_size()
    for rank in range(world):
        for first, last in chunks_of(loader, rank, world):
            part = codes[first:last].to(between)
            dist.broadcast(part, src=rank)
            codes[first:last] = part.cpu()


def _rank_and_world() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _wait_for_all() -> None:
    if _rank_and_world()[1] > 1:
        dist.barrier()


def check_memory(name: str, n_bytes: int) -> None:
    """Check that codes can fit into this machine's memory.

    Args:
        name: Name of the codes in messages.
        n_bytes: Their size.

    Raises:
        InputError: They are larger than the whole memory.
    """
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):  # Windows has none
        return
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if n_bytes > there:
        expected = f"codes that fit into the {megabytes(there)} of memory"
        found = f"{megabytes(n_bytes)} for {name}"
        raise InputError("pretrain.cache", expected, found, "use --pretrain.cache disk")
