"""Several processes on several nodes: as one in all they compute, and one in what they leave."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import killing
import numpy as np
import pytest
import torch
from helpers import read
from nodes import (
    KEPT,
    Ended,
    free_port,
    run_all,
    slurm_tasks,
    srun,
    torchrun,
    wait_for,
    words,
    write_data,
)

from sae.callbacks.metrics_csv import read_metrics
from sae.data import ArrayDataModule
from sae.errors import InputError
from sae.nets.dense import Dense
from sae.run.checkpoint_io import read_weights
from sae.run.nodes import check_started

PHASES = ("stage1", "stage2", "stage3", "finetune")
# Sums over two processes round otherwise: in weights of this size, by so much.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
linux = pytest.mark.skipif(not Path("/proc").exists(), reason="namespaces are Linux's own")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


@pytest.fixture(scope="module")
def one(data, tmp_path_factory) -> dict:
    """What one process finds."""
    folder = tmp_path_factory.mktemp("one")
    assert killing.run(words(data), folder) == 0
    return outcome(folder)


@pytest.fixture(scope="module")
def two_nodes(data, tmp_path_factory) -> SimpleNamespace:
    """What two nodes find, each in a folder of its own; and the files of their codes."""
    where, kept = tmp_path_factory.mktemp("two_nodes"), tmp_path_factory.mktemp("kept")
    port = free_port()
    options = words(data, "--pretrain.cache", "disk", "--trainer.logger", "true")
    commands = [torchrun(*options, nodes=2, node=node, port=port) for node in range(2)]
    folders = [where / "first", where / "second"]
    ended = run_all(commands, folders, [{KEPT: str(kept)}] * 2)
    return SimpleNamespace(ended=ended, folders=folders, kept=kept, found=outcome(folders[0]))


def outcome(folder: Path) -> dict:
    """All figures of the one run in a folder."""
    (run,) = (folder / "lightning_logs" / "run").iterdir()
    assert read(run, "manifest.json")["status"] == "finished"
    summary = read(run, "summary.json")
    return {
        "weights": {name: read_weights(run / name / "weights.safetensors") for name in PHASES},
        "rows": list(read_metrics(run / "metrics.csv").values()),
        "figures": {"val_sse": summary["val"]["sse"], **summary["test"]},
    }


def assert_close(found: dict, expected: dict) -> None:
    torch.testing.assert_close(found["weights"], expected["weights"], **CLOSE)
    assert len(found["rows"]) == len(expected["rows"]) == 5
    for row, as_of_one in zip(found["rows"], expected["rows"], strict=True):
        assert row == pytest.approx(as_of_one, rel=1e-4)
    # One of 300 samples is 0.3 %.
    figures, of_one = dict(found["figures"]), dict(expected["figures"])
    assert figures.pop("knn_accuracy") == pytest.approx(of_one.pop("knn_accuracy"), abs=2)
    assert figures == pytest.approx(of_one, rel=1e-4)


def assert_same(found: dict, expected: dict) -> None:
    """Bit for bit."""
    torch.testing.assert_close(found["weights"], expected["weights"], rtol=0, atol=0)
    assert found["rows"] == expected["rows"]
    assert found["figures"] == expected["figures"]


def assert_one_run(ended: list[Ended]) -> None:
    assert [each.code for each in ended] == [0] * len(ended), ended
    assert [each.out.count("run: ") for each in ended] == [1, *[0] * (len(ended) - 1)]


@pytest.mark.slow
def test_two_nodes_find_what_one_process_finds(two_nodes, one):
    assert_one_run(two_nodes.ended)
    assert_close(two_nodes.found, one)


@pytest.mark.slow
def test_two_nodes_leave_one_run(two_nodes):
    """Though they are started in different folders."""
    assert list(two_nodes.folders[1].iterdir()) == []
    run = two_nodes.folders[0] / "lightning_logs" / "run" / "version_0"
    assert not (run / "codes").exists()
    assert not list(run.glob(".seen*"))
    assert len(list(run.rglob("summary.json"))) == 1
    assert len(list(run.glob("stage1/events.out.tfevents.*"))) == 1


@pytest.mark.slow
def test_each_process_writes_codes_of_its_own_none_lost_or_doubled(two_nodes, data):
    """They are the codes of all samples in their order, by the layers that were trained."""
    files = {f"train{'_labels' * k}": str(data / f"train{'_labels' * k}.npy") for k in (0, 1)}
    samples = ArrayDataModule(**files, test=str(data / "test.npy"), val_size=500)
    samples.setup()
    parts = {"train": samples.train_dataloader().x[:], "val": samples.val_dataloader().x[:]}
    sizes = [12, 8, 6, 4]
    for k, stage in enumerate(["stage1", "stage2"]):
        layer = Dense(sizes[k], sizes[k + 1])
        layer.load_state_dict(two_nodes.found["weights"][stage])
        for part, x in parts.items():
            paths = sorted(two_nodes.kept.glob(f"{stage}.{part}-*.npy"))
            assert [(two_nodes.kept / f"{p.name}.by").read_text() for p in paths] == ["0", "1"]
            shards = [torch.from_numpy(np.load(path)) for path in paths]
            with torch.no_grad():
                parts[part] = layer.encode(x)
            assert sum(map(len, shards)) == len(x)
            torch.testing.assert_close(torch.cat(shards), parts[part])
        assert min(map(len, shards)) == 0  # of 500 there is one chunk
    assert len(list(two_nodes.kept.glob("*.npy"))) == 8


@pytest.mark.slow
def test_tasks_of_slurm_find_the_same(two_nodes, data, tmp_path):
    """By Lightning's own environment; with codes in memory, bit for bit what two nodes find."""
    command = srun(*words(data, "--pretrain.cache", "memory", "--trainer.devices", "2"))
    assert_one_run(run_all([command] * 2, [tmp_path] * 2, slurm_tasks(2)))
    assert_same(outcome(tmp_path), two_nodes.found)


