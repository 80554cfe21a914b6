"""Loggers of the user's: all phases of a run as one run of theirs."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path

import pytest
from helpers import fit, read, refused_fit
from lightning import Callback
from lightning.pytorch.loggers import CSVLogger, Logger

from sae.cli.command import main
from sae.run.trackers import Tracker, Trackers, is_tracker, taken_up

STEPS = 4  # in an epoch of the digits, 2 epochs in each of 3 phases
SHORT = ["--pictures_every", "-1", "--data", "DigitsDataModule", "--data.batch_size", "350"]


class Told(Logger):
    """Write down what it is told, a line each, in a file of its version."""

    def __init__(self, version: str | None = None, fails_on: str = "") -> None:
        super().__init__()
        self._version, self.fails_on = version, fails_on

    @property
    def name(self) -> str:
        return "told"

    @property
    def version(self) -> str:
        if self._version is None:
            self._version = f"told_{len(list(Path().glob('told_*')))}"
        return self._version

    def _note(self, what: str, content: object) -> None:
        if self.fails_on and self.fails_on in json.dumps(content):
            raise ConnectionError("no  answer\nfrom the server")
        with Path(self.version).open("a") as file:
            file.write(json.dumps([what, content]) + "\n")

    def log_hyperparams(self, params, *args, **kwargs) -> None:
        self._note("options", dict(params))

    def log_metrics(self, metrics, step=None) -> None:
        self._note("metrics", [dict(metrics), step])

    def log_image(self, key, images, step=None) -> None:
        self._note("image", [key, images])

    def finalize(self, status) -> None:
        self._note("end", status)


class Says(Callback):
    """Ask for the logger as a user's callback does; break the run off while a file says so."""

    looks_at_epochs_only = True

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        assert any(type(logger).__name__ == "Told" for logger in trainer.loggers)
        phase = Path("break")
        if phase.exists() and phase.read_text() == f"{pl_module.phase} {trainer.current_epoch}":
            phase.unlink()
            raise RuntimeError("interrupted")


def told(path: str, what: str) -> list:
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return [content for kind, content in lines if kind == what]


def named(kind: str, **options) -> list[str]:
    return ["--trainer.logger", json.dumps({"class_path": kind, "init_args": options})]


TOLD = named("test_trackers.Told")


def test_all_phases_are_one_run_with_overall_steps():
    folder = fit(*SHORT, *TOLD, "--pictures_every", "0")
    assert [path.name for path in Path().glob("told_*")] == ["told_0"]
    curve = {}
    for metrics, step in told("told_0", "metrics"):
        for name, value in metrics.items():
            curve.setdefault(name, []).append((step, value))
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["name"] == "val/loss"]
    for k, phase in enumerate(("stage1", "stage2", "finetune")):
        wanted = [float(row["value"]) for row in rows if row["phase"] == phase]
        steps = [2 * k * STEPS + STEPS - 1, 2 * k * STEPS + 2 * STEPS - 1]
        assert [step for step, _ in curve[f"{phase}/val/loss"]] == steps
        assert [value for _, value in curve[f"{phase}/val/loss"]] == pytest.approx(wanted, rel=1e-6)
    path = [step for step, _ in curve["path/val/image_sse"]]
    assert path == [STEPS * epoch - 1 for epoch in range(1, 7)], "the steps of the whole run"
    summary = read(folder, "summary.json")
    for part in ("test", "val"):
        for name, value in summary[part].items():
            ((step, found),) = curve[f"{part}/{name}"]
            assert found == pytest.approx(value, rel=1e-5)
            assert step == 6 * STEPS - 1
    (options,) = told("told_0", "options")
    assert options["model.sizes"] == [784, 12, 4]
    pictures = dict(told("told_0", "image"))
    assert pictures["finetune/codes"] == [str(folder.resolve() / "finetune" / "codes.png")]
    assert told("told_0", "end") == ["success"], "said once, at the end of the run"


