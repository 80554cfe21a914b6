from __future__ import annotations

import math

import pytest
import torch
import torch.distributed as dist
from helpers import as_process

from sae.data import TensorLoader
from sae.data import loader as loader_module
from sae.data.rows import TILE_ROWS
from sae.nets.columns import MISSING


def batches(loader) -> list[torch.Tensor]:
    return [batch[0] for batch in loader]


def numbers(n=10) -> torch.Tensor:
    return torch.arange(n, dtype=torch.float)[:, None]


def test_uint8_is_scaled_and_floats_are_left_alone():
    pixels = torch.tensor([[0, 51, 255]], dtype=torch.uint8)
    torch.testing.assert_close(batches(TensorLoader(pixels))[0], torch.tensor([[0.0, 0.2, 1.0]]))
    assert pixels.dtype == torch.uint8
    codes = torch.tensor([[3.5, -2.0]])
    assert torch.equal(batches(TensorLoader(codes))[0], codes)


def test_an_epoch_holds_every_sample_once_with_its_label():
    loader = TensorLoader(numbers(), torch.arange(10), batch_size=3, shuffle=True)
    got = list(loader)
    assert [len(batch.x) for batch in got] == [3, 3, 3, 1]
    assert len(loader) == 4
    assert all(torch.equal(batch.x[:, 0].long(), batch.y) for batch in got)
    assert all(torch.equal(batch.number, batch.y) for batch in got)
    assert sorted(torch.cat([batch.y for batch in got]).tolist()) == list(range(10))


def test_the_order_is_a_function_of_seed_and_epoch():
    def order(seed, epoch):
        loader = TensorLoader(numbers(50), batch_size=50, shuffle=True, seed=seed)
        loader.sampler.set_epoch(epoch)
        return batches(loader)[0].flatten().tolist()

    assert order(0, 3) == order(0, 3)
    assert len({tuple(order(*key)) for key in [(0, 0), (0, 1), (1, 0)]}) == 3


def test_iterating_twice_without_a_new_epoch_repeats_the_order():
    loader = TensorLoader(numbers(), batch_size=4, shuffle=True)
    assert torch.equal(torch.cat(batches(loader)), torch.cat(batches(loader)))


def test_unshuffled_batches_come_as_stored():
    assert torch.equal(torch.cat(batches(TensorLoader(numbers(), batch_size=4))), numbers())


def test_reseeding_changes_the_order_and_nothing_else():
    loader = TensorLoader(numbers(50), torch.arange(50), 50, shuffle=True, seed=1)
    other = loader.reseeded(2)
    assert not torch.equal(batches(loader)[0], batches(other)[0])
    assert (other.batch_size, other.sampler.shuffle) == (50, True)
    assert other.x is loader.x


SIZES = [(23, 10, 3), (21, 10, 2), (21, 10, 8), (20, 10, 2), (7, 100, 3), (5, 1, 4), (2, 3, 7)]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("n", "batch_size", "world"), SIZES)
def test_processes_share_each_batch_without_loss_or_repetition(
    monkeypatch, n, batch_size, world, shuffle
):
    """Every sample counts once, in the place it has alone; all take the same number of steps."""
    loader = TensorLoader(numbers(n), batch_size=batch_size, shuffle=shuffle)
    alone = batches(loader)
    counted = [[] for _ in alone]
    for rank in range(world):
        as_process(monkeypatch, rank, world)
        got = batches(loader)
        assert len(loader) == len(got) == len(alone)
        for batch_idx, x in enumerate(got):
            share = loader.share(batch_idx)
            assert len(x) > 0
            assert torch.equal(x, alone[batch_idx][share.rows])
            assert share.n in (0, len(x))
            assert share.n_batch == len(alone[batch_idx])
            counted[batch_idx].append(x[: share.n])
    assert all(torch.equal(torch.cat(xs), x) for xs, x in zip(counted, alone, strict=True))


@pytest.mark.parametrize(("n", "batch_size", "world"), SIZES)
def test_weighted_means_of_the_shares_have_the_mean_of_the_batch(monkeypatch, n, batch_size, world):
    loader = TensorLoader(numbers(n), batch_size=batch_size)
    for batch_idx, whole in enumerate(batches(loader)):
        weights, means = [], []
        for rank in range(world):
            as_process(monkeypatch, rank, world)
            share = loader.share(batch_idx)
            weights.append(share.weight)
            means.append(share.weight * whole[share.rows].mean().item())
        assert sum(weights) == pytest.approx(world)
        assert sum(means) / world == pytest.approx(whole.mean().item())


def test_one_process_has_it_all_at_a_weight_of_one():
    loader = TensorLoader(numbers(23), batch_size=10)
    assert [loader.share(k).rows for k in range(3)] == [slice(0, 10), slice(0, 10), slice(0, 3)]
    assert [loader.share(k).weight for k in range(3)] == [1.0, 1.0, 1.0]


def test_a_whole_pass_is_neither_shuffled_nor_shared(monkeypatch):
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    loader = TensorLoader(numbers(10_000), batch_size=3, shuffle=True)
    chunks = list(loader.whole())
    assert len(chunks) == 3
    assert torch.equal(torch.cat(chunks), numbers(10_000))


@pytest.fixture
def a_device(monkeypatch):
    """A device with 4,000 bytes left; it computes nothing but shapes."""
    monkeypatch.setattr(loader_module, "free_memory", lambda device: 4000)
    return torch.device("meta")


