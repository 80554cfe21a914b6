"""A device that does not exist: ``pretend:0`` computes on the CPU, and refuses what a GPU refuses.

A tensor on it wraps one in memory. Whatever is done to it comes by :func:`_run`, which raises where
a GPU would (tensors of both devices in one operation, a generator of the other one), and notes each
copy between the devices and each wait for the device. The bits are those of the CPU.

To register a device changes torch for good: :func:`run` does it in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map

import sae

try:
    from torch.utils import backend_registration
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend as register

    MISSING = ""
except ImportError:
    MISSING = f"torch {torch.__version__} takes no devices written in Python"

NAME = "pretend"
# For the command line.
PACKAGE = f"{Path(sae.__file__).parent}/"
TRAINER = ["--trainer.accelerator", NAME, "--trainer.strategy", NAME]

aten = torch.ops.aten
# What takes tensors of both devices: copies, and indices, which are then copied.
COPIES = {aten.copy_.default, aten._to_copy.default}
TAKES_INDICES = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}
# What must know a value, or a size that is a value, before the program can go on.
WAITS = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.equal.default,
    aten._unique2.default,
}


@dataclass(frozen=True)
class Event:
    """Something for which the program and the device wait for each other.

    Attributes:
        kind: ``to the device``, ``from the device`` or ``wait``.
        where: The functions of this project on the way there, the innermost first, as
            ``file.py:function``.
        step: Whether in a step of the training: see :func:`steps_noted`.
    """

    kind: str
    where: tuple[str, ...]
    step: bool


events: list[Event] = []
_in_step = [False]


def _note(kind: str) -> None:
    codes = (frame.f_code for frame, _ in traceback.walk_stack(sys._getframe()))
    ours = (code for code in codes if code.co_filename.startswith(PACKAGE))
    where = tuple(f"{Path(code.co_filename).name}:{code.co_name}" for code in ours)
    events.append(Event(kind, where, _in_step[0]))


class There(torch.Tensor):
    """A tensor on the device.

    Attributes:
        here: What it wraps, in memory.
    """

    here: torch.Tensor

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> There:
        there = torch.Tensor._make_wrapper_subclass(
            cls,
            here.size(),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=torch.device(NAME, 0),
        )
        there.here = here
        return there

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        with torch.inference_mode(False):  # what wraps is never of that mode, where it need not be
            return _run(func, args, kwargs or {})

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Saved as what it wraps: a file is read onto the CPU."""
        return self.here.detach().__reduce_ex__(protocol)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.dim() == 0 else super().__format__(spec)

    def __repr__(self, **_: Any) -> str:
        return f"There({self.here!r})"


# Their addresses: torch hands an operation another object for the same generator.
_of_the_device: set[int] = set()


