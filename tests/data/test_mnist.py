from __future__ import annotations

import gzip
import os
import time
from pathlib import Path

import pytest
import torch
from helpers import write_mnist

from sae.data import MNISTDataModule, mnist
from sae.data.idx import find_folder, read_idx
from sae.errors import InputError

REACHABLE = mnist._reachable

pytestmark = pytest.mark.usefixtures("no_web")


def module(root, **kwargs) -> MNISTDataModule:
    data = MNISTDataModule(root=str(root), **({"val_size": 10} | kwargs))
    data.setup()
    return data


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_mnist(tmp_path / "mnist" / "MNIST" / "raw", monkeypatch)
    return tmp_path / "mnist"


def test_reads_the_archives_and_splits(folder):
    data = module(folder)
    assert (data.name, data.image_shape, data.n_features) == ("MNIST", (28, 28), 784)
    assert [len(part) for part in (data.train, data.val, data.test)] == [50, 10, 20]
    assert data.train.x.dtype == torch.uint8
    assert data.train.x.shape == (50, 784)
    x, y, *_ = next(iter(data.train_dataloader()))
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert 0 <= x.min() < x.max() <= 1


def test_validation_is_carved_out_of_train_and_the_test_images_are_those_of_the_test_files(folder):
    """Contract 5."""
    data = module(folder)
    raw = folder / "MNIST" / "raw"
    train = read_idx(raw, "train-images-idx3-ubyte").flatten(1)
    test = read_idx(raw, "t10k-images-idx3-ubyte").flatten(1)
    seen = sorted(map(tuple, torch.cat([data.train.x, data.val.x]).tolist()))
    assert seen == sorted(map(tuple, train.tolist()))
    assert torch.equal(data.test.x, test)


def test_each_loader_hands_out_its_own_part(folder):
    """Contract 5: only test and predict see the test images."""
    data = module(folder)

    def images(loader):
        x = torch.cat([batch.x for batch in loader])
        return sorted(map(tuple, x.mul(255).round().int().tolist()))

    def stored(part):
        return sorted(map(tuple, part.x.tolist()))

    assert images(data.train_dataloader()) == stored(data.train)
    assert images(data.val_dataloader()) == stored(data.val)
    assert images(data.test_dataloader()) == stored(data.test)
    assert images(data.predict_dataloader()) == stored(data.test)


def test_the_split_has_a_seed_of_its_own(folder):
    torch.manual_seed(1)
    first = module(folder).val.x
    torch.manual_seed(2)
    assert torch.equal(module(folder).val.x, first)
    assert not torch.equal(module(folder, split_seed=1).val.x, first)


def test_a_read_only_folder_with_just_the_archives(tmp_path, monkeypatch):
    folder = tmp_path / "archives"
    write_mnist(folder, monkeypatch)
    before = sorted(os.listdir(folder))
    folder.chmod(0o555)
    try:
        assert len(module(folder).test) == 20
    finally:
        folder.chmod(0o755)
    assert sorted(os.listdir(folder)) == before


def test_unpacked_files_serve_too(folder):
    raw = folder / "MNIST" / "raw"
    for path in list(raw.glob("*.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert len(module(folder).train) == 50


def test_root_comes_from_the_option_then_the_variable_then_data(tmp_path, monkeypatch):
    write_mnist(tmp_path / "data" / "MNIST" / "raw", monkeypatch, n_test=7)
    write_mnist(tmp_path / "other", monkeypatch, n_test=7)
    assert MNISTDataModule().root.name == "data"
    monkeypatch.setenv("SAE_DATA", str(tmp_path / "other"))
    assert MNISTDataModule().root == tmp_path / "other"
    assert MNISTDataModule(root=str(tmp_path / "data")).root == tmp_path / "data"


@pytest.mark.parametrize("fallback", [None, "digits"])
def test_a_folder_that_was_named_must_be_there(tmp_path, monkeypatch, fallback):
    with pytest.raises(InputError, match="root: expected a folder, found none at"):
        MNISTDataModule(root=str(tmp_path / "none"), fallback=fallback)
    monkeypatch.setenv("SAE_DATA", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"root \(from \$SAE_DATA\): expected a folder"):
        MNISTDataModule(fallback=fallback)


@pytest.mark.parametrize("fallback", [None, "digits"])
@pytest.mark.parametrize("damage", ["payload", "cut", "garbage"])
def test_a_damaged_file_is_named_whatever_the_fallback(folder, damage, fallback):
    path = folder / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    if damage == "payload":
        content[-1] ^= 1
        path.write_bytes(gzip.compress(bytes(content)))
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-12])
    else:
        path.write_bytes(b"not an archive")
    with pytest.raises(InputError, match=r"t10k-labels-idx1-ubyte\.gz: expected .* damaged"):
        module(folder, fallback=fallback)


