"""What the READMEs say must be true: their commands, configs and code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import torch
from matplotlib import pyplot as plt

from sae.cli.command import main
from sae.cli.verbs.verb import is_verb

ROOT = Path(__file__).parents[1]
BOTH = ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.M | re.S)


def without_comments(text: str) -> str:
    return "\n".join(re.sub(r"\s*#.*", "", line) for line in text.splitlines())


@pytest.mark.parametrize("language", ["bash", "python"])
def test_both_languages_give_the_same_code(language):
    english, chinese = (
        [without_comments(block) for block in blocks(path, language)] for path in (ENGLISH, CHINESE)
    )
    assert english
    assert english == chinese


def test_both_languages_give_the_same_commands():
    english, chinese = (re.findall(r"`(python cli\.py .+?)`", p.read_text()) for p in BOTH)
    assert len(english) > 8
    assert english == chinese


@pytest.mark.parametrize("path", BOTH, ids=lambda p: p.name)
def test_links_and_pictures_are_there(path):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
    assert len(targets) > 20
    assert [target for target in targets if not (ROOT / target).is_file()] == []


@pytest.mark.parametrize("path", BOTH, ids=lambda p: p.name)
def test_it_fits_three_screens(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 130
    prose = [line for line in lines if not line.startswith(("|", "- ", "!", "["))]
    assert max(map(len, prose)) <= 120


@pytest.mark.parametrize("path", BOTH, ids=lambda p: p.name)
def test_its_figures_are_those_that_were_measured(path):
    """The claim of the first screen: the test SSE of visualize.yaml, and that of PCA."""
    lines = (ROOT / "docs" / "measured.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith("| `visualize.yaml` |"))
    ours, pca = re.findall(r"\d+\.\d", row)[:2]
    claim = path.read_text().split("## ")[0]
    assert re.findall(r"\d+\.\d", claim) == [ours, pca]


COMMANDS = [
    words.split()[2:]
    for words in re.findall(r"`(python cli\.py fit .+?)`", ENGLISH.read_text())
    if "--help" not in words
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_its_commands_start(words, monkeypatch, no_web):
    seen = []
    monkeypatch.setattr("sae.cli.command.Experiment.start", lambda self: seen.append(self))
    words = [str(ROOT / word) if word.startswith("configs/") else word for word in words]
    if "my/table.csv" in words:
        Path("my").mkdir()
        rows = [f"{k},{k * k % 7}" for k in range(60)]
        Path("my/table.csv").write_text("\n".join(["a,b", *rows]))
    main(words)
    assert seen


def test_its_other_verbs_are_there():
    named = set(re.findall(r"python cli\.py (\w+)", ENGLISH.read_text()))
    assert {"sample", "report"} <= named
    assert all(verb == "fit" or is_verb(verb) for verb in named)


def test_its_python_runs(monkeypatch, no_web):
    """Both blocks: the scatter of all test codes, and a run that is read again."""
    config = str(ROOT / "configs" / "visualize.yaml")
    short = ["--pretrain.epochs", "0", "--finetune.epochs", "1"]
    main(["fit", "--config", config, "--data", "DigitsDataModule", *short])
    scatter, use = blocks(ENGLISH, "python")
    exec(scatter, {})
    plt.close("all")
    assert Path("my_scatter.png").stat().st_size > 1000
    x = torch.randint(0, 256, (3, 784), dtype=torch.uint8)
    scope = {"x": x}
    exec(use, scope)
    assert scope["code"].shape == (3, 2)
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
