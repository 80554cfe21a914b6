"""Move networks and their inputs between devices.

A network is on the CPU. The Trainer moves it to its device during a ``fit``; :func:`placed` does so
for code outside a ``fit``. Code that uses a network moves the inputs to the device of its weights
(:func:`beside`) and does not ask the Trainer, which names its device before the weights are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def device_of(net: nn.Module) -> torch.device | None:
    """Return the device of a network's weights; None if it has none, as the identity."""
    first = next(net.parameters(), None)
    return None if first is None else first.device


def beside(net: nn.Module, x: Tensor) -> Tensor:
    """Return ``x``, of any shape, on the device of the weights of ``net``."""
    device = device_of(net)
    return x if device is None else send(x, device)


def send(x: Tensor, device: torch.device) -> Tensor:
    """Return ``x`` on a device; copies to a GPU use pinned memory, so that nothing waits."""
    if device.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


@contextmanager
def placed(net: nn.Module, device: torch.device | str | None) -> Iterator[None]:
    """Move a network to a device, and back at the end.

    Args:
        net: A network whose weights are all on one device.
        device: The device; None does not move it.
    """
    before = device_of(net)
    if device is None or before is None or before == torch.device(device):
        yield
        return
    try:
        net.to(device)
        yield
    finally:  # also if the device has too little memory
        net.to(before)


def free_memory(device: torch.device) -> float:
    """Return the free memory of a GPU in bytes; 0 for a CPU, which holds the samples already."""
    ask = getattr(torch.get_device_module(device), "mem_get_info", None)
    return 0 if ask is None else ask(device)[0]


@contextmanager
def fast_products() -> Iterator[None]:
    """Let GPUs multiply in TF32: several times faster, with 10 bits of mantissa.

    If the user has chosen a precision, by either of torch's two settings, it is kept.
    """
    newer: list[Any] = [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]  # type: ignore[attr-defined]
    chosen = [way.fp32_precision for way in newer]
    try:
        untouched = torch.get_float32_matmul_precision() == "highest" and chosen[0] == "none"
    except RuntimeError:  # raised if the user has used the newer setting
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
    """Return properties of a device that change results: a GPU's model, and whether TF32 is on."""
    if device.type != "cuda":
        return {}
    able = torch.cuda.get_device_capability(device) >= (8, 0) and torch.version.hip is None
    on = able and torch.backends.cuda.matmul.fp32_precision == "tf32"
    return {"gpu": torch.cuda.get_device_name(device), "tf32": "on" if on else "off"}
