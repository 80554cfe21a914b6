"""The wheel that is built from the sdist brings a command ``sae`` with all that it needs."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from helpers import ROOT

pytestmark = pytest.mark.long

# Nothing is fetched.
PIP = ["-m", "pip", "install", "--no-deps", "--no-index", "-q"]
BUILD = "from setuptools.build_meta import build_{0}; print(build_{0}({1!r}))"


def run(*command: object, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SAE_DATA")}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, Path]:
    """A sdist of the files that git knows, and a wheel built from what is in it."""
    clone, where = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("dist")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    sdist = run(sys.executable, "-c", BUILD.format("sdist", str(where)), cwd=clone)
    sdist = where / sdist.split()[-1]
    with tarfile.open(sdist) as archive:
        archive.extractall(where, filter="data")
    source = where / sdist.name.removesuffix(".tar.gz")
    wheel = run(sys.executable, "-c", BUILD.format("wheel", str(where)), cwd=source)
    return {"sdist": sdist, "wheel": where / wheel.split()[-1], "source": source}


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """An environment of its own with the wheel; what it depends on is that of this one."""
    where = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", where / "venv", cwd=where)
    bin = where / "venv" / "bin"
    ask = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    found = run(bin / "python", "-c", ask, cwd=where).strip()
    others = [*site.getsitepackages(), sysconfig.get_paths()["purelib"]]
    lines = "\n".join(dict.fromkeys(others))
    (Path(found) / "others.pth").write_text(lines)  # they come after its own
    run(bin / "python", *PIP, built["wheel"], cwd=where)
    return bin


def test_the_wheel_holds_all_that_is_read_at_run_time(built):
    names = set(zipfile.ZipFile(built["wheel"]).namelist())
    source = ROOT / "src" / "sae"
    read = {path for path in source.rglob("*") if path.suffix not in (".py", ".pyc")}
    wanted = {f"sae/{path.relative_to(source)}" for path in read if path.is_file()}
    configs = (ROOT / "configs").rglob("*.yaml")
    wanted |= {f"sae/{path.relative_to(ROOT)}" for path in configs}
    wanted |= {f"sae/{path.relative_to(source)}" for path in source.rglob("*.py")}
    assert {"sae/py.typed", "sae/export/card.md", "sae/configs/sweeps/digits.yaml"} <= wanted
    assert wanted - names == set()
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]


def test_the_command_is_installed_and_names_itself(installed, tmp_path):
    said = run(installed / "sae", "--help", cwd=tmp_path)
    assert said.startswith("usage: sae VERB ")
    assert "  sae fit --config stacked.yaml\n" in said
    assert "cli.py" not in said
    where = run(installed / "python", "-c", "import sae; print(sae.__file__)", cwd=tmp_path)
    assert where.startswith(str(installed.parent)), "the installed one, not that of the clone"


def test_it_trains_by_the_name_of_a_config_and_what_it_says_to_type_next_works(installed, tmp_path):
    words = ["--pretrain.epochs", "1", "--finetune.epochs", "1", "--pictures_every", "-1"]
    said = run(installed / "sae", "fit", "--config", "digits.yaml", *words, cwd=tmp_path)
    *_, test, report, folder = said.splitlines()
    assert folder == "run: lightning_logs/digits/version_0"
    for line in (test, report):
        _, _, command = line.partition(":")
        program, *rest = command.split()
        assert program == "sae"
        run(installed / "sae", *rest, cwd=tmp_path)
    run_folder = folder.split()[1]
    said = run(installed / "sae", "export", "--run", run_folder, "--format", "hub", cwd=tmp_path)
    assert said.splitlines()[-1] == f"exported: {run_folder}/hub"


def test_its_types_are_those_of_a_strict_program(installed, tmp_path):
    """A user's own program, checked by ``mypy --strict`` against the installed package."""
    (tmp_path / "mine.py").write_text(PROGRAM)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", installed / "python"]
    assert "Success" in run(*mypy, "mine.py", cwd=tmp_path)
    (tmp_path / "mine.py").write_text(PROGRAM.replace("[784, 64]", '"784-64"'))
    with pytest.raises(AssertionError, match="arg-type"):
        run(*mypy, "mine.py", cwd=tmp_path)


PROGRAM = """
from torch import Tensor
from sae import DigitsDataModule, GreedyPretrainer, InputError, Recipe, StackedAutoencoder

def train(epochs: int) -> Tensor:
    data = DigitsDataModule(batch_size=64)
    data.setup()
    model = StackedAutoencoder([784, 64], tied=True)
    trainer = GreedyPretrainer([Recipe(epochs=epochs)], finetune=Recipe(epochs=epochs))
    try:
        trainer.fit(model, data.train_dataloader(), data.val_dataloader())
    except InputError as error:
        print(error.key, error.remedy)
    return model.encode(next(data.val_dataloader().whole()))
"""


def test_the_version_is_that_of_the_project(built):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert built["wheel"].name == f"sae-{project['version']}-py3-none-any.whl"
