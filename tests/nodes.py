"""Runs as several processes on nodes that know each other by an address alone.

As a script it is what each process runs: the command line, with the files of codes copied before
they are deleted, and a note of who has written which.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
N, N_VAL, N_TEST, FEATURES = 9000, 500, 300, 12
# Two stages hand codes on, in three chunks: one process has more of them than the other.
FIT = ["--model.sizes", "[12, 8, 6, 4]", "--pretrain.epochs", "1", "--finetune.epochs", "2"]
FIT += ["--pretrain.lr", "0.01", "--pictures_every", "-1", "--trainer.logger", "false"]
FIT += ["--trainer.accelerator", "cpu", "--name", "run"]
KEPT = "SAE_TEST_KEPT"
SECONDS = 120


def write_data(folder: Path) -> None:
    """Samples of 4x3 numbers, and their labels."""
    rng = np.random.default_rng(0)
    for part, n in (("train", N), ("test", N_TEST)):
        np.save(folder / f"{part}.npy", rng.random((n, FEATURES), dtype=np.float32))
        np.save(folder / f"{part}_labels.npy", rng.integers(0, 3, n))


def words(data: Path, *more: str) -> list[str]:
    """The command line of a run on these data."""
    found = ["fit", *FIT, "--data", "ArrayDataModule", "--data.batch_size", "500"]
    for part in ("train", "test"):
        found += [f"--data.{part}", str(data / f"{part}.npy")]
        found += [f"--data.{part}_labels", str(data / f"{part}_labels.npy")]
    return [*found, "--data.val_size", str(N_VAL), *more]


@dataclass
class Ended:
    """What came of a process."""

    code: int
    out: str
    err: str
    seconds: float


def run_all(
    commands: Sequence[Sequence[str]],
    folders: Sequence[Path],
    environments: Sequence[Mapping[str, str]],
    seconds: float = SECONDS,
    meanwhile: Callable[[list[subprocess.Popen]], None] | None = None,
) -> list[Ended]:
    """Run commands side by side, each in a session of its own; none outlives this.

    Args:
        commands: What to run.
        folders: Where each works.
        environments: What each has in its environment beside ours.
        seconds: How long all of them may take.
        meanwhile: What to do when they are started.

    Raises:
        TimeoutError: They did not end in time.
    """
    started = []
    begin = time.monotonic()
    try:
        for command, folder, more in zip(commands, folders, environments, strict=True):
            folder.mkdir(exist_ok=True)
            started.append(_start(command, folder, more))
        if meanwhile is not None:
            meanwhile(started)
        return [_ended(process, begin, seconds) for process in started]
    finally:
        for process in started:
            _kill(process)


def wait_for(path: Path, seconds: float = 60) -> None:
    """Until there is such a file."""
    end = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"no {path} in {seconds} s")
        time.sleep(0.05)


def _start(command: Sequence[str], folder: Path, more: Mapping[str, str]) -> subprocess.Popen:
    ours = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
    plain = {k: v for k, v in os.environ.items() if k not in ours and not k.startswith("SLURM_")}
    env = {**plain, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", **more}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=env, start_new_session=True, **pipes)


def _ended(process: subprocess.Popen, begin: float, seconds: float) -> Ended:
    left = max(1.0, begin + seconds - time.monotonic())
    try:
        out, err = process.communicate(timeout=left)
    except subprocess.TimeoutExpired:
        _kill(process)
        out, err = process.communicate()
        raise TimeoutError(f"not done in {seconds} s\n{out}\n{err}") from None
    return Ended(process.returncode, out, err, time.monotonic() - begin)


def _kill(process: subprocess.Popen) -> None:
    """The process and those it started. It leads its session, so that they are its group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def torchrun(
    *args: str, processes: int = 1, nodes: int = 1, node: int = 0, port: int = 0, to: str = ""
) -> list[str]:
    """The command that starts the processes of one node."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    command += ["--nnodes", str(nodes), "--node_rank", str(node)]
    command += ["--master_addr", to or "127.0.0.1", "--master_port", str(port or free_port())]
    devices = ["--trainer.devices", str(processes), "--trainer.num_nodes", str(nodes)]
    return [*command, str(HERE / "nodes.py"), *args, *devices, "--trainer.strategy", "ddp"]


def srun(*args: str) -> list[str]:
    """What ``srun`` starts once for each task; it says the rest in the environment."""
    return [sys.executable, str(HERE / "nodes.py"), *args, "--trainer.strategy", "ddp"]


def slurm_tasks(tasks: int = 2, nodes: int = 1) -> list[dict[str, str]]:
    """The variables that ``srun`` sets for each task. Lightning makes a port of the job's number.

    Args:
        tasks: How many, the same on each node.
        nodes: How many.
    """
    per_node = tasks // nodes
    shared = {
        "SLURM_JOB_ID": str(70_000 + _free_port_of_a_job() - 15_000),
        "SLURM_JOB_NAME": "train",
        "SLURM_NODELIST": "localhost",
        "SLURM_NNODES": str(nodes),
        "SLURM_NTASKS": str(tasks),
        "SLURM_NTASKS_PER_NODE": str(per_node),
        "SLURM_STEP_NUM_TASKS": str(tasks),
        "SLURM_STEP_NUM_NODES": str(nodes),
    }
    return [
        {
            **shared,
            "SLURM_PROCID": str(task),
            "SLURM_LOCALID": str(task % per_node),
            "SLURM_NODEID": str(task // per_node),
        }
        for task in range(tasks)
    ]


def _free_port_of_a_job() -> int:
    for port in range(15_000 + os.getpid() % 5000, 25_000):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no free port")


def _keep(folder: Path) -> None:
    """Have this process's files of codes noted and copied."""
    from sae.training import handover as codes

    write, forget, close = codes.write_npy, codes.CodesOnDisk.forget, codes.CodesOnDisk.close

    def noted(path: Path, *args) -> None:
        write(path, *args)
        (folder / f"{path.name}.by").write_text(str(codes._rank_and_world()[0]))

    def copied(own):
        def called(self, *args) -> None:
            codes._wait_for_all()
            if codes._rank_and_world()[0] == 0 and self.folder.exists():
                shutil.copytree(self.folder, folder, dirs_exist_ok=True)
            own(self, *args)

        return called

    codes.write_npy = noted
    codes.CodesOnDisk.forget, codes.CodesOnDisk.close = copied(forget), copied(close)


if __name__ == "__main__":
    from sae.cli.command import main

    if KEPT in os.environ:
        _keep(Path(os.environ[KEPT]))
    main()
