from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from sae.data import TensorLoader


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
    assert [len(x) for x, _ in got] == [3, 3, 3, 1]
    assert len(loader) == 4
    assert all(torch.equal(x[:, 0].long(), y) for x, y in got)
    assert sorted(torch.cat([y for _, y in got]).tolist()) == list(range(10))


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


@pytest.mark.parametrize("shuffle", [False, True])
def test_processes_share_each_batch_without_loss_or_repetition(monkeypatch, shuffle):
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        loader = TensorLoader(numbers(23), batch_size=10, shuffle=shuffle)
        shares.append(batches(loader))
        assert all(x.is_contiguous() for x in shares[-1])
    assert [len(share) for share in shares] == [3, 3, 3]
    monkeypatch.setattr(dist, "get_world_size", lambda: 1)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    alone = batches(TensorLoader(numbers(23), batch_size=10, shuffle=shuffle))
    for whole, parts in zip(alone, zip(*shares, strict=True), strict=True):
        assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_last_batch_smaller_than_the_processes(monkeypatch, shuffle):
    """Training: all take the same number of steps. Elsewhere: no sample is lost."""
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    steps, seen = [], []
    for rank in range(2):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        loader = TensorLoader(numbers(21), batch_size=10, shuffle=shuffle)
        got = batches(loader)
        assert len(loader) == len(got)
        assert all(len(x) for x in got)
        steps.append(len(got))
        seen += torch.cat(got).flatten().tolist()
    assert len(seen) == len(set(seen)) == (20 if shuffle else 21)
    assert steps == ([2, 2] if shuffle else [2, 3])


def test_a_whole_pass_is_neither_shuffled_nor_shared(monkeypatch):
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    loader = TensorLoader(numbers(), batch_size=3, shuffle=True)
    assert torch.equal(torch.cat(list(loader.whole(batch_size=4))), numbers())
