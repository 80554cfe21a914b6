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

# Seconds after which the web counts as absent, and after which a silent download is given up.
REACH_TIMEOUT = 8.0
STALL_TIMEOUT = 20.0


class MNISTDataModule(SampleDataModule):
    """MNIST: 55,000 images to train on, 5,000 to validate, the official 10,000 to test.

    The four files are read from ``root`` as they are (the .gz archives suffice, and the folder may
    be read-only), checked against their checksums, and downloaded only where they are missing.

    Args:
        root: Folder with ``MNIST/raw`` in it, as torchvision lays it out, or with the four
            archives themselves. null means $SAE_DATA where that is set, else ``data``.
        fallback: ``digits`` to use scikit-learn's bundled digits, with a warning, where MNIST is
            neither there nor to be downloaded; null to stop instead.
        batch_size: Images in a batch, over all processes together; 1 or more.
        val_size: Images taken out of the 60,000 for validation.
        split_seed: Seed of that choice.
        labels: How many labels of training images are known; null for all. See
            :class:`~sae.data.datamodule.SampleDataModule`.
        labels_per_class: The same, for each class.
        label_seed: Seed of which labels are known; null takes split_seed.

    Raises:
        InputError: A damaged file, a missing folder, or no MNIST and no fallback.
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
        """Read MNIST, having downloaded it if need be; or else the fallback."""
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
        """Fetch what is missing: the folder; or else None, and in a few words why not."""
        return _download(self.root, self.files.name)

    def remedy(self) -> str:
        """What to do where the files are missing."""
        return (
            "(1) copy the four .gz archives into a folder and name it with --data.root or "
            "$SAE_DATA, or (2) connect to the web and run again, or (3) add --data.fallback "
            "digits to use the digits bundled with scikit-learn (in a folder without MNIST)"
        )

    def _read(self, folder: Path, part: int) -> Samples:
        """Images and labels to train on (0), or to test on (1)."""
        images, labels = (read_idx(folder, s, self.files) for s in self.files.stems[2 * part :][:2])
        return Samples(images.flatten(1), labels.long())

    def resolved(self, class_path: str, init_args: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The folder that was read, wherever $SAE_DATA points to later; or the fallback's own."""
        if self.name == digits.NAME:
            sizes = {"batch_size": self.batch_size, "val_size": self.val_size}
            labels = {"labels": self.n_labels, "labels_per_class": self.n_labels_per_class}
            labels["label_seed"] = self.label_seed
            return "sae.DigitsDataModule", {**sizes, "split_seed": self.split_seed, **labels}
        return class_path, {**init_args, "root": str(self.root.resolve())}

    def _fall_back(self, reason: str) -> tuple[Samples, Samples]:
        self.name, self.description = digits.NAME, digits.DESCRIPTION
        train, test = digits.load_digits()
        # The sizes asked for are meant for 60,000 images: take the same share of this set, and
        # batches small enough for about as many steps as make an epoch worth its name.
        self.val_size = max(1, round(self.val_size / 60_000 * len(train)))
        self.batch_size = min(self.batch_size, 64)
        _warn_fallback(self, reason)
        return train, test


def _download(root: Path, name: str = "MNIST") -> tuple[Path | None, str]:
    """Fetch what is missing into ``root/MNIST/raw``; or else say in a few words why not.

    Args:
        root: Folder of all sets.
        name: Of the set, as torchvision has it.
    """
    from torchvision import datasets
    from torchvision.datasets.utils import download_url

    known = getattr(datasets, name)
    mirror = next((url for url in known.mirrors if _reachable(url + known.resources[0][0])), None)
    if mirror is None:
        return None, "no web to download them from"
    folder = root / name / "raw"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Aside first, then renamed: a download that breaks off leaves no half file behind.
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
    """Whether a server answers within REACH_TIMEOUT. Name look-ups hang too, hence the thread."""
    answers: list[int] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=REACH_TIMEOUT) as response:
                answers.append(response.status)
        except Exception:
            pass  # no answer, or a strange one, is the answer

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_TIMEOUT)
    return answers == [200]


@contextmanager
def socket_timeout() -> Iterator[None]:
    """Give up a download that is silent for STALL_TIMEOUT."""
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
        "Its figures are not MNIST figures. To use MNIST, name its folder with --data.root or "
        f"$SAE_DATA.\n{line}",
        file=sys.stderr,
        flush=True,
    )
