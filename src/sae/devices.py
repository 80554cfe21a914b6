"""Where a network and its inputs lie, and how one comes to the other.

A network lies on the CPU. The Trainer moves it to its device for the time of a ``fit``, and so does
:func:`placed` for whoever computes with it outside of one. Whoever only looks at a network asks its
own weights where they are (:func:`beside`): the Trainer's word comes before the weights do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def device_of(net: nn.Module) -> torch.device | None:
    """Where the weights of a network lie; None where it has none, as the identity."""
    first = next(net.parameters(), None)
    return None if first is None else first.device


def beside(net: nn.Module, x: Tensor) -> Tensor:
    """``x``, of any shape, where the weights of ``net`` lie; as it is where there are none."""
    device = device_of(net)
    return x if device is None else send(x, device)


def send(x: Tensor, device: torch.device) -> Tensor:
    """``x`` on a device. To a GPU from memory that is pinned, so that nobody waits for the copy."""
    if device.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


@contextmanager
def placed(net: nn.Module, device: torch.device | str | None) -> Iterator[None]:
    """Have a network on a device, and then where it was.

    Args:
        net: All of its weights lie on one device.
        device: Where to compute; None leaves it where it is.
    """
    before = device_of(net)
    if device is None or before is None or before == torch.device(device):
        yield
        return
    try:
        net.to(device)
        yield
    finally:  # also where there is no room for all of it
        net.to(before)


def free_memory(device: torch.device) -> float:
    """Bytes that a GPU has left; none on a CPU, whose memory holds the samples as it is."""
    ask = getattr(torch.get_device_module(device), "mem_get_info", None)
    return 0 if ask is None else ask(device)[0]


@contextmanager
def fast_products() -> Iterator[None]:
    """Have GPUs multiply in TF32: several times faster, with 10 bits behind the point.

    Whoever has chosen a precision, by either of torch's two ways, keeps it.
    """
    newer: list[Any] = [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]  # type: ignore[attr-defined]
    chosen = [way.fp32_precision for way in newer]
    try:
        untouched = torch.get_float32_matmul_precision() == "highest" and chosen[0] == "none"
    except RuntimeError:  # torch's own word for: chosen by the newer way
        untouched = False
    if not untouched:
        yield
        return
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")
        for way, precision in zip(newer, chosen, strict=True):
            way.fp32_precision = precision


def about(device: torch.device) -> dict[str, str]:
    """What numbers depend on beside the kind of a device: a GPU's model, whether TF32 is on."""
    if device.type != "cuda":
        return {}
    able = torch.cuda.get_device_capability(device) >= (8, 0) and torch.version.hip is None
    on = able and torch.backends.cuda.matmul.fp32_precision == "tf32"
    return {"gpu": torch.cuda.get_device_name(device), "tf32": "on" if on else "off"}
