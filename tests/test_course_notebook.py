"""The notebook of the course: it runs as it is, shows its pictures, and is stored without them."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import numpy as np
import PIL.Image
import pytest
import yaml
from nbclient import NotebookClient
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "course.ipynb"
# More is asked of the two that follow than of chance: figures that are wrong miss them by far.
BETTER, CLEARLY_BETTER = 0.9, 0.6


def stored() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_has_ten_cells_and_is_stored_without_outputs():
    notebook = stored()
    nbformat.validate(notebook)
    assert len(notebook.cells) == 10
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.slow
def test_it_runs_and_its_pictures_and_figures_are_sane(monkeypatch, tmp_path):
    # The kernel imports the sae under test, wherever it works.
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"), prepend=os.pathsep)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    # A backend that a user has set would keep the pictures out of the page.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = stored()
    ask = "import json; print('FIGURES', json.dumps({k: float(v) for k, v in figures.items()}))"
    notebook.cells.append(nbformat.v4.new_code_cell(ask))
    metadata = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=metadata).execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [
        base64.b64decode(output.data["image/png"])
        for output in outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 6
    for picture in pictures:
        pixels = np.asarray(PIL.Image.open(io.BytesIO(picture)).convert("L"))
        assert pixels.std() > 20  # not blank
    text = outputs[-1].text
    assert text.startswith("FIGURES ")
    figures = json.loads(text.removeprefix("FIGURES "))
    untrained = figures["mean image"]
    assert figures["rebuilt, from random weights"] < 0.2 * untrained
    assert figures["rebuilt, pretrained"] < BETTER * figures["rebuilt, from random weights"]
    assert figures["2-D, autoencoder"] < CLEARLY_BETTER * figures["2-D, PCA"]
    assert figures["2-D, variational"] < BETTER * figures["2-D, PCA"]
    assert figures["activity, with the penalty"] == pytest.approx(0.1, abs=0.03)
    assert figures["activity, without"] > 0.2
    assert figures["restored"] < 0.2 * figures["corrupted"]
    assert figures["20 labels, without pretraining"] < 50
    with_it, without = (figures[f"20 labels, {name} pretraining"] for name in ("with", "without"))
    assert with_it < BETTER * without


def first_code_cell(folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the cell that installs, in a folder, by a Python without sae."""
    source = next(cell.source for cell in stored().cells if cell.cell_type == "code")
    # In place of pip: say what it would be given, and be there afterwards.
    watched = "import subprocess; subprocess.run = lambda words, check: print('RUN', *words[1:])\n"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | more
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", watched + source],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_where_sae_is_missing_it_is_installed_from_the_clone_around_the_notebook():
    done = first_code_cell(ROOT / "docs")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"RUN -m pip install --quiet {ROOT}", "sae is here"]


def test_without_a_clone_it_asks_for_the_address_and_invents_none(tmp_path):
    done = first_code_cell(tmp_path)
    assert done.returncode == 1
    assert "Set ADDRESS" in done.stderr
    assert "RUN" not in done.stdout


def test_binder_installs_what_pyproject_asks_for():
    environment = yaml.safe_load((ROOT / ".binder" / "environment.yml").read_text())
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = {r.name: str(r.specifier) for r in map(Requirement, wanted["dependencies"])}
    given = {r.name: r for r in map(Requirement, environment["dependencies"][1:])}
    assert str(given["pytorch-cpu"].specifier) == bounds["torch"]
    assert str(given["torchvision"].specifier) == bounds["torchvision"]
    script = ROOT / ".binder" / "postBuild"
    assert os.access(script, os.X_OK)
    assert "pip install --no-cache-dir ." in script.read_text()
    subprocess.run(["bash", "-n", str(script)], check=True)
