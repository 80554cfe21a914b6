"""Data sets in the format of MNIST: clothes, Japanese letters, and Latin letters with digits.

They are read, checked and downloaded like MNIST, in the layout of torchvision. Their addresses,
the checksums of their archives and the names of their classes come from torchvision.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

from sae.data import mnist
from sae.data.datamodule import Samples
from sae.data.idx import IdxSet, unchecked
from sae.data.loader import Survey
from sae.data.mnist import MNISTDataModule, socket_timeout
from sae.errors import InputError, check_choice

SPLITS = ("balanced", "letters", "digits", "mnist", "byclass", "bymerge")
# The largest file of EMNIST holds 547 MB.
MOST_BYTES = 600 * 2**20


class FashionMNISTDataModule(MNISTDataModule):
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): images of clothes in ten classes.

    Args:
        root: Folder that holds ``FashionMNIST/raw`` (the layout of torchvision), or the four
            archives themselves. null means $SAE_DATA if it is set, otherwise ``data``.
        batch_size: Images in a batch, summed over all processes; 1 or more.
        val_size: Number of training images that are held out for validation.
        split_seed: Seed of the random choice of validation images.
        labels: Number of training images whose labels are used; null for all. See
            :class:`~sae.data.datamodule.SampleDataModule`.
        labels_per_class: Number of labels that are used per class; null for all.
        label_seed: Seed of the choice of these labels; null for ``split_seed``.

    Raises:
        InputError: A file is damaged, the folder is missing, or the files are missing and cannot
            be downloaded.
    """

    name = "FashionMNIST"
    description = "FashionMNIST (60,000 + 10,000 images of 28x28)"

    def __init__(
        self,
        root: str | None = None,
        batch_size: int = 256,
        val_size: int = 5000,
        split_seed: int = 0,
        labels: int | None = None,
        labels_per_class: int | None = None,
        label_seed: int | None = None,
    ) -> None:
        super().__init__(
            root, None, batch_size, val_size, split_seed, labels, labels_per_class, label_seed
        )

    def load(self) -> tuple[Samples, Samples]:
        """Read the files; download them first if they are missing."""
        self.files, self.class_names = self.known()
        train, test = super().load()
        self.description = f"{self.name} ({len(train):,} + {len(test):,} images of 28x28)"
        return train, test

    def known(self) -> tuple[IdxSet, list[str]]:
        """The files of the set, and the names of its classes."""
        from torchvision import datasets

        found = getattr(datasets, self.name)
        return IdxSet(self.name, archives=dict(found.resources)), list(found.classes)

    def remedy(self) -> str:
        """The remedy in the message that files are missing."""
        return (
            f"(1) copy the four .gz archives into FOLDER/{self.name}/raw and add --data.root "
            "FOLDER (or set $SAE_DATA), or (2) connect to the internet and run again"
        )

    def remarks(self, seen: Survey) -> list[str]:
        """The remarks of all datamodules, and a line on files without a known checksum."""
        names = unchecked(self.folder, self.files)
        line = f"data: no checksum is known for {', '.join(names)}: only the format was checked"
        return [line] * bool(names) + super().remarks(seen)

    def _read(self, folder: Path, part: int) -> Samples:
        samples = super()._read(folder, part)
        assert samples.y is not None
        names = self.files.stems[2 * part :][:2]
        shape, n, most = tuple(samples.x.shape), len(samples.y), len(self.class_names)
        if shape != (n, 784):
            found = f"{shape[0]:,} of {shape[1]:,} pixels, and {n:,} labels"
            expected = "as many images of 28x28 as labels"
            remedy = f"copy the four files of {self.name} here"
            raise InputError(str(folder / names[0]), expected, found, remedy)
        y = self.numbered(samples)
        assert y.y is not None
        if n == 0 or int(y.y.min()) < 0 or int(y.y.max()) >= most:
            expected, found = f"labels of {most} classes", "none, or other labels"
            remedy = f"copy the four files of {self.name} here"
            raise InputError(str(folder / names[1]), expected, found, remedy)
        return y

    def numbered(self, samples: Samples) -> Samples:
        """The samples with upright images and labels from 0."""
        return samples