@pytest.mark.long
@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_two_processes_of_torchrun_find_the_same(two_nodes, data, tmp_path, cache):
    """Bit for bit, wherever the codes are."""
    options = words(data, "--pretrain.cache", cache)
    assert_one_run(run_all([torchrun(*options, processes=2)], [tmp_path], [{}]))
    assert_same(outcome(tmp_path), two_nodes.found)


@pytest.fixture
def network() -> Iterator[list[str]]:
    """Two network namespaces joined by a cable, deleted afterwards."""
    names = [f"sae{os.getpid()}{end}" for end in "ab"]
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root, and ip of iproute2")
    try:
        for name in names:
            made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
            if made.returncode != 0:
                pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
        ends = ["add", "veth0", "netns", names[0], "type", "veth"]
        ip("link", *ends, "peer", "name", "veth0", "netns", names[1])
        for k, name in enumerate(names):
            ip("-n", name, "addr", "add", f"10.77.0.{k + 1}/24", "dev", "veth0")
            for device in ("lo", "veth0"):
                ip("-n", name, "link", "set", device, "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True, capture_output=True)


@linux
@pytest.mark.long
def test_nodes_that_share_nothing_but_a_cable_and_a_disk_find_the_same(
    network, two_nodes, data, tmp_path
):
    options = words(data, "--pretrain.cache", "disk")
    place = {"nodes": 2, "port": 29_500, "to": "10.77.0.1"}
    commands = [
        ["ip", "netns", "exec", name, *torchrun(*options, node=node, **place)]
        for node, name in enumerate(network)
    ]
    folders = [tmp_path / "first", tmp_path / "second"]
    assert_one_run(run_all(commands, folders, [{"GLOO_SOCKET_IFNAME": "veth0"}] * 2))
    assert_same(outcome(folders[0]), two_nodes.found)


def with_a_disk_of_its_own(command: list[str], folder: Path) -> list[str]:
    """The command, where that folder is an empty one in memory."""
    script = f'mount -t tmpfs none {folder} && exec "$@"'
    return ["unshare", "-rm", "sh", "-c", script, "sh", *command]


def namespaces() -> bool:
    asked = ["unshare", "-rm", "true"]
    return shutil.which("unshare") is not None and subprocess.run(asked).returncode == 0


@linux
@pytest.mark.slow
@pytest.mark.parametrize("cache", ["disk", pytest.param("memory", marks=pytest.mark.long)])
def test_nodes_that_share_no_disk_are_told_so_before_anything_is_done(data, tmp_path, cache):
    """Each reads what the main process writes: the best weights, and codes on disk."""
    if not namespaces():
        pytest.skip("no namespaces here")
    root = tmp_path / "disk"
    (root / "lightning_logs" / "run" / "version_0").mkdir(parents=True)
    options = ["--trainer.devices", "1", "--trainer.num_nodes", "2", "--pretrain.cache", cache]
    command = srun(*words(data, *options, "--trainer.default_root_dir", str(root)))
    commands = [command, with_a_disk_of_its_own(command, root)]
    ended = run_all(commands, [tmp_path] * 2, slurm_tasks(2, nodes=2), seconds=60)
    for each in ended:
        assert each.code == 2, each
        assert each.err.count("\n") == 1, each.err
        assert each.err.startswith("error: trainer.default_root_dir: expected a folder that all")
        assert "version_1, which process 1 does not see; name one" in each.err
    runs = (root / "lightning_logs" / "run").iterdir()
    assert [path.name for path in runs] == ["version_0"]


STARTED = {
    "torchrun": {"WORLD_SIZE": "4", "GROUP_WORLD_SIZE": "2"},
    "srun": {"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2"},
}


def trainer_of(devices: int, nodes: int, launched: bool = True) -> SimpleNamespace:
    """What is asked of a Trainer."""
    environment = SimpleNamespace(creates_processes_externally=launched)
    strategy = {"num_processes": devices, "num_nodes": nodes, "cluster_environment": environment}
    return SimpleNamespace(strategy=SimpleNamespace(**strategy))


@pytest.mark.parametrize("who", STARTED)
@pytest.mark.parametrize(("devices", "nodes"), [(1, 1), (4, 1), (1, 2), (1, 4), (2, 4)])
def test_other_processes_than_were_started_are_refused(who, devices, nodes, monkeypatch):
    for name, value in STARTED[who].items():
        monkeypatch.setenv(name, value)
    expected = (
        f"expected 2 and 2, because {who} started 2 on each of 2, found {devices} and {nodes}; "
    )
    with pytest.raises(InputError, match=expected + "write --trainer.devices 2 --trainer.num_n"):
        check_started(trainer_of(devices, nodes))
    check_started(trainer_of(2, 2))


def test_one_task_of_slurm_may_have_lightning_launch_more(monkeypatch):
    for name in STARTED["srun"]:
        monkeypatch.setenv(name, "1")
    check_started(trainer_of(2, 1))


def test_a_shell_of_slurm_is_a_shell(monkeypatch):
    for name, value in {**STARTED["srun"], "SLURM_JOB_NAME": "interactive"}.items():
        monkeypatch.setenv(name, value)
    check_started(trainer_of(1, 1))


def test_nodes_that_nobody_brings_together_are_refused():
    """Lightning would launch the processes of each, and each would begin a run."""
    with pytest.raises(InputError, match="num_nodes: expected 1, unless torchrun or srun"):
        check_started(trainer_of(1, 2, launched=False))
    check_started(trainer_of(1, 2))  # by hand, or by a cluster of another kind
    check_started(trainer_of(2, 1, launched=False))


@pytest.mark.long
@pytest.mark.parametrize(("devices", "nodes"), [(1, 1), (2, 2), (1, 2)])
def test_tasks_that_do_not_fit_the_options_end_in_a_sentence(data, tmp_path, devices, nodes):
    options = ["--trainer.devices", str(devices), "--trainer.num_nodes", str(nodes)]
    command = srun(*words(data, *options))
    for each in run_all([command] * 2, [tmp_path] * 2, slurm_tasks(2), seconds=60):
        assert each.code == 2, each
        assert each.err.count("\n") == 1, each.err
        assert "write --trainer.devices 2 --trainer.num_nodes 1." in each.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_what_the_main_process_refuses_ends_the_others(data, tmp_path):
    """They wait to be told the folder."""
    (tmp_path / "lightning_logs").write_text("a file")
    command = srun(*words(data, "--trainer.devices", "2"))
    ended = run_all([command] * 2, [tmp_path] * 2, slurm_tasks(2), seconds=60)
    assert [each.code for each in ended] == [2, 2], ended
    assert ended[0].err.startswith("error: trainer.default_root_dir: expected a folder to write")
    assert ended[1].err == ""


def told_to_stop(signum: signal.Signals, command: list[str], folder: Path) -> list[Ended]:
    """What comes of the tasks of a job when a signal reaches them in their second epoch."""

    def send(processes: list[subprocess.Popen]) -> None:
        wait_for(folder / "lightning_logs/run/version_0/stage1/checkpoints/last.ckpt")
        for process in processes:
            process.send_signal(signum)

    return run_all([command] * 2, [folder] * 2, slurm_tasks(2), 90, send)


@pytest.mark.long
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
def test_tasks_that_slurm_stops_end_and_say_how_to_go_on(data, tmp_path, signum):
    """SIGTERM cancels, SIGUSR1 says that time is nearly up, to which Lightning's own answer would
    be a checkpoint in the wrong place."""
    command = srun(*words(data, "--trainer.devices", "2", "--pretrain.epochs", "10000"))
    ended = told_to_stop(signum, command, tmp_path)
    assert [each.code for each in ended] == [128 + signum] * 2, ended
    assert "interrupted; resume it with" in ended[0].err
    assert "Traceback" not in ended[0].err + ended[1].err
    assert not list(tmp_path.rglob("hpc_ckpt*"))
    run = tmp_path / "lightning_logs" / "run" / "version_0"
    assert read(run, "manifest.json")["status"] == "interrupted"
    assert read(run, "manifest.json")["phases"] == []


@pytest.mark.long
def test_a_checkpoint_that_lightning_left_for_slurm_is_not_begun_with(two_nodes, data, tmp_path):
    """Contract 7: it may be of any other program."""
    torch.save({"state_dict": {}}, tmp_path / "hpc_ckpt_1.ckpt")
    command = srun(*words(data, "--trainer.devices", "2"))
    assert_one_run(run_all([command] * 2, [tmp_path] * 2, slurm_tasks(2)))
    assert_same(outcome(tmp_path), two_nodes.found)
