"""Seeds derived from their purpose, so that random numbers do not depend on what ran before.

A run has one seed. The initial weights of a stage, the order of its samples and its noise have
seeds derived from it and from their place (stage, epoch, step). So stage 2 gets the same weights
whether stage 1 was just trained or was loaded from disk.
"""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *place: str | int) -> int:
    """Return a seed for one place in the run.

    Args:
        seed: The seed of the run.
        place: Names and numbers of the place, such as ``("noise", "stage1", epoch, step)``.

    Returns:
        An integer in [0, 2**63), from a hash, and so the same on every machine.
    """
    key = repr((seed, *place)).encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "little") >> 1


def derive_generator(
    seed: int, *place: str | int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a generator on ``device`` with the seed of :func:`derive_seed`."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *place))
