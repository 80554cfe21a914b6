from __future__ import annotations

import pytest
import torch
from helpers import tiny_stack

from sae.data import TensorLoader
from sae.data import loader as loader_module
from sae.data.encode import chunks_of, encoded

N = 100


@pytest.fixture
def pixels(monkeypatch) -> TensorLoader:
    """Pixels in four chunks, the last of them of a single row; to be shuffled in training."""
    monkeypatch.setattr(loader_module, "CHUNK", 33)
    x = torch.randint(0, 256, (N, 12), generator=torch.Generator().manual_seed(0))
    return TensorLoader(x.to(torch.uint8), torch.arange(N), 8, shuffle=True)


@pytest.mark.parametrize("training", [True, False])
def test_codes_are_clean_and_in_the_order_of_the_samples(pixels, training):
    net = tiny_stack().train(training)
    found = list(encoded(net, pixels))
    assert [(first, last) for first, last, _ in found] == [(0, 33), (33, 66), (66, 99), (99, 100)]
    with torch.no_grad():
        expected = net.encode(pixels.x.float() / 255)
    torch.testing.assert_close(torch.cat([codes for *_, codes in found]), expected)
    assert not any(codes.requires_grad for *_, codes in found)
    assert net.training is training


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_processes_share_whole_chunks_none_lost_or_doubled(pixels, world):
    shares = [chunks_of(pixels, rank, world) for rank in range(world)]
    assert [chunk for share in shares for chunk in share] == list(pixels.chunks())
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    net = tiny_stack()
    found = [part for rank in range(world) for part in encoded(net, pixels, part=(rank, world))]
    for mine, alone in zip(found, encoded(net, pixels), strict=True):
        assert mine[:2] == alone[:2]
        assert torch.equal(mine[2], alone[2]), "bit for bit"
