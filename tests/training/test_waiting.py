"""Threads sleep while they wait when others need the processors, and nothing else changes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import torch
from conftest import ROOT
from helpers import clone_state, loader, same_state, tiny_model

from sae.training import waiting
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe

needs_gomp = pytest.mark.skipif(
    sys.platform != "linux" or waiting._gomp() is None, reason="torch has another OpenMP here"
)


@pytest.fixture
def before_torch(monkeypatch):
    """As in a process that has not imported torch."""
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(waiting, "_prepared", False)
    for name in waiting._SETTINGS:
        monkeypatch.delenv(name, raising=False)


def test_both_ways_of_waiting_are_set_before_torch_is_imported():
    env = {k: v for k, v in os.environ.items() if k not in waiting._SETTINGS}
    env["PYTHONPATH"] = str(ROOT / "src")
    words = "import sae, os; print(os.environ['OMP_WAIT_POLICY'], sae.training.waiting._prepared)"
    command = [sys.executable, "-c", words]
    assert subprocess.check_output(command, env=env, text=True) == "passive True\n"


def test_a_process_that_is_launched_by_ours_adapts_as_well(before_torch):
    waiting.prepare()
    waiting._prepared = False
    waiting.prepare()
    assert waiting._prepared


@pytest.mark.parametrize(
    "own",
    [
        *({"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}),
        *({"OMP_WAIT_POLICY": "passive"}, {"GOMP_SPINCOUNT": "300000"}),  # ours, but not both
    ],
    ids=str,
)
def test_a_users_own_settings_win(own, before_torch, monkeypatch):
    (name, value), *_ = own.items()
    monkeypatch.setenv(name, value)
    waiting.prepare()
    assert not waiting._prepared
    assert {k: os.environ.get(k) for k in waiting._SETTINGS} == dict.fromkeys(
        waiting._SETTINGS
    ) | own


def test_nothing_is_set_once_torch_is_there(before_torch, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", torch)
    waiting.prepare()
    assert not waiting._prepared
    assert "OMP_WAIT_POLICY" not in os.environ


def test_the_load_is_what_others_take_of_our_processors(monkeypatch, tmp_path):
    """In 2 seconds two of three processors worked 2.9 s, 1.9 of them for us; the third is not ours.

    Fields: user, nice, system, idle, waits, irq, softirq, steal, guest, guest_nice.
    """
    ticks = os.sysconf("SC_CLK_TCK")
    stat, clock, own = tmp_path / "stat", [10.0], [5.0]

    def write(first: float, second: float, stolen: float, third: float) -> None:
        busy = [round(seconds * ticks) for seconds in (first, second, stolen, third)]
        stat.write_text(
            f"cpu  999 0 0 0 0 0 0 0 0 0\ncpu0 {busy[0]} 0 0 50 9 0 0 0 0 0\n"
            f"cpu1 0 {busy[1]} 0 70 9 0 0 {busy[2]} 0 0\ncpu2 {busy[3]} 0 0 0 0 0 0 0 0 0\nintr 1\n"
        )

    monkeypatch.setattr(waiting, "_STAT", stat)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(os, "times", lambda: os.times_result((own[0], 1.0, 99.0, 99.0, 0.0)))
    write(3.0, 4.0, 0.0, 7.0)
    load = waiting.Load()
    write(5.0, 4.5, 0.4, 9.0)
    clock[0], own[0] = 12.0, 6.9
    assert load.others() == pytest.approx((2.9 - 1.9) / 2)
    clock[0] = 12.0
    assert load.others() == 0  # no time has passed


class FakeLoad:
    """Two processors, of which others take one thing after another; then for ever the last."""

    def __init__(self, *taken: float) -> None:
        self.processors, self.taken = [0, 1], list(taken)

    def others(self) -> float:
        return self.taken.pop(0) if len(self.taken) > 1 else self.taken[0]


class FakeCrowd:
    def __init__(self, gomp: object, threads: int) -> None:
        self.is_there, self.told = False, []

    def gather(self) -> None:
        self.is_there = True
        self.told.append("gather")

    def leave(self) -> None:
        self.is_there = False
        self.told.append("leave")


def watched(monkeypatch, threads: int, *taken: float) -> list[str]:
    """What a watch tells its crowd, until the loads are used up."""
    load = FakeLoad(*taken)
    monkeypatch.setattr(waiting, "_INTERVAL", 0.001)
    monkeypatch.setattr(waiting, "Load", lambda: load)
    monkeypatch.setattr(waiting, "_Crowd", FakeCrowd)
    watch = waiting._Watch(None, threads)
    watch.start()
    while len(load.taken) > 1:
        time.sleep(0.001)
    watch.end()
    return watch._crowd.told


def test_threads_sleep_when_others_need_processors_and_spin_once_it_stays_calm(monkeypatch):
    told = watched(monkeypatch, 2, 0.0, 1.0, 0.0, 0.0, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert told[:3] == ["gather", "gather", "leave"]
    assert watched(monkeypatch, 2, 0.1, 0.1, 0.0)[:-1] == []  # a little is always going on


def test_what_others_take_of_spare_processors_is_theirs(monkeypatch):
    assert "gather" not in watched(monkeypatch, 1, 1.0, 1.0, 1.0)


@needs_gomp
def test_the_crowd_comes_and_goes_and_changes_no_bit(monkeypatch):
    found = []
    threads = [len(os.listdir("/proc/self/task"))]
    crowd = waiting._Crowd(waiting._gomp(), 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for there in (False, True):
            if there:
                crowd.gather()
            model, data = tiny_model(sizes=[64, 300, 20]), loader(n=80, features=64, batch_size=40)
            GreedyPretrainer([Recipe(epochs=1)] * 2, Recipe(epochs=1)).fit(model, data, data)
            threads.append(len(os.listdir("/proc/self/task")))
            found.append(clone_state(model))
        crowd.leave()
        for _ in range(100):  # its team ends a moment after it
            time.sleep(0.02)
            if len(os.listdir("/proc/self/task")) == threads[1]:
                break
        threads.append(len(os.listdir("/proc/self/task")))
    finally:
        crowd.leave()
        torch.set_num_threads(before)
    assert same_state(*found)
    more = threads[2] - threads[1]
    assert 2 + more > len(os.sched_getaffinity(0))
    assert threads[3] == threads[1]


def test_where_no_more_threads_can_be_started_nobody_gathers_and_the_training_goes_on(monkeypatch):
    def refuse(self) -> None:
        raise RuntimeError("can't start new thread")

    crowd = waiting._Crowd(None, 2)  # it would break on None
    with monkeypatch.context() as patch:
        patch.setattr(waiting.threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            crowd.gather()
        crowd.leave()
    monkeypatch.setattr(waiting, "_prepared", True)
    monkeypatch.setattr(waiting, "_gomp", lambda: object())
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(waiting._Watch, "start", refuse)
    with waiting.adapted():
        pass


def test_a_watch_that_cannot_read_leaves_no_crowd_behind(monkeypatch):
    class Unreadable(FakeLoad):
        def others(self) -> float:
            if len(self.taken) == 1:
                raise OSError("no more files")
            return super().others()

    load = Unreadable(1.0, 1.0)
    monkeypatch.setattr(waiting, "_INTERVAL", 0.001)
    monkeypatch.setattr(waiting, "Load", lambda: load)
    monkeypatch.setattr(waiting, "_Crowd", FakeCrowd)
    watch = waiting._Watch(None, 2)
    watch.start()
    watch.join()
    assert watch._crowd.told == ["gather", "leave"]


@needs_gomp
def test_a_training_is_watched_to_its_end(monkeypatch):
    seen = []
    monkeypatch.setattr(waiting, "_prepared", True)
    monkeypatch.setattr(waiting, "_Watch", lambda *_: FakeWatch(seen))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    model, data = tiny_model(), loader()
    GreedyPretrainer([Recipe(epochs=1)] * 2, Recipe(epochs=1)).fit(model, data, data)
    assert seen == ["start", "end"]


class FakeWatch:
    def __init__(self, seen: list[str]) -> None:
        self.start, self.end = (lambda: seen.append("start")), (lambda: seen.append("end"))
