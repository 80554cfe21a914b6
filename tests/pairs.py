"""Runs as two processes that share the work, started as torchrun would start them.

They are forks of this one, as in :mod:`killing`: the libraries are loaded already.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from killing import _child
from nodes import free_port

DDP = ["--trainer.strategy", "ddp", "--trainer.devices", "2", "--trainer.accelerator", "cpu"]


def run_pair(args: list[str], folder: Path) -> list[int]:
    """Run the command line as two processes; the exit status of each.

    Args:
        args: Its words.
        folder: Where both work; ``out.txt`` and ``err.txt`` of it get what they print.
    """
    folder.mkdir(exist_ok=True)
    sys.stdout.flush()
    port = free_port()
    children = []
    for rank in range(2):
        pid = os.fork()
        if pid == 0:
            place = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0}
            place |= {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
            os.environ |= {name: str(value) for name, value in place.items()}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "pair"}
            _child([*args, *DDP], folder, None)
        children.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
