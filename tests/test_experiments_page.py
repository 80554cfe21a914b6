"""What ``docs/experiments.md`` and ``docs/measured.md`` name is there, and can be run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from helpers import ROOT

from sae.cli.command import main
from sae.training.pretrain import check_recipes

PAGE = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
MEASURED = (ROOT / "docs" / "measured.md").read_text(encoding="utf-8")
CONFIGS = {str(path.relative_to(ROOT / "configs")) for path in (ROOT / "configs").rglob("*.yaml")}
FITS = sorted(set(re.findall(r"^python cli\.py (fit --config configs/.*)$", PAGE, re.M)))


def test_it_names_every_config():
    assert set(re.findall(r"\]\(\.\./configs/([\w/]+\.yaml)\)", PAGE)) == CONFIGS


def test_each_config_that_was_measured_is_there():
    named = set(re.findall(r"`(\w+\.yaml)", MEASURED))
    assert len(named) > 15
    assert named <= CONFIGS


@pytest.mark.parametrize("command", FITS)
def test_its_commands_are_valid(command, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert len(FITS) > 10
    with pytest.raises(SystemExit) as end:
        main([*shlex.split(command), "--print_config"])
    assert end.value.code in (0, None), capsys.readouterr().err


def test_its_experiment_trains(monkeypatch):
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
    config = yaml.safe_load(text)
    config["data"] = "DigitsDataModule"
    Path("mine.yaml").write_text(yaml.safe_dump(config))
    seen = {}
    monkeypatch.setattr("sae.cli.command.Experiment.start", lambda self: seen.update(run=self))
    main(["fit", "--config", "mine.yaml"])
    experiment = seen["run"]
    stages = experiment.pretrainer.stages
    assert [stage.epochs for stage in stages] == [10, 20, 10]
    assert [stage.corruption is None for stage in stages] == [False, False, True]
    assert [stage.sparsity is None for stage in stages] == [True, True, False]
    check_recipes(experiment.model.stack, stages, experiment.pretrainer.finetune_recipe)
