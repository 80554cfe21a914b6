"""MNIST (LeCun, Cortes, Burges): 60,000 + 10,000 handwritten digits of 28x28 pixels."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from sae.data import digits
from sae.data.datamodule import SampleDataModule, Samples
from sae.data.idx import MNIST, IdxSet, find_folder, present, read_idx
from sae.errors import InputError, check_choice, show

# Seconds to wait for an answer from a server, and for the next bytes of a download.
REACH_TIMEOUT = 8.0
STALL_TIMEOUT = 20.0


class MNISTDataModule(SampleDataModule):
    """MNIST: 55,000 images for training, 5,000 for validation, the official 10,000 for the test.

    The four files in ``root`` are read and checked against their checksums. The .gz archives are
    enough, and the folder may be read-only. Files are downloaded only if they are missing.

    Args:
        root: Folder that holds ``MNIST/raw`` (the layout of torchvision), or the four archives
            themselves. null means $SAE_DATA if it is set, otherwise ``data``.
        fallback: ``digits`` uses scikit-learn's bundled digits, with a warning, if MNIST is missing
            and cannot be downloaded; null stops instead.
        batch_size: Images in a batch, summed over all processes; 1 or more.
        val_size: Number of the 60,000 training images that are held out for validation.
        split_seed: Seed of the random choice of validation images.
        labels: Number of training images whose labels are used; null for all. See
            :class:`~sae.data.datamodule.SampleDataModule`.
        labels_per_class: Number of labels that are used per class; null for all.
        label_seed: Seed of the choice of these labels; null for ``split_seed``.

    Raises:
        InputError: A file is damaged, the folder is missing, or MNIST is missing, cannot be
            downloaded, and there is no fallback.
    """

    name = "MNIST"
    description = "MNIST (60,000 + 10,000 images of 28x28)"
    image_shape = (28, 28)
    files: IdxSet = MNIST

    def __init__(
        self,
        root: str | None = None,
        fallback: str | None = None,
        batch_size: int = 256,
        val_size: int = 5000,
        split_seed: int = 0,
        labels: int | None = None,
        labels_per_class: int | None = None,
        label_seed: int | None = None,
    ) -> None:
        super().__init__(batch_size, val_size, split_seed, labels, labels_per_class, label_seed)
        if fallback is not None:
            check_choice("fallback", fallback, ("digits",))
        self.fallback = fallback
        named = root or os.environ.get("SAE_DATA")
        self.root = Path(os.path.expanduser(named or "data"))
        if named and not os.path.isdir(self.root):
            key = "root" if root else "root (from $SAE_DATA)"
            remedy = "name the folder that holds MNIST, or create it to have MNIST downloaded"
            raise InputError(key, "a folder", f"none at {show(str(self.root))}", remedy)

    def load(self) -> tuple[Samples, Samples]:
        """Read MNIST; download it first if it is missing, or else read the fallback."""
        folder, reason = find_folder(self.root, self.files), ""
        if folder is None:
            folder, reason = self.download()
        if folder is not None:
            self.folder = folder
            return self._read(folder, 0), self._read(folder, 1)
        there = present(self.root, self.files)
        if there or self.fallback is None:
            raise InputError(
                "root",
                f"{self.name} in {str(self.root)!r}",
                f"{'only ' + ', '.join(there) if there else 'no such files'}, and {reason}",
                self.remedy(),
            )
        return self._fall_back(reason)

    def download(self) -> tuple[Path | None, str]:
        """Download the missing files.

        Returns:
            The folder and an empty text; or None and the reason why the download failed.
        """
        return _download(self.root, self.files.name)

    def remedy(self) -> str:
        """The remedy in the message that files are missing."""
        return (
            "(1) copy the four .gz archives into a folder and name it with --data.root or "
            "$SAE_DATA, or (2) connect to the internet and run again, or (3) add --data.fallback "
            "digits to use the digits bundled with scikit-learn (in a folder without MNIST)"
        )

    def _read(self, folder: Path, part: int) -> Samples:
        """Read the images and labels for training (part 0) or for the test (part 1)."""
        images, labels = (read_idx(folder, s, self.files) for s in self.files.stems[2 * part :][:2])
        return Samples(images.flatten(1), labels.long())

    def resolved(self, class_path: str, init_args: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The options with the folder that was read, or the class and options of the fallback."""
        if self.name == digits.NAME:
            sizes = {"batch_size": self.batch_size, "val_size": self.val_size}
            labels = {"labels": self.n_labels, "labels_per_class": self.n_labels_per_class}
            labels["label_seed"] = self.label_seed
            return "sae.DigitsDataModule", {**sizes, "split_seed": self.split_seed, **labels}
        return class_path, {**init_args, "root": str(self.root.resolve())}

    def _fall_back(self, reason: str) -> tuple[Samples, Samples]:
        self.name, self.description = digits.NAME, digits.DESCRIPTION
        train, test = digits.load_digits()
        # The sizes are meant for 60,000 images: hold out the same share of this smaller set, and
        # use smaller batches, so that an epoch still has many steps.
        self.val_size = max(1, round(self.val_size / 60_000 * len(train)))
        self.batch_size = min(self.batch_size, 64)
        _warn_fallback(self, reason)
        return train, test


def _download(root: Path, name: str = "MNIST") -> tuple[Path | None, str]:
    """Download missing files into ``root/NAME/raw``.

    Args:
        root: Folder of all sets.
        name: Name of the set in torchvision.

    Returns:
        The folder and an empty text; or None and the reason why the download failed.
    """
    from torchvision import datasets
    from torchvision.datasets.utils import download_url

    known = getattr(datasets, name)
    mirror = next((url for url in known.mirrors if _reachable(url + known.resources[0][0])), None)
    if mirror is None:
        return None, "no internet to download them from"
    folder = root / name / "raw"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Download to a temporary folder, then rename: an aborted download leaves no partial file.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as aside, socket_timeout():
            for archive, md5 in known.resources:
                unpacked = archive.removesuffix(".gz")
                if (folder / archive).exists() or (folder / unpacked).exists():
                    continue
                download_url(mirror + archive, aside, filename=archive, md5=md5)
                os.replace(Path(aside) / archive, folder / archive)
    except (OSError, RuntimeError) as error:
        return None, f"the download failed ({' '.join(str(error).split())})"
    return folder, ""


def _reachable(url: str) -> bool:
    """Whether a server answers within REACH_TIMEOUT. In a thread, because DNS can hang, too."""
    answers: list[int] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=REACH_TIMEOUT) as response:
                answers.append(response.status)
        except Exception:
            pass  # any failure means that the server is not reachable

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_TIMEOUT)
    return answers == [200]


@contextmanager
def socket_timeout() -> Iterator[None]:
    """Abort a download that receives nothing for STALL_TIMEOUT seconds."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@rank_zero_only
def _warn_fallback(data: MNISTDataModule, reason: str) -> None:
    line = "=" * 88
    print(
        f"{line}\n"
        f"WARNING: no MNIST in {str(data.root)!r}, and {reason}.\n"
        f"This run uses {data.description} instead,\n"
        f"in batches of {data.batch_size}, {data.val_size} of them for validation.\n"
        "Its results are not MNIST results. To use MNIST, name its folder with --data.root or "
        f"$SAE_DATA.\n{line}",
        file=sys.stderr,
        flush=True,
    )
