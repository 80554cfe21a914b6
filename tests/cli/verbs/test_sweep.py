"""``sweep``: from a config with a space to the best config, over runs on the digits."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
import yaml
from helpers import ROOT, read, refusal

from sae.cli.command import main
from sae.cli.verbs import sweep

pytest.importorskip("optuna", reason="optuna is not installed")

CONFIG = {
    "seed_everything": 0,
    "model": {"sizes": [784, 16, 4]},
    "pretrain": {"epochs": 1, "lr": 0.01},
    "finetune": {"epochs": 1, "lr": 0.01},
    "data": {"class_path": "DigitsDataModule", "init_args": {"val_size": 200}},
    "sweep": {
        "trials": 3,
        "prune_after": 1,
        "space": {
            "pretrain.lr": {"low": 0.0001, "high": 0.05, "log": True},
            "model.sizes": [[784, 16, 4], [784, 12, 3]],
        },
    },
}


def write(**changes) -> str:
    Path("mine.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}))
    return "mine.yaml"


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> tuple[Path, str]:
    """The folder of a search that is done, and what it printed."""
    import contextlib
    import io

    folder, out = tmp_path_factory.mktemp("sweep"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.chdir(folder)
        patch.setattr("sys.argv", ["cli.py"])
        main(["sweep", "--config", write()])
    return folder, out.getvalue()


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_it_ends_in_the_best_config_a_plot_and_a_table(searched):
    where, out = searched
    folder = where / "sweeps" / "mine"
    rows = table(folder)
    assert [row["trial"] for row in rows] == ["0", "1", "2"]
    finished = [row for row in rows if row["state"] == "finished"]
    best = min(finished, key=lambda row: float(row["value"]))
    config = yaml.safe_load((folder / "best.yaml").read_text())
    assert "sweep" not in config
    assert config["pretrain"]["lr"] == float(best["pretrain.lr"])
    assert config["data"] == CONFIG["data"]
    assert (folder / "sweep.png").read_bytes().startswith(b"\x89PNG")
    lines = out.splitlines()
    assert lines[0].startswith("trial 0 (1/3): validation SSE per image ")
    assert f"best: trial {best['trial']}, validation SSE per image" in out
    assert lines[-1] == "train it: python cli.py fit --config sweeps/mine/best.yaml"
    for row in finished:
        summary = read(folder / row["run"], "summary.json")
        assert summary["val"]["sse"] == pytest.approx(float(row["value"]), rel=1e-5)
        assert summary["test"] == {}, "the test images choose nothing"


def test_the_best_config_runs_as_it_is_and_comes_to_the_same_figure(searched):
    folder = searched[0] / "sweeps" / "mine"
    main(["fit", "--config", str(folder / "best.yaml"), "--pictures_every", "-1"])
    summary = read(Path("lightning_logs/best/version_0"), "summary.json")
    best = min(float(row["value"]) for row in table(folder) if row["state"] == "finished")
    assert summary["val"]["sse"] == pytest.approx(best, rel=1e-5)
    assert summary["test"]["sse"] > 0


def test_one_that_is_done_says_so_again_and_more_trials_go_on(searched, capsys):
    folder = shutil.copytree(searched[0] / "sweeps" / "mine", Path("sweeps/mine"))
    before = table(folder)
    main(["sweep", "--config", write(), "--trials", "4"])
    out = capsys.readouterr().out
    assert out.startswith("3 of 4 trials were done before\ntrial 3 (4/4): ")
    assert table(folder)[:3] == before


def test_one_that_is_broken_off_tries_the_same_values_again(searched, capsys, monkeypatch):
    folder = shutil.copytree(searched[0] / "sweeps" / "mine", Path("sweeps/mine"))

    def interrupted(self, trial, number, values):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sweep._Search, "_run", interrupted)
        with pytest.raises(SystemExit) as end:
            main(["sweep", "--config", write(), "--trials", "4"])
    assert end.value.code == 130
    assert "interrupted; the same command goes on" in capsys.readouterr().err
    seen = []

    def fails(self, trial, number, values):
        seen.append(values)
        raise sweep._Stop("enough")

    monkeypatch.setattr(sweep._Search, "_run", fails)
    main(["sweep", "--config", write(), "--trials", "5"])
    assert len(seen) == 2
    rows = table(folder)
    assert [(row["state"], row["why"]) for row in rows[3:]] == [("pruned", "enough")] * 2
    assert rows[3]["pretrain.lr"] == str(seen[0]["pretrain.lr"])
    assert "trial 4 (5/5): given up (enough); " in capsys.readouterr().out


def test_a_trial_that_diverges_is_given_up_and_the_search_goes_on(capsys):
    space = {"finetune.lr": [1e30, 0.0001]}
    options = {"pretrain": {"epochs": 0}, "sweep": {"trials": 3, "seed": 1, "space": space}}
    options["finetune"] = {"epochs": 1, "optimizer": "sgd"}
    options["model"] = {"sizes": [784, 4], "activation": "identity", "output": "linear"}
    main(["sweep", "--config", write(**options)])
    rows = table(Path("sweeps/mine"))
    assert {row["finetune.lr"]: row["state"] for row in rows} == {
        "1e+30": "pruned",
        "0.0001": "finished",
    }
    assert "given up (diverged: finetune: inf in epoch 0" in capsys.readouterr().out
    assert yaml.safe_load(Path("sweeps/mine/best.yaml").read_text())["finetune"]["lr"] == 0.0001


@pytest.mark.parametrize(
    ("changes", "words", "says"),
    [
        ({"sweep": None}, [], "sweep: expected a section sweep in the config"),
        ({}, ["--trials", "0"], "trials: expected an integer of 1 or more"),
        ({}, ["--folder", "mine.yaml"], "folder: expected a folder to write into, found none"),
        (
            {"sweep": {"space": {"pretrain.lrr": [1, 2]}}},
            [],
            "pretrain.lrr: expected the name of an option",
        ),
        (
            {"sweep": {"space": {"model.sizes.9": [1, 2]}}},
            [],
            "sweep.space.model.sizes.9: expected an index from 0 to 2",
        ),
        ({"sweep": {"space": {"pretrain.lr": [-1, -2]}}}, [], "pretrain.lr: expected a"),
        (
            {},
            ["--pretrain.epochs", "3"],
            "found one of its runs; write it into the config: pretrain: {epochs: 3}.",
        ),
        ({}, ["--data.val_size=9"], "config: data: {init_args: {val_size: 9}}."),
    ],
)
def test_what_is_wrong_is_said_and_leaves_nothing(changes, words, says, capsys):
    assert says in refusal(capsys, "sweep", "--config", write(**changes), *words)
    assert not Path("sweeps").exists() or not list(Path("sweeps").iterdir())
    assert not Path("lightning_logs").exists()


def test_no_file_and_a_damaged_one(capsys):
    assert "config: expected a file, found none" in refusal(capsys, "sweep", "--config", "no.yaml")
    Path("bad.yaml").write_text("a: [")
    assert "config: expected valid YAML" in refusal(capsys, "sweep", "--config", "bad.yaml")


def test_the_search_of_another_config_is_not_gone_on_with(searched, capsys):
    shutil.copytree(searched[0] / "sweeps" / "mine", "sweeps/mine")
    config = write(finetune={"epochs": 2, "lr": 0.01})
    line = refusal(capsys, "sweep", "--config", config)
    assert line.startswith("config: expected the config with which the search began, found another")
    assert len(table(Path("sweeps/mine"))) == 3


def test_a_figure_that_there_is_not(capsys):
    config = write(sweep={**CONFIG["sweep"], "figure": "errr", "trials": 1})
    line = refusal(capsys, "sweep", "--config", config)
    assert line.startswith("sweep.figure: expected one of sse")


def test_rows_of_a_table_are_no_images(capsys):
    Path("x.csv").write_text("a,b\n" + "".join(f"{k % 7},{k % 5}\n" for k in range(60)))
    data = {"class_path": "TableDataModule", "init_args": {"train": "x.csv"}}
    search = {"trials": 1, "space": {"pretrain.lr": [0.001, 0.01]}}
    main(["sweep", "--config", write(data=data, model={"sizes": [2, 1]}, sweep=search)])
    assert "validation SSE per sample" in capsys.readouterr().out
    assert table(Path("sweeps/mine"))[0]["state"] == "finished"
    assert "per image" not in Path("sweeps/mine/best.yaml").read_text()


def test_the_ready_made_search_can_be_read():
    from sae.sweep.study import read_settings

    config = yaml.safe_load((ROOT / "configs" / "sweeps" / "digits.yaml").read_text())
    assert len(read_settings(config["sweep"]).space) == 4
