"""What the READMEs say must be true: their commands, configs and code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import torch
import yaml

from sae.cli.command import main
from sae.training.pretrain import check_recipes

ROOT = Path(__file__).parents[1]
ENGLISH, CHINESE = (ROOT / name for name in ("README.md", "README.zh-CN.md"))


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.M | re.S)


def without_comments(text: str) -> str:
    return "\n".join(re.sub(r"\s*#.*", "", line) for line in text.splitlines())


@pytest.mark.parametrize("language", ["bash", "yaml", "python"])
def test_both_languages_give_the_same_code(language):
    english, chinese = (
        [without_comments(block) for block in blocks(path, language)] for path in (ENGLISH, CHINESE)
    )
    assert english
    assert english == chinese


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda p: p.name)
def test_links_pictures_and_configs_are_there(path):
    text = path.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / target).is_file(), target
    named = set(re.findall(r"`(\w+\.yaml)`", text))
    assert named - {"config.yaml"} == {config.name for config in (ROOT / "configs").glob("*.yaml")}


def test_the_experiment_of_the_readme_trains(monkeypatch):
    config = yaml.safe_load(blocks(ENGLISH, "yaml")[0])
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


def test_the_python_of_the_readme_runs(monkeypatch):
    config = str(ROOT / "configs" / "stacked.yaml")
    short = ["--pretrain.epochs", "0", "--finetune.epochs", "1"]
    main(["fit", "--config", config, "--data", "DigitsDataModule", *short])
    x = torch.randint(0, 256, (3, 784), dtype=torch.uint8)
    scope = {"x": x}
    exec(blocks(ENGLISH, "python")[0], scope)
    assert scope["code"].shape == (3, 128)
    assert scope["x_hat"].shape == scope["x"].shape == (3, 784)
    assert scope["error"].shape == (3,)


def test_the_docstring_of_the_package_runs(no_web):
    import sae

    code = "\n".join(line[4:] for line in sae.__doc__.splitlines() if line.startswith("    "))
    scope = {"x": torch.rand(3, 784)}
    exec(code.replace("epochs=5", "epochs=1"), scope)
    assert scope["code"].shape == (3, 128)


def test_tensorboard_is_told_to_serve_this_machine_alone():
    places = [
        *ROOT.glob("*.md"),
        *(ROOT / "src").rglob("*.py"),
        *(ROOT / "configs").rglob("*.yaml"),
    ]
    lines = [line for path in places for line in path.read_text().splitlines()]
    commands = [line for line in lines if "tensorboard --logdir" in line]
    assert len(commands) > 2
    assert all("--host localhost" in line for line in commands)


def test_the_malicious_uploads_of_lightning_cannot_be_installed():
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (lightning,) = (
        requirement
        for requirement in map(Requirement, project["dependencies"])
        if requirement.name == "lightning"
    )
    assert not any(lightning.specifier.contains(version) for version in ("2.6.2", "2.6.3"))
