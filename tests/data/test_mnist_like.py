from __future__ import annotations

import gzip
import hashlib
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import idx_bytes, write_mnist
from torchvision import datasets

from sae.data import EMNISTDataModule, FashionMNISTDataModule, KMNISTDataModule, mnist
from sae.errors import InputError

pytestmark = pytest.mark.usefixtures("no_web")
SEVENS = np.zeros((28, 28), np.uint8)
SEVENS[0, :], SEVENS[:, -1] = 200, 100  # the way it is seen: a bar above, one at the right


def write(folder: Path, parts=("train", "t10k"), n=(40, 12), low=0, classes=10) -> dict[str, str]:
    """Four small archives, and the MD5 of each."""
    folder.mkdir(parents=True, exist_ok=True)
    sums = {}
    for part, count in zip(parts, n, strict=True):
        images = np.tile(SEVENS, (count, 1, 1))
        images[:, 5, 5] = np.arange(count)
        labels = (low + np.arange(count) % classes).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            path = folder / f"{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(idx_bytes(array)))
            sums[path.name] = hashlib.md5(path.read_bytes()).hexdigest()
    return sums


def ready(kind, root: Path, **options):
    data = kind(str(root), val_size=10, **options)
    data.setup()
    return data


@pytest.fixture(params=[FashionMNISTDataModule, KMNISTDataModule])
def archives(request, tmp_path, monkeypatch):
    """The datamodule, its folder, and archives that have the checksums of torchvision."""
    kind = request.param
    sums = write(tmp_path / kind.name / "raw")
    monkeypatch.setattr(getattr(datasets, kind.name), "resources", list(sums.items()))
    return kind, tmp_path


def remarks(data) -> list[str]:
    return data.remarks(data.train_dataloader().survey())


def test_the_archives_are_read_checked_and_named(archives):
    kind, root = archives
    data = ready(kind, root)
    assert data.description == f"{kind.name} (40 + 12 images of 28x28)"
    assert (len(data.train), len(data.val), len(data.test)) == (30, 10, 12)
    assert data.class_names == getattr(datasets, kind.name).classes
    assert data.n_classes == 10
    assert torch.equal(data.test.x[0].view(28, 28)[0, :3], torch.tensor([200] * 3).to(torch.uint8))
    assert remarks(data) == []


def test_an_archive_that_is_not_the_original_is_named(archives):
    kind, root = archives
    path = root / kind.name / "raw" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros(12, np.uint8))))
    with pytest.raises(InputError, match=rf"{path}: expected the original archive of {kind.name}"):
        ready(kind, root)


def test_unpacked_files_have_no_checksum_and_this_is_said(archives):
    kind, root = archives
    for path in list((root / kind.name / "raw").glob("*labels*.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    (line,) = remarks(ready(kind, root))
    assert line.startswith("data: no checksum is known for train-labels-idx1-ubyte, t10k-labels-")


DAMAGES = {
    "cut": ("images-idx3", lambda content: content[:-5], "expected an IDX file"),
    "empty": ("labels-idx1", lambda content: b"", "expected an IDX file"),
    "more labels": ("labels-idx1", lambda _: idx_bytes(np.zeros(41, np.uint8)), "expected as many"),
    "a class too many": ("labels-idx1", lambda _: idx_bytes(np.arange(40, dtype="u1")), "10 class"),
    "no label": ("labels-idx1", lambda _: idx_bytes(np.zeros(0, np.uint8)), "expected as many"),
}


@pytest.mark.parametrize(("kind", "damage", "found"), DAMAGES.values(), ids=DAMAGES)
def test_unpacked_files_have_to_fit_each_other(kind, damage, found, tmp_path):
    write(tmp_path)
    path = tmp_path / f"train-{kind}-ubyte.gz"
    content = gzip.decompress(path.read_bytes())
    path.unlink()
    path.with_suffix("").write_bytes(damage(content))
    for other in list(tmp_path.glob("*.gz")):
        other.with_suffix("").write_bytes(gzip.decompress(other.read_bytes()))
        other.unlink()
    with pytest.raises(InputError, match=rf"{tmp_path}/train-.*: expected .*{found.split()[-1]}"):
        ready(FashionMNISTDataModule, tmp_path)


def test_mnist_under_the_same_file_names_is_not_taken_for_it(tmp_path, monkeypatch):
    write_mnist(tmp_path, monkeypatch)
    for path in list(tmp_path.glob("*.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    with pytest.raises(
        InputError, match=r"expected a file of KMNIST, found the file of MNIST; copy"
    ):
        ready(KMNISTDataModule, tmp_path)


@pytest.mark.parametrize(("split", "low", "classes"), [("balanced", 0, 47), ("letters", 1, 26)])
def test_letters_are_put_upright_and_counted_from_0(split, low, classes, tmp_path):
    parts = (f"emnist-{split}-train", f"emnist-{split}-test")
    write(tmp_path / "EMNIST" / "raw", parts, low=low, n=(60, 12), classes=classes)
    data = ready(EMNISTDataModule, tmp_path, split=split)
    seen = data.test.x[0].view(28, 28)
    assert seen[:-1, 0].tolist() == [200] * 27  # stored column by column
    assert seen[-1].tolist() == [100] * 28
    assert data.n_classes == classes
    assert data.test.y[:3].tolist() == [0, 1, 2]
    assert data.description == f"EMNIST, {split} (60 + 12 images of 28x28)"
    assert remarks(data) == []  # archives have a check of their own


def test_a_damaged_archive_of_letters_is_found_by_its_own_check(tmp_path):
    write(tmp_path, ("emnist-digits-train", "emnist-digits-test"))
    path = tmp_path / "emnist-digits-test-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{path}: expected a whole \.gz archive"):
        ready(EMNISTDataModule, tmp_path, split="digits")


@pytest.mark.parametrize(
    "kind", [FashionMNISTDataModule, KMNISTDataModule, EMNISTDataModule], ids=lambda k: k.name
)
def test_without_files_and_web_there_are_two_remedies(kind, tmp_path):
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    with pytest.raises(
        InputError, match=rf"expected {kind.name} in .*no internet.*\(1\).*\(2\)"
    ) as at:
        ready(kind, tmp_path)
    assert "fallback" not in str(at.value)


def test_an_unknown_split():
    with pytest.raises(InputError, match="split: expected one of balanced, letters"):
        EMNISTDataModule(split="capitals")


def test_a_download_ends_in_the_folder_that_is_read(tmp_path, monkeypatch):
    source = tmp_path / "source" / "gzip"
    sums = write(source)
    write(source, ("emnist-mnist-train", "emnist-mnist-test"))
    monkeypatch.setattr(datasets.KMNIST, "resources", list(sums.items()))

    def copy(url, root, filename, md5):
        if filename == "gzip.zip":
            with zipfile.ZipFile(Path(root, filename), "w") as archive:
                for path in source.iterdir():
                    archive.write(path, f"gzip/{path.name}")
        else:
            shutil.copy(source / filename, root)

    monkeypatch.setattr(mnist, "_reachable", lambda url: True)
    monkeypatch.setattr("torchvision.datasets.utils.download_url", copy)
    root = tmp_path / "root"
    root.mkdir()
    assert len(ready(KMNISTDataModule, root).test) == 12
    assert len(ready(EMNISTDataModule, root, split="mnist").test) == 12
    assert {path.name for path in (root / "EMNIST").iterdir()} == {"raw"}
    assert all(path.suffix == ".gz" for path in (root / "EMNIST" / "raw").iterdir())
