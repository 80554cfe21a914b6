"""Sets made to stand in for MNIST: clothes, Japanese letters, and letters beside digits.

They are read, checked and downloaded as MNIST is, in the layout of torchvision, which also knows
where they lie on the web, the checksums of their archives, and what their classes are called.
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
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): clothes in ten classes, as many as MNIST has.

    Args:
        root: Folder with ``FashionMNIST/raw`` in it, as torchvision lays it out, or with the four
            archives themselves. null means $SAE_DATA where that is set, else ``data``.
        batch_size: Images in a batch, over all processes together; 1 or more.
        val_size: Images taken out of those to train on for validation.
        split_seed: Seed of that choice, and of which labels are known.
        labels: How many labels of training images are known; null for all. See
            :class:`~sae.data.datamodule.SampleDataModule`.
        labels_per_class: The same, for each class.
        label_seed: Seed of which labels are known; null takes split_seed.

    Raises:
        InputError: A damaged file, a missing folder, or no such files and no web.
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
        """Read the files, having downloaded them if need be."""
        self.files, self.class_names = self.known()
        train, test = super().load()
        self.description = f"{self.name} ({len(train):,} + {len(test):,} images of 28x28)"
        return train, test

    def known(self) -> tuple[IdxSet, list[str]]:
        """The files of the set, and what its classes are called."""
        from torchvision import datasets

        found = getattr(datasets, self.name)
        return IdxSet(self.name, archives=dict(found.resources)), list(found.classes)

    def remedy(self) -> str:
        """What to do where the files are missing."""
        return (
            f"(1) copy the four .gz archives into {self.name}/raw in a folder and name that with "
            "--data.root or $SAE_DATA, or (2) connect to the web and run again"
        )

    def remarks(self, seen: Survey) -> list[str]:
        """Which files could not be checked, and whatever else there is."""
        names = unchecked(self.folder, self.files)
        line = f"data: no checksum is known of {', '.join(names)}: only what is in them was checked"
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
            expected, found = f"labels of {most} classes", "none, or others"
            remedy = f"copy the four files of {self.name} here"
            raise InputError(str(folder / names[1]), expected, found, remedy)
        return y

    def numbered(self, samples: Samples) -> Samples:
        """The same with images upright and labels from 0."""
        return samples


class KMNISTDataModule(FashionMNISTDataModule):
    """Kuzushiji-MNIST (Clanuwat et al. 2018): ten cursive Japanese letters, as many as MNIST has.

    Args:
        root: Folder with ``KMNIST/raw`` in it, as torchvision lays it out, or with the four
            archives themselves. null means $SAE_DATA where that is set, else ``data``.
        batch_size: Images in a batch, over all processes together; 1 or more.
        val_size: Images taken out of those to train on for validation.
        split_seed: Seed of that choice, and of which labels are known.
        labels: How many labels of training images are known; null for all. See
            :class:`~sae.data.datamodule.SampleDataModule`.
        labels_per_class: The same, for each class.
        label_seed: Seed of which labels are known; null takes split_seed.

    Raises:
        InputError: A damaged file, a missing folder, or no such files and no web.
    """

    name = "KMNIST"
    description = "KMNIST (60,000 + 10,000 images of 28x28)"


class EMNISTDataModule(FashionMNISTDataModule):
    """EMNIST (Cohen et al. 2017): handwritten letters and digits, put upright.

    torchvision publishes a checksum of the one archive of all splits (536 MB), which is checked
    when that is downloaded; the archives in it have checks of their own against damage.

    Args:
        root: Folder with ``EMNIST/raw`` in it, as torchvision lays it out, or with the four
            archives of a split. null means $SAE_DATA where that is set, else ``data``.
        split: balanced (47 classes, 112,800 + 18,800 images), letters (26), digits, mnist (10),
            byclass (62) or bymerge (47).
        batch_size: Images in a batch, over all processes together; 1 or more.
        val_size: Images taken out of those to train on for validation.
        split_seed: Seed of that choice, and of which labels are known.
        labels: How many labels of training images are known; null for all. See
            :class:`~sae.data.datamodule.SampleDataModule`.
        labels_per_class: The same, for each class.
        label_seed: Seed of which labels are known; null takes split_seed.

    Raises:
        InputError: A damaged file, a missing folder, or no such files and no web.
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
        """Read the files of the split, having downloaded all if need be."""
        found = super().load()
        self.description = self.description.replace("EMNIST", f"EMNIST, {self.split}")
        return found

    def known(self) -> tuple[IdxSet, list[str]]:
        """The files of the split, and what its classes are called."""
        from torchvision import datasets

        parts = (f"emnist-{self.split}-train", f"emnist-{self.split}-test")
        names = datasets.EMNIST.classes_split_dict[self.split]
        names = [name for name in names if name != "N/A"]  # letters count from 1
        return IdxSet(self.name, parts, most_bytes=MOST_BYTES), names

    def numbered(self, samples: Samples) -> Samples:
        """The same with images upright, which are stored column by column, and labels from 0."""
        assert samples.y is not None
        x, y = samples.x[:], samples.y
        upright = x.view(-1, 28, 28).transpose(1, 2).flatten(1)
        return Samples(upright, y - 1 if self.split == "letters" else y)

    def download(self) -> tuple[Path | None, str]:
        """Fetch the archive of all splits and unpack it."""
        from torchvision.datasets import EMNIST
        from torchvision.datasets.utils import download_url

        if not mnist._reachable(EMNIST.url):
            return None, "no web to download them from"
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
        """Which files could not be checked: those that were unpacked, and lost their checks."""
        lines = super().remarks(seen)
        packed = all(name.endswith(".gz") for name in unchecked(self.folder, self.files))
        return lines[1:] if packed else lines
