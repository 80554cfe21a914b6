from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import as_process, clone_state, same_state, tiny_model
from lightning import Callback

from sae.data import TensorLoader
from sae.data import loader as loader_module
from sae.data.rows import FileRows
from sae.errors import InputError
from sae.files import write_npy
from sae.nets.dense import Dense
from sae.terms.corruption import Corruption
from sae.training import handover as codes_module
from sae.training.handover import CodesInMemory, CodesNotKept, CodesOnDisk
from sae.training.plan import Journal
from sae.training.pretrain import GreedyPretrainer, plain_trainer
from sae.training.recipe import Recipe

N = 700


@pytest.fixture
def pixels(monkeypatch) -> TensorLoader:
    """Samples in several chunks, the last of them of one row."""
    monkeypatch.setattr(loader_module, "CHUNK", 99)
    x = torch.randint(0, 256, (N, 12), dtype=torch.uint8)
    return TensorLoader(x, torch.arange(N), batch_size=64, shuffle=True, seed=5)


def caches(folder: Path) -> dict:
    silent: list[str] = []
    return {
        "memory": CodesInMemory(),
        "disk": CodesOnDisk(folder / "codes", silent.append),
        "none": CodesNotKept(),
    }


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_codes_are_those_of_the_layer_in_order_and_with_their_labels(pixels, tmp_path, cache):
    layer = Dense(12, 5).train()
    given = caches(tmp_path)[cache].hand_on(layer, pixels, "stage1.train", "cpu")
    for batch, codes in zip(pixels, given, strict=True):
        assert torch.equal(batch.y, codes.y)
        assert torch.equal(batch.number, codes.number)
        with torch.no_grad():
            torch.testing.assert_close(codes.x, layer.encode(batch.x))
    assert not codes.x.requires_grad
    assert given.x.shape == (N, 5)


@pytest.mark.parametrize("in_files", [False, True], ids=["in memory", "in files"])
def test_a_stack_of_three_has_the_same_weights_wherever_its_codes_are(tmp_path, in_files):
    """Bit for bit, under noise too, with more batches than windows."""
    x = torch.rand(N, 12, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "x.npy", x.numpy())
    results = {}
    for name, cache in caches(tmp_path).items():
        rows = FileRows([tmp_path / "x.npy"]) if in_files else x
        if in_files:
            rows.block = 3
        recipe = Recipe(epochs=2, lr=0.01, corruption=Corruption("masking", 0.2))
        model = tiny_model(sizes=[12, 8, 6, 3])
        train = TensorLoader(rows, None, 50, shuffle=True)
        val = TensorLoader(x[:90], None, 50)
        pretrainer = GreedyPretrainer([recipe] * 3, recipe, seed=1, codes=cache)
        losses = [result.loss for result in pretrainer.fit(model, train, val)]
        results[name] = clone_state(model), losses
    for name in ("disk", "none"):
        assert same_state(results[name][0], results["memory"][0]), name
        assert results[name][1] == results["memory"][1]
    assert not (tmp_path / "codes").exists()


def test_disk_is_announced_before_and_given_back_when_it_is_not_needed(pixels, tmp_path):
    folder, told = tmp_path / "codes", []
    cache = CodesOnDisk(folder, lambda line: told.append((line, folder.exists())))
    first, second = Dense(12, 5), Dense(5, 2)
    h1 = cache.hand_on(first, pixels, "stage1.train", "cpu")
    assert f"{4 * N * 5 / 1000:.1f} kB on disk, in codes, until" in told[0][0]
    assert "stage1: codes of the train samples" in told[0][0]
    h2 = cache.hand_on(second, h1, "stage2.train", "cpu")
    kept = h2.x[:]
    cache.forget("stage1")
    assert [path.name for path in folder.iterdir()] == ["stage2.train-00000-of-00001.npy"]
    assert torch.equal(h2.x[:], kept)
    cache.close()
    assert not folder.exists()


def test_what_a_run_that_fails_has_written_is_deleted(tmp_path):
    class FailsError(Exception):
        pass

    class Fails(Callback):
        def on_train_start(self, trainer, module):
            if module.phase == "stage2":
                assert list((tmp_path / "codes").glob("*.npy"))
                raise FailsError

    def fails(phase, module):
        trainer = plain_trainer(phase, module)
        trainer.callbacks.append(Fails())
        return trainer

    data = TensorLoader(torch.rand(20, 12), None, 8)
    recipe = Recipe(epochs=1)
    cache = CodesOnDisk(tmp_path / "codes", print)
    with pytest.raises(FailsError):
        GreedyPretrainer([recipe] * 2, recipe, fails, codes=cache).fit(tiny_model(), data, data)
    assert not (tmp_path / "codes").exists()


