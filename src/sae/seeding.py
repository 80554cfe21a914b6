"""Seeds as functions of what they are for, so that nothing depends on what ran before.

The run has one seed. The initial weights of a stage, the order of its samples and its noise each
take a seed derived from it and from their own place (stage, epoch, step): stage 2 gets the same
weights whether stage 1 was trained a minute ago or read back from disk.
"""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *place: str | int) -> int:
    """A seed for one place in the run.

    Args:
        seed: The seed of the run.
        place: Names and numbers that tell the place, such as ``("noise", "stage1", epoch, step)``.

    Returns:
        An integer in [0, 2**63), well mixed and the same on every machine.
    """
    key = repr((seed, *place)).encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "little") >> 1


def derive_generator(
    seed: int, *place: str | int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A generator on ``device`` seeded by :func:`derive_seed`."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *place))