class Generator(torch.Generator):
    """A generator that knows for which device it is: this one's numbers are those of the CPU."""

    def __new__(cls, device: torch.device | str = "cpu") -> Generator:
        generator = super().__new__(cls)
        if torch.device(device).type == NAME:
            _of_the_device.add(generator._cdata)
        return generator

    def __del__(self) -> None:
        _of_the_device.discard(self._cdata)

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device(NAME, 0) if self._cdata in _of_the_device else torch.device("cpu")


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation of torch, of which the result or an operand is on the device."""
    flat = tree_flatten((args, kwargs))[0]
    tensors = [x for x in flat if isinstance(x, torch.Tensor)]
    theirs = [x for x in tensors if isinstance(x, There)]
    arrays = [x for x in tensors if not isinstance(x, There) and x.dim() > 0]
    target = kwargs.get("device")
    # With no tensor among the operands it is one that makes a tensor on the device.
    onto = not theirs if target is None else torch.device(target).type == NAME
    if arrays and theirs and func not in COPIES | TAKES_INDICES:
        raise RuntimeError(f"Expected all tensors to be on the same device ({func})")
    for generator in (x for x in flat if isinstance(x, torch._C.Generator)):
        if generator._cdata not in _of_the_device:
            raise RuntimeError(f"Expected a '{NAME}' device type for generator ({func})")
    _note_what_waits(func, args, tensors, onto, target)
    if target is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")} | ({"pin_memory": False} if onto else {})
        kwargs.pop("pin_memory", None)
    unwrapped = tree_map(lambda x: x.here if isinstance(x, There) else x, (args, kwargs))
    out = func(*unwrapped[0], **unwrapped[1])
    if target is not None and not onto:
        return out
    if func is aten.copy_.default and not isinstance(args[0], There):
        return args[0]
    # What an operation changes in place stays the tensor that it is.
    same = {id(x.here): x for x in theirs}
    out = tree_map(lambda x: _there(x, same), out)
    for x in theirs:
        if x.shape != x.here.shape:
            raise NotImplementedError(f"{func} gives a tensor on {NAME} another shape")
    return out


def _there(x: Any, same: dict[int, There]) -> Any:
    if not isinstance(x, torch.Tensor) or isinstance(x, There):
        return x
    return same[id(x)] if id(x) in same else There(x)


def _note_what_waits(
    func: Any, args: Any, tensors: list[torch.Tensor], onto: bool, target: Any
) -> None:
    arrays = any(not isinstance(x, There) and x.dim() > 0 for x in tensors)
    if func in WAITS or any(x.dtype == torch.bool for x in tensors if func in TAKES_INDICES):
        _note("wait")
    if func is aten.copy_.default:
        kinds = [isinstance(x, There) for x in args[:2]]
        if kinds == [False, True]:
            _note("from the device")
        elif kinds == [True, False] and args[1].dim() > 0:
            _note("to the device")
    elif func is aten._to_copy.default and target is not None and not onto:
        _note("from the device")
    elif func in TAKES_INDICES and arrays:
        _note("to the device")


def install() -> None:
    """Register the device with torch and with Lightning."""
    from lightning.pytorch.accelerators import AcceleratorRegistry
    from lightning.pytorch.strategies import SingleDeviceStrategy, StrategyRegistry

    class Backend(backend_registration._DummyBackendModule):
        memory = 2**30  # bytes that it has left

        def get_amp_supported_dtype(self) -> list[torch.dtype]:
            return [torch.bfloat16, torch.float16]

        def mem_get_info(self, device: Any = None) -> tuple[int, int]:
            return self.memory, self.memory

    register(NAME, backend_module=Backend())
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda func, *args, **kwargs: _run(func, args, kwargs), "PrivateUse1")
    install.library = library  # type: ignore[attr-defined]  # it lives as long as this is held
    torch.Generator = Generator  # type: ignore[misc]  # hooks in Python cannot make one
    torch.tensor, torch.as_tensor = _by_way_of_the_cpu(torch.tensor, torch.as_tensor)
    accelerator, described = _accelerator(), {"description": "a device that does not exist"}
    AcceleratorRegistry.register(NAME, accelerator, **described)
    # Lightning's own strategy for one device, so that steps are taken as on a GPU.
    of_it = {"device": torch.device(NAME, 0), "accelerator": accelerator()}
    StrategyRegistry.register(NAME, SingleDeviceStrategy, **described, **of_it)


def _by_way_of_the_cpu(*makers: Callable[..., torch.Tensor]) -> Iterator[Callable]:
    """Functions that fill a new tensor's memory in C++, past all operations."""

    def there(make: Callable[..., torch.Tensor], data: Any, *args: Any, **kwargs: Any) -> Any:
        device = kwargs.pop("device", None)
        made = make(data, *args, **kwargs)
        return made if device is None else made.to(device)

    return (partial(there, make) for make in makers)


def _accelerator() -> type:
    """The accelerator by which a Trainer uses the device."""
    from lightning.pytorch.accelerators import Accelerator

    class PretendAccelerator(Accelerator):
        def setup_device(self, device: torch.device) -> None:
            assert device.type == NAME

        def teardown(self) -> None:
            pass

        def get_device_stats(self, device: Any) -> dict[str, Any]:
            return {}

        @staticmethod
        def parse_devices(devices: Any) -> list[torch.device]:
            return [torch.device(NAME, 0)]

        get_parallel_devices = parse_devices

        @staticmethod
        def auto_device_count() -> int:
            return 1

        @staticmethod
        def is_available() -> bool:
            return True

        @staticmethod
        def name() -> str:
            return NAME

    return PretendAccelerator


@contextmanager
def steps_noted() -> Iterator[list[Event]]:
    """Note of each event whether it falls into a step: from asking for a batch to its last hook."""
    from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop as Loop

    advance = Loop.advance

    def noted(self: Any, *args: Any) -> None:
        _in_step[0] = True
        try:
            advance(self, *args)
        finally:
            _in_step[0] = False

    Loop.advance = noted
    events.clear()
    try:
        yield events
    finally:
        Loop.advance = advance


# Processes of their own


def run(do: Callable[..., Any], folder: Path, *args: Any, **kwargs: Any) -> Any:
    """What ``do(*args, **kwargs)`` gives in a process that has the device, at work in a folder.

    The process is a fork of one that has loaded the libraries and done nothing with them: torch
    counts the devices of its backward pass once, at the first.
    """
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(
        ["pretend", "sae.cli.command", "sklearn.neighbors", "sklearn.datasets"]
    )
    with ProcessPoolExecutor(1, mp_context=server) as pool:
        return pool.submit(_with_device, do, folder, args, kwargs).result()


def _with_device(do: Callable[..., Any], folder: Path, args: Any, kwargs: Any) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    sys.argv = ["cli.py"]
    install()
    with Path("out.txt").open("a") as out, redirect_stdout(out):
        return do(*args, **kwargs)
