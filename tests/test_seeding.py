from __future__ import annotations

import torch

from sae.seeding import derive_generator, derive_seed


def test_a_seed_is_the_same_on_every_machine():
    """The first eight bytes, little end first and halved, of sha256("(0, 'noise', 1)")."""
    assert derive_seed(0, "noise", 1) == 4_426_277_747_127_000_467
    assert derive_seed(7) == 3_390_981_726_289_711_890


def test_each_place_has_a_seed_of_its_own():
    places = [(), ("a",), ("b",), ("a", 0), (0, "a"), ("a", "0"), ("a", 0, 0), ("a0",)]
    seeds = {derive_seed(seed, *place) for seed in range(5) for place in places}
    assert len(seeds) == 5 * len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_generator_draws_as_its_seed_says_and_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    found = torch.rand(4, generator=derive_generator(3, "order", 2))
    expected = torch.rand(4, generator=torch.Generator().manual_seed(derive_seed(3, "order", 2)))
    assert torch.equal(found, expected)
    assert torch.equal(torch.get_rng_state(), before)
