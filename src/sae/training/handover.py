"""How codes are handed on from a trained stage to the next: in memory, on disk, or not kept at all.

All three give the next stage the same samples in the same order. Where there are several processes
each computes its own part of the codes, chunk by chunk, so that each chunk is computed once.
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
# Where they lie in a run's folder, with cache disk.
CODES_FOLDER = "codes"


class Codes(ABC):
    """The codes of the layer that was trained last; those of the layer below it are dropped."""

    @abstractmethod
    def hand_on(
        self, layer: Autoencoder, loader: TensorLoader, name: str, device: torch.device | str
    ) -> TensorLoader:
        """The clean codes of all samples of a loader, as a loader: what the next stage trains on.

        Args:
            layer: The trained layer; used in eval mode.
            loader: Its inputs, (n, features).
            name: What they are, such as ``stage1.train``; no two of a run are the same.
            device: Where to compute.

        Returns:
            A loader of codes (n, units) with the labels, batch size and order of ``loader``.
        """

    def forget(self, stage: str) -> None:  # noqa: B027  # memory takes care of itself
        """Give back what the codes of a stage take: nothing reads them any more."""

    def close(self) -> None:  # noqa: B027
        """Give back all."""


class StageInputs:
    """What each stage trains on: the codes of those below it, computed when it is to be trained.

    Args:
        stack: The layers.
        codes: How their codes are handed on.
        train: Training samples of the first stage.
        val: Its validation samples.
    """

    def __init__(self, stack: Stack, codes: Codes, train: TensorLoader, val: TensorLoader) -> None:
        self.stack, self.codes = stack, codes
        self._loaders, self._index = (train, val), 0

    def of(self, index: int, device: torch.device | str) -> tuple[TensorLoader, TensorLoader]:
        """Those of stage ``index``, from 0; no less than that of the call before.

        Args:
            index: Which stage.
            device: Where to compute codes.

        Returns:
            To train on, and to validate.
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
        """Give back the codes that the last stage has trained on, once no process reads them."""
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
    """Codes in files: each process writes a part of its own, and all read all of them.

    Args:
        folder: Where; made when it is needed and deleted in the end. Several machines must share
            it.
        tell: Told in a line what is written where.
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
    """Codes that are computed anew for each batch: nothing is kept, and each epoch costs more."""

    def hand_on(
        self, layer: Autoencoder, loader: TensorLoader, name: str, device: torch.device | str
    ) -> TensorLoader:
        """See :class:`Codes`."""
        layer.eval()
        return loader.of(EncodedRows(loader.x, layer, device))


def _share_of_rows(loader: TensorLoader, rank: int, world: int) -> tuple[int, int]:
    """The same, all of them together."""
    mine = chunks_of(loader, rank, world)
    return (mine[0][0], mine[-1][1]) if mine else (0, 0)


def _exchange(codes: Tensor, loader: TensorLoader) -> None:
    """Fill in the codes that the other processes have computed, a chunk at a time."""
    between = "cuda" if dist.get_backend() == "nccl" else "cpu"  # where tensors can be sent from
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
    """Refuse codes that cannot fit into this machine's memory.

    Raises:
        InputError: They are larger than all of it.
    """
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):  # Windows has none
        return
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if n_bytes > there:
        expected = f"codes that fit into the {megabytes(there)} of memory"
        found = f"{megabytes(n_bytes)} for {name}"
        raise InputError("pretrain.cache", expected, found, "use --pretrain.cache disk")