def test_samples_go_to_a_device_that_has_room_for_them(a_device):
    x, y = torch.zeros(100, 10, dtype=torch.uint8), torch.zeros(100)
    for shuffle in (False, True):
        loader = TensorLoader(x, y, batch_size=60, shuffle=shuffle, seed=3)
        there = loader.on(a_device)
        assert (there.sampler.shuffle, there.sampler.seed, there.batch_size) == (shuffle, 3, 60)
        for batch, n in zip(there, (60, 40), strict=True):
            assert [part.device.type for part in batch[:3]] == ["meta"] * 3
            assert batch[0].shape == (n, 10)
        assert loader.x is x
    assert TensorLoader(x[:, :3], None).on(a_device).y is None


def test_samples_stay_where_there_is_no_room_or_no_need(a_device, monkeypatch):
    large = TensorLoader(torch.zeros(101, 10, dtype=torch.uint8))
    there = large.on(a_device)
    assert there.x is large.x
    assert [batch.x.device.type for batch in there] == ["meta"], "each batch is sent"
    assert there.batch(0)[0].device.type == "meta"
    monkeypatch.undo()
    small = TensorLoader(torch.zeros(1, 10))
    assert small.on(torch.device("cpu")) is small


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_batches_on_a_gpu_are_those_of_the_cpu():
    loader = TensorLoader(numbers(50), torch.arange(50), batch_size=20, shuffle=True, seed=1)
    there = loader.on(torch.device("cuda"))
    assert there.x.is_cuda
    for got, expected in zip(there, loader, strict=True):
        assert all(torch.equal(a.cpu(), b) for a, b in zip(got[:3], expected[:3], strict=True))


def test_a_survey_sees_all_samples(monkeypatch):
    """Whatever chunk they lie in, and whatever comes after."""
    monkeypatch.setattr(loader_module, "CHUNK", 4)
    x = torch.full((12, 2), 0.5)
    x[0, 0], x[5, 1] = 0.25, 0.75
    seen = TensorLoader(x).survey()
    assert (seen.low, seen.high) == (0.25, 0.75)
    torch.testing.assert_close(seen.mean, x.mean(dim=0))
    x[1, 1] = float("nan")
    seen = TensorLoader(x).survey()
    assert math.isnan(seen.low)
    assert math.isnan(seen.high)
    pixels = TensorLoader(torch.full((12, 2), 51, dtype=torch.uint8)).survey()
    assert (pixels.low, pixels.high, pixels.mean.tolist()) == (0, 1, pytest.approx([0.2, 0.2]))


def test_wide_rows_are_looked_at_in_smaller_chunks():
    """No more than some megabytes at once, but whole tiles of a product."""
    assert loader_module.chunk_rows(784) == loader_module.CHUNK
    assert loader_module.chunk_rows(4096) == 1024
    assert loader_module.chunk_rows(10**6) == TILE_ROWS
    chunks = list(TensorLoader(torch.zeros(600, 10**4)).chunks())
    assert chunks == [(0, 256), (256, 512), (512, 600)]


def test_the_order_of_rows_is_none_of_that_of_their_blocks():
    """With a row a block, one generator for both would permute by the same permutation twice."""
    order = loader_module._EpochOrder(50, shuffle=True, seed=3, block=1)
    blocks, rows = order.blocks(), order.indices()
    assert sorted(rows.tolist()) == list(range(50))
    assert not torch.equal(rows, blocks[blocks])


@pytest.mark.parametrize("n_blocks", [1, 3, 4, 5, 9, 13])
def test_windows_are_of_equal_size(n_blocks, monkeypatch):
    """Five blocks in windows of at most four: three and two, not four and a last one alone."""
    monkeypatch.setattr(loader_module, "WINDOW_BLOCKS", 4)
    order = loader_module._EpochOrder(10 * n_blocks, shuffle=True, seed=3, block=10)
    rows, blocks = order.indices(), order.blocks()
    assert sorted(rows.tolist()) == list(range(10 * n_blocks))
    n_windows = -(-n_blocks // 4)
    sizes = [len(part) for part in blocks.tensor_split(n_windows)]
    assert max(sizes) <= 4
    assert max(sizes) - min(sizes) <= 1
    for part, mine in zip(
        rows.split([10 * n for n in sizes]), blocks.tensor_split(n_windows), strict=True
    ):
        assert set((part // 10).tolist()) == set(mine.tolist())


def test_last_batches_of_sorted_samples_are_of_many_classes():
    """Of 257 blocks the last one was a window by itself, and of one class."""
    order = loader_module._EpochOrder(2570, shuffle=True, seed=0, block=10)
    for epoch in range(3):
        order.set_epoch(epoch)
        assert len(set((order.indices()[-10:] // 257).tolist())) >= 4


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.2, 0.9, (0.0, 1.0)), (0.0, 1.0, (0.0, 1.0)), (-3.0, 0.5, (-3.0, 0.5)), (5.0, 9.0, (5, 9))],
)
def test_the_range_of_pixels_is_their_own_where_some_lie_outside(low, high, expected):
    x = torch.linspace(low, high, 24).reshape(6, 4)
    assert TensorLoader(x).survey().pixel_range == pytest.approx(expected)


def test_what_is_missing_has_no_part_in_the_mean():
    x = torch.tensor([[100.0, MISSING, MISSING], [MISSING, 2.0, MISSING], [102.0, 4.0, MISSING]])
    loader = TensorLoader(x)
    loader.has_gaps = True
    for each in (loader, loader.sample(3), loader.reseeded(1)):
        seen = each.survey()
        assert each.has_gaps
        assert seen.mean.tolist() == [101, 3, 0]
        assert seen.std.tolist() == pytest.approx([1, 1, 0])
    assert len(loader.sample(2).x) == 2
    assert loader.sample(2).has_gaps
    assert not loader.of(x).has_gaps, "codes have none"
    assert TensorLoader(x).survey().mean[0].item() == pytest.approx(202 / 3)