def test_without_mnist_web_and_fallback_there_are_three_remedies(tmp_path):
    with pytest.raises(
        InputError, match=r"(?s)\(1\).*--data\.root.*\(2\).*internet.*\(3\).*fallback"
    ):
        module(tmp_path)


def test_the_fallback_is_real_named_and_announced_once(tmp_path, capsys):
    data = module(tmp_path, fallback="digits", val_size=5000)
    assert data.name == "digits"
    assert "1,797" in data.description
    assert [len(part) for part in (data.train, data.val, data.test)] == [1317, 120, 360]
    assert data.n_features == 784
    data.setup()
    assert capsys.readouterr().err.count("WARNING") == 1


def test_a_silent_web_is_given_up_within_20_seconds(tmp_path, monkeypatch):
    """Each mirror may be silent for REACH_TIMEOUT, whatever hangs: here the name look-up."""
    from torchvision.datasets import MNIST

    assert len(MNIST.mirrors) * mnist.REACH_TIMEOUT < 20
    monkeypatch.setattr(mnist, "_reachable", REACHABLE)
    monkeypatch.setattr(mnist, "REACH_TIMEOUT", 0.2)
    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: time.sleep(5))
    start = time.monotonic()
    assert mnist._download(tmp_path) == (None, "no internet to download them from")
    assert time.monotonic() - start < 3


def test_a_download_that_breaks_off_leaves_no_half_file(tmp_path, monkeypatch):
    def broken(url, root, filename, md5):
        Path(root, filename).write_bytes(b"half")
        raise RuntimeError("connection lost")

    monkeypatch.setattr(mnist, "_reachable", lambda url: True)
    monkeypatch.setattr("torchvision.datasets.utils.download_url", broken)
    assert mnist._download(tmp_path) == (None, "the download failed (connection lost)")
    assert list((tmp_path / "MNIST" / "raw").iterdir()) == []


def test_a_download_ends_in_the_folder_that_is_read(tmp_path, monkeypatch):
    source = tmp_path / "source"
    write_mnist(source, monkeypatch)

    def copy(url, root, filename, md5):
        Path(root, filename).write_bytes((source / filename).read_bytes())

    monkeypatch.setattr(mnist, "_reachable", lambda url: True)
    monkeypatch.setattr("torchvision.datasets.utils.download_url", copy)
    (tmp_path / "root").mkdir()
    assert len(module(tmp_path / "root").train) == 50
    assert find_folder(tmp_path / "root") == tmp_path / "root" / "MNIST" / "raw"


def test_a_download_fetches_only_what_is_missing(folder, monkeypatch):
    fetched = []

    def copy(url, root, filename, md5):
        fetched.append(filename)
        Path(root, filename).write_bytes(missing)

    path = folder / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    missing = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(mnist, "_reachable", lambda url: True)
    monkeypatch.setattr("torchvision.datasets.utils.download_url", copy)
    assert len(module(folder).test) == 20
    assert fetched == [path.name]


def test_half_of_mnist_is_no_reason_to_fall_back(folder):
    (folder / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError, match=r"found only train-images-idx3-ubyte, .*no internet"):
        module(folder, fallback="digits")
