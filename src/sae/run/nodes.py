"""Checks of several processes on several machines: their number, and a shared disk."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning import Trainer
from lightning.fabric.plugins.environments import SLURMEnvironment

from sae.errors import InputError

# Starter of processes -> environment variables with the number of processes and of nodes.
_STARTERS = {
    "torchrun": ("WORLD_SIZE", "GROUP_WORLD_SIZE"),
    "srun": ("SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES"),
}


def check_started(trainer: Trainer) -> None:
    """Check that the processes are those that the Trainer is set up for; else all would wait.

    Raises:
        InputError: The number of processes or nodes is wrong; or there are several nodes, but no
            torchrun or srun to connect them.
    """
    # Not the Trainer's world_size: that is what SLURM says.
    strategy: Any = trainer.strategy
    devices, nodes = getattr(strategy, "num_processes", 1), getattr(strategy, "num_nodes", 1)
    started = _started()
    if started is None:
        if nodes > 1 and not strategy.cluster_environment.creates_processes_externally:
            expected = "1, unless torchrun or srun starts the processes"
            remedy = f"start it on each node with torchrun --nnodes {nodes}, or with srun"
            raise InputError("trainer.num_nodes", expected, str(nodes), remedy)
        return
    who, processes, on = started
    each = processes // on
    if (devices, nodes) != (each, on):
        expected = f"{each} and {on}, because {who} started {each} on each of {on}"
        remedy = f"write --trainer.devices {each} --trainer.num_nodes {on}"
        found = f"{devices} and {nodes}"
        raise InputError("trainer.devices, trainer.num_nodes", expected, found, remedy)


def _started() -> tuple[str, int, int] | None:
    """Return what started the processes, their number, and the number of nodes; else None."""
    for who, names in _STARTERS.items():
        told = [os.environ.get(name, "") for name in names]
        if not all(number.isdecimal() for number in told):
            continue
        # With a single srun task, Lightning starts the processes itself. In an interactive SLURM
        # shell it ignores SLURM's variables.
        if who == "srun" and (told[0] == "1" or not SLURMEnvironment.detect()):
            continue
        return who, int(told[0]), int(told[1])
    return None


def leave() -> None:
    """Leave the group of processes, before this process ends.

    If a process ends while threads of gloo still run, it is sometimes aborted, and its exit code is
    lost.
    """
    if dist.is_available() and dist.is_initialized() and dist.get_backend() == "gloo":
        dist.destroy_process_group()


def check_shared(folder: Path) -> None:
    """Check that each process sees a file that the main process creates.

    A path can exist on all nodes without being on a shared disk.

    Raises:
        InputError: Some processes do not see it; raised in all processes.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return
    name = [f".seen_by_all_{secrets.token_hex(8)}"]
    dist.broadcast_object_list(name)
    mark = folder / name[0]
    if dist.get_rank() == 0:
        mark.touch()
    dist.barrier()
    seen: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(seen, mark.exists())
    if dist.get_rank() == 0:
        mark.unlink()
    blind = [str(rank) for rank, sees in enumerate(seen) if not sees]
    if blind:
        found = f"{folder}, which process {', '.join(blind)} does not see"
        expected, remedy = "a folder that all processes see", "name one on a disk that all share"
        raise InputError("trainer.default_root_dir", expected, found, remedy)
