from __future__ import annotations

import pytest
import torch

from sae.place import Generators, Place, Share

WHOLE = Share.equal(6)


def drawn(place: Place, name: str = "noise", n: int = 6) -> torch.Tensor:
    return place.normal(name, torch.empty(n, 3))


def test_a_place_gives_the_same_numbers_whatever_was_drawn_before():
    first = drawn(Place(1, "stage1", 2, 3, share=WHOLE))
    torch.manual_seed(99)
    place = Place(1, "stage1", 2, 3, share=WHOLE)
    place.uniform("other", torch.empty(6, 3))
    assert torch.equal(drawn(place), first)
    assert torch.equal(drawn(place), first), "and again"


def test_nothing_is_drawn_from_the_global_generator():
    before = torch.get_rng_state()
    place = Place(0, "stage1", share=WHOLE)
    drawn(place), place.uniform("u", torch.empty(6)), place.integers("i", 0, 9, 3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "other",
    [
        Place(2, "stage1", 2, 3, share=WHOLE),
        Place(1, "stage2", 2, 3, share=WHOLE),
        Place(1, "stage1", 3, 2, share=WHOLE),
        Place(1, "stage1", 2, 3, share=WHOLE).inside("layer", 0),
    ],
    ids=["seed", "phase", "where", "inside"],
)
def test_another_place_gives_others(other):
    place = Place(1, "stage1", 2, 3, share=WHOLE)
    assert not torch.equal(drawn(place), drawn(other))


def test_another_name_gives_others():
    place = Place(1, "stage1", share=WHOLE)
    assert not torch.equal(drawn(place, "dropout"), drawn(place, "noise"))


@pytest.mark.parametrize("world", [2, 3])
def test_processes_together_draw_what_one_draws(world):
    n = 6 // world
    shares = [Share.equal(n, rank, world) for rank in range(world)]
    for draw in ("normal", "uniform"):
        parts = [
            getattr(Place(1, "a", share=share), draw)("x", torch.empty(n, 2)) for share in shares
        ]
        whole = getattr(Place(1, "a", share=WHOLE), draw)("x", torch.empty(6, 2))
        assert torch.equal(torch.cat(parts), whole)
    integers = [Place(1, "a", share=share).integers("i", 0, 1000, 4) for share in shares]
    assert all(found == integers[0] for found in integers), "one draw for the batch"


def test_numbers_have_the_distribution_that_they_are_called_by():
    place = Place(0, "a", share=Share.equal(20_000))
    normal = place.normal("n", torch.empty(20_000, dtype=torch.double))
    assert normal.dtype == torch.double
    assert normal.mean().item() == pytest.approx(0, abs=0.03)
    assert normal.std().item() == pytest.approx(1, abs=0.03)
    uniform = place.uniform("u", torch.empty(20_000))
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert set(place.integers("i", 2, 4, 500)) == {2, 3, 4}


def test_a_place_within_keeps_epoch_and_share():
    inner = Place(1, "a", 5, share=Share.equal(3, 1, 2), epoch=5).inside("layer", 2)
    assert (inner.epoch, inner.where) == (5, (5, "layer", 2))
    assert inner.share == Share.equal(3, 1, 2)


def test_a_generator_is_made_once_for_a_device():
    generators = Generators()
    cpu = torch.device("cpu")
    assert generators.on(cpu) is generators.on(cpu)
    place = Place(1, "a", share=WHOLE, generators=generators)
    assert place.generator("x", cpu) is place.inside("b").generator("y", cpu)


def test_a_share_against_hand_values():
    share = Share.equal(4, rank=2, world=3, n_full=24)
    assert (share.rows, share.n_batch) == (slice(8, 12), 12)
    assert (share.weight, share.fullness) == (1.0, 0.5)
    # 3 of 8 samples, on one of two processes: its mean counts 3/4, that of the other 5/4.
    assert Share(slice(0, 3), 3, 8, world=2).weight == 0.75
    assert Share(slice(0, 3), 3, 8, world=2).fullness == 1.0