class KMNISTDataModule(FashionMNISTDataModule):
    """Kuzushiji-MNIST (Clanuwat et al. 2018): cursive Japanese letters in ten classes.

    Args:
        root: Folder that holds ``KMNIST/raw`` (the layout of torchvision), or the four archives
            themselves. null means $SAE_DATA if it is set, otherwise ``data``.
        batch_size: Images in a batch, summed over all processes; 1 or more.
        val_size: Number of training images that are held out for validation.
        split_seed: Seed of the random choice of validation images.
        labels: Number of training images whose labels are used; null for all. See
            :class:`~sae.data.datamodule.SampleDataModule`.
        labels_per_class: Number of labels that are used per class; null for all.
        label_seed: Seed of the choice of these labels; null for ``split_seed``.

    Raises:
        InputError: A file is damaged, the folder is missing, or the files are missing and cannot
            be downloaded.
    """

    name = "KMNIST"
    description = "KMNIST (60,000 + 10,000 images of 28x28)"


class EMNISTDataModule(FashionMNISTDataModule):
    """EMNIST (Cohen et al. 2017): handwritten letters and digits, turned upright.

    The archive of all splits (536 MB) is checked against torchvision's checksum when it is
    downloaded. The archives inside it have only their own CRC, which finds damage.

    Args:
        root: Folder that holds ``EMNIST/raw`` (the layout of torchvision), or the four archives of
            a split. null means $SAE_DATA if it is set, otherwise ``data``.
        split: balanced (47 classes, 112,800 + 18,800 images), letters (26), digits, mnist (10),
            byclass (62) or bymerge (47).
        batch_size: Images in a batch, summed over all processes; 1 or more.
        val_size: Number of training images that are held out for validation.
        split_seed: Seed of the random choice of validation images.
        labels: Number of training images whose labels are used; null for all. See
            :class:`~sae.data.datamodule.SampleDataModule`.
        labels_per_class: Number of labels that are used per class; null for all.
        label_seed: Seed of the choice of these labels; null for ``split_seed``.

    Raises:
        InputError: A file is damaged, the folder is missing, or the files are missing and cannot
            be downloaded.
    """

    name = "EMNIST"
    description = "EMNIST"

    def __init__(
        self,
        root: str | None = None,
        split: str = "balanced",
        batch_size: int = 256,
        val_size: int = 5000,
        split_seed: int = 0,
        labels: int | None = None,
        labels_per_class: int | None = None,
        label_seed: int | None = None,
    ) -> None:
        check_choice("split", split, SPLITS)
        self.split = split
        super().__init__(
            root, batch_size, val_size, split_seed, labels, labels_per_class, label_seed
        )

    def load(self) -> tuple[Samples, Samples]:
        """Read the files of the split; download all splits first if they are missing."""
        found = super().load()
        self.description = self.description.replace("EMNIST", f"EMNIST, {self.split}")
        return found

    def known(self) -> tuple[IdxSet, list[str]]:
        """The files of the split, and the names of its classes."""
        from torchvision import datasets

        parts = (f"emnist-{self.split}-train", f"emnist-{self.split}-test")
        names = datasets.EMNIST.classes_split_dict[self.split]
        names = [name for name in names if name != "N/A"]  # letters count from 1
        return IdxSet(self.name, parts, most_bytes=MOST_BYTES), names

    def numbered(self, samples: Samples) -> Samples:
        """The samples with labels from 0 and upright images: EMNIST stores them transposed."""
        assert samples.y is not None
        x, y = samples.x[:], samples.y
        upright = x.view(-1, 28, 28).transpose(1, 2).flatten(1)
        return Samples(upright, y - 1 if self.split == "letters" else y)

    def download(self) -> tuple[Path | None, str]:
        """Download the archive of all splits and unpack it; see :class:`MNISTDataModule`."""
        from torchvision.datasets import EMNIST
        from torchvision.datasets.utils import download_url

        if not mnist._reachable(EMNIST.url):
            return None, "no internet to download them from"
        folder = self.root / "EMNIST" / "raw"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as aside:
                with socket_timeout():
                    download_url(EMNIST.url, aside, filename="gzip.zip", md5=EMNIST.md5)
                with zipfile.ZipFile(Path(aside) / "gzip.zip") as archive:
                    for member in archive.infolist():
                        if member.filename.endswith(".gz"):
                            path = Path(archive.extract(member, aside))
                            os.replace(path, folder / path.name)
        except (OSError, RuntimeError, zipfile.BadZipFile) as error:
            return None, f"the download failed ({' '.join(str(error).split())})"
        return folder, ""

    def remarks(self, seen: Survey) -> list[str]:
        """The same without that line for ``.gz`` files, whose CRC is checked."""
        lines = super().remarks(seen)
        packed = all(name.endswith(".gz") for name in unchecked(self.folder, self.files))
        return lines[1:] if packed else lines
