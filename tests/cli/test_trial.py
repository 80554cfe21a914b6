from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import ROOT, SHORT, read

from sae.callbacks.metrics_csv import read_metrics
from sae.cli.trial import error_of_stage, run_trial
from sae.errors import InputError
from sae.experiment import PrunedError

WORDS = ["--config", str(ROOT / "configs" / "digits.yaml"), *SHORT, "--pictures_every", "-1"]


def test_it_is_a_run_that_never_looks_at_the_test_images(monkeypatch):
    def refuse(*args):
        raise AssertionError("the test images")

    monkeypatch.setattr("sae.data.datamodule.SampleDataModule.predict_dataloader", refuse)
    monkeypatch.setattr("sae.experiment.figures_on_test", refuse)
    told = []
    figures, folder = run_trial(WORDS, lambda *stage: told.append(stage))
    summary = read(folder, "summary.json")
    assert summary["test"] == {}
    assert figures["sse"].value == pytest.approx(summary["val"]["sse"], rel=1e-5)
    assert (folder / "finetune" / "checkpoints" / "best.ckpt").exists()
    rows = read_metrics(folder / "metrics.csv")
    for stage, error in told:
        mine = [row for (phase, _), row in rows.items() if phase == f"stage{stage}"]
        assert error == min(mine, key=lambda row: row["val/loss"])["val/image_sse"]
    assert [stage for stage, _ in told] == [1, 2]


def test_whoever_is_told_of_a_stage_can_end_the_run(capsys):
    def report(stage, error):
        raise PrunedError("enough")

    with pytest.raises(PrunedError, match="enough"):
        run_trial(WORDS, report)
    (folder,) = Path("lightning_logs/digits").glob("version_*")
    manifest = read(folder, "manifest.json")
    assert manifest["status"] == "pruned"
    assert [phase["name"] for phase in manifest["phases"]] == ["stage1"]
    assert capsys.readouterr().err == "", "it is no fault"


def test_several_processes_are_refused():
    with pytest.raises(InputError, match=r"^trainer\.devices: expected 1 in a sweep, found 2"):
        run_trial([*WORDS, "--trainer.devices", "2", "--trainer.accelerator", "cpu"], print)


@pytest.mark.parametrize(
    ("keep", "wanted"), [("best", 4.0), ("last", 3.0)], ids=["the best epoch", "the last"]
)
def test_the_error_of_a_stage_is_that_of_the_weights_that_go_on(tmp_path, keep, wanted):
    lines = ["phase,epoch,step,name,value"]
    for epoch, (loss, error) in enumerate([(2.0, 5.0), (1.0, 4.0), (1.5, 3.0)]):
        lines += [f"stage1,{epoch},9,val/loss,{loss}", f"stage1,{epoch},9,val/image_sse,{error}"]
    lines += ["stage2,0,9,val/loss,1.0", "stage2,0,9,val/image_sse,nan", ""]
    (tmp_path / "metrics.csv").write_text("\n".join(lines))

    def result(name: str):
        return SimpleNamespace(phase=SimpleNamespace(name=name, recipe=SimpleNamespace(keep=keep)))

    assert error_of_stage(tmp_path, result("stage1")) == wanted
    assert error_of_stage(tmp_path, result("stage2")) is None
    assert error_of_stage(tmp_path, result("head")) is None