def test_codes_on_disk_are_deleted_when_all_processes_have_read_them(tmp_path, monkeypatch):
    """Of the last stage, too: others may be slower."""
    seen = []
    monkeypatch.setattr(codes_module, "_wait_for_all", lambda: seen.append("waited"))
    unlink, rmtree = Path.unlink, shutil.rmtree

    def deleted(path, *args, **kwargs):
        seen.append("deleted")
        unlink(path, *args, **kwargs)

    def all_deleted(path, **kwargs):
        seen.append("all")
        rmtree(path, **kwargs)

    monkeypatch.setattr(Path, "unlink", deleted)
    monkeypatch.setattr(shutil, "rmtree", all_deleted)
    data, recipe = TensorLoader(torch.rand(20, 12), None, 8), Recipe(epochs=1)
    cache = CodesOnDisk(tmp_path / "codes", lambda line: None)
    GreedyPretrainer([recipe] * 2, recipe, codes=cache).fit(tiny_model(), data, data)
    assert seen[-4:] == ["waited", "deleted", "deleted", "all"]


def test_codes_are_computed_for_stages_that_are_trained_and_no_others():
    """Not for those that a run which goes on has done, nor for the fine-tuning."""

    class Done(Journal):
        def __init__(self, names: str) -> None:
            self.names = names

        def recall(self, phase, module, stack):
            return "done" if phase.name in self.names else None

    data, recipe, asked = TensorLoader(torch.rand(20, 12), None, 8), Recipe(epochs=1), []

    class Counts(CodesInMemory):
        def hand_on(self, layer, loader, name, device):
            asked.append(name)
            return super().hand_on(layer, loader, name, device)

    all_of_them = ["stage1.train", "stage1.val", "stage2.train", "stage2.val"]
    done = {"": all_of_them, "stage1 stage2": all_of_them, "stage1 stage2 stage3": []}
    for names, expected in done.items():
        asked.clear()
        model = tiny_model(sizes=[12, 8, 6, 3])
        pretrainer = GreedyPretrainer([recipe] * 3, recipe, journal=Done(names), codes=Counts())
        assert len(pretrainer.fit(model, data, data)) == 4
        assert asked == expected


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot take room ahead")
def test_a_full_disk_shows_before_anything_is_computed(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def never():
        raise AssertionError("computed")
        yield

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_npy(tmp_path / "h.npy", (10, 3), never())
    assert caught.value.filename == str(tmp_path / "h.npy")
    assert list(tmp_path.iterdir()) == []


def test_where_room_cannot_be_taken_ahead_it_is_written_all_the_same(tmp_path, monkeypatch):
    def not_supported(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", not_supported, raising=False)
    write_npy(tmp_path / "h.npy", (4, 3), iter(torch.ones(4, 3).split(3)))
    assert np.load(tmp_path / "h.npy").tolist() == [[1.0] * 3] * 4


@pytest.mark.parametrize("world", [2, 3, 5])
def test_processes_share_the_codes_out_none_lost_or_doubled(pixels, tmp_path, monkeypatch, world):
    layer = Dense(12, 5)
    alone = CodesInMemory().hand_on(layer, pixels, "stage1.train", "cpu")
    written = 0
    monkeypatch.setattr(codes_module, "_wait_for_all", lambda: None)
    for rank in reversed(range(world)):  # the first finds what the others have written
        as_process(monkeypatch, rank, world)
        cache = CodesOnDisk(tmp_path / "codes", print)
        if rank:  # the others are not done yet
            with pytest.raises(InputError, match="all machines share"):
                cache.hand_on(layer, pixels, "stage1.train", "cpu")
        else:
            given = cache.hand_on(layer, pixels, "stage1.train", "cpu")
        (path,) = (tmp_path / "codes").glob(f"*-{rank:05d}-of-{world:05d}.npy")
        written += len(np.load(path))
    assert written == N
    assert torch.equal(given.x[:], alone.x)


def test_codes_larger_than_memory_are_refused_with_the_remedy(pixels, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PHYS_PAGES": 3}.get(name, 4096))
    with pytest.raises(InputError, match=r"12\.3 kB of memory.*14\.0 kB.*cache disk"):
        CodesInMemory().hand_on(Dense(12, 5), pixels, "stage1.train", "cpu")