def test_a_run_that_goes_on_takes_up_its_run(capsys):
    Path("break").write_text("stage2 1")
    options = [*SHORT, *TOLD, "--trainer.callbacks", '["test_trackers.Says"]']
    with pytest.raises(RuntimeError, match="interrupted"):
        fit(*options)
    assert told("told_0", "end") == ["failed"]
    main(["fit", "--resume", "lightning_logs/digits/version_0"])
    assert [path.name for path in Path().glob("told_*")] == ["told_0"]
    metrics = told("told_0", "metrics")
    steps = [step for figures, step in metrics if "stage2/val/loss" in figures]
    assert steps == [3 * STEPS - 1, 4 * STEPS - 1, 4 * STEPS - 1], "the broken epoch twice"
    steps = [step for figures, step in metrics if "finetune/val/loss" in figures]
    assert steps == [5 * STEPS - 1, 6 * STEPS - 1]
    assert told("told_0", "end") == ["failed", "success"]


def test_a_tracker_that_fails_costs_no_run(capsys):
    folder = fit(*SHORT, *named("test_trackers.Told", fails_on="stage2/val"))
    assert read(folder, "manifest.json")["status"] == "finished"
    out = capsys.readouterr().out
    assert out.count("warning: Told fails and is not used any more") == 1
    assert "(ConnectionError: no answer from the server); all figures are in metrics.csv" in out
    assert not any("finetune/val/loss" in figures for figures, _ in told("told_0", "metrics"))


def test_one_that_fails_from_the_start_is_said_before_any_training(capsys):
    line = refused_fit(capsys, *SHORT, *named("test_trackers.Told", fails_on="model.sizes"))
    assert line.startswith("trainer.logger: expected trackers that work, found Told, which fails (")


def test_mlflow_has_options_curves_figures_and_files(monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = f"file:{Path('mlruns').absolute()}"
    logger = {"tracking_uri": store, "experiment_name": "digits", "run_name": "mine"}
    folder = fit(*SHORT, *named("MLFlowLogger", **logger), "--pictures_every", "0")
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("digits")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "mine")
    assert run.data.params["model.sizes"] == "[784, 12, 4]"
    assert "sizes" not in run.data.params, "nothing twice"
    assert run.data.metrics["test/sse"] == pytest.approx(
        read(folder, "summary.json")["test"]["sse"]
    )
    steps = [each.step for each in client.get_metric_history(run.info.run_id, "finetune/val/loss")]
    assert steps == [5 * STEPS - 1, 6 * STEPS - 1]
    files = {each.path for each in client.list_artifacts(run.info.run_id)}
    assert {"config.yaml", "summary.json", "metrics.csv", "losses.png", "stage1"} <= files
    (config,) = Path("mlruns").rglob("config.yaml")
    assert config.read_text() == (folder / "config.yaml").read_text()
    noted = read(folder, "manifest.json")["trackers"]
    assert [entry["version"] for entry in noted] == [run.info.run_id]


# Going on, without a run


def test_each_takes_up_its_own_and_a_csv_logger_begins_a_new_file():
    settings = [
        {"class_path": "test_trackers.Told"},
        {"class_path": "test_trackers.Told", "init_args": {"fails_on": "x"}},
        {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": "csv"}},
    ]
    loggers = [Told(), Told(fails_on="x"), CSVLogger("csv")]
    noted = [{"class_path": "test_trackers.Told", "version": f"told_{k}"} for k in (7, 8)]
    noted += [{"class_path": f"{CSVLogger.__module__}.CSVLogger", "version": 0}]
    first, second, third = taken_up(loggers, settings, noted)
    assert (first.version, second.version, second.fails_on) == ("told_7", "told_8", "x")
    assert third is loggers[2]
    assert taken_up(loggers[:1], settings[:1], []) == loggers[:1], "one that the run began without"


def test_a_tracker_stays_what_it_is_and_can_be_sent_to_other_processes():
    logger = Told("told_0")
    assert not is_tracker(logger)
    Trackers([logger], print).of_phase(100)
    assert is_tracker(logger)
    assert isinstance(logger, Told)
    sent = pickle.loads(pickle.dumps(logger))
    sent.log_metrics({"a": 1.0}, 5)
    logger.log_metrics({"b": 1.0})
    assert told("told_0", "metrics") == [[{"a": 1.0}, 105], [{"b": 1.0}, None]]


def test_the_end_of_a_phase_is_not_that_of_the_run(tmp_path):
    logger = Told()
    tracker = Tracker(logger, print)
    logger.finalize("success")
    assert not Path("told_0").exists()
    tracker.end("failed", {}, tmp_path)
    assert told("told_0", "end") == ["failed"]
