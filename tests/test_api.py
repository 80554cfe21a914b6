"""What ``import sae`` gives is typed strictly: mypy asks so of the modules where it is defined."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from fnmatch import fnmatch

import pytest
from helpers import ROOT

import sae

CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
(STRICT,) = [each for each in CONFIG["overrides"] if "sae" in each["module"]]
FLAGS = {key: value for key, value in STRICT.items() if key != "module"}


def modules_of(name: str) -> set[str]:
    """Where a public name is defined, and its bases of ours."""
    found = getattr(sae, name)
    kinds = inspect.getmro(found) if inspect.isclass(found) else (found,)
    return {kind.__module__ for kind in kinds if kind.__module__.startswith("sae")}


@pytest.mark.parametrize("name", sae.__all__)
def test_a_public_name_is_of_a_module_that_is_checked_strictly(name):
    for module in modules_of(name):
        assert any(fnmatch(module, each) for each in STRICT["module"]), (
            f"{name} is of {module}: add it to the strict modules in pyproject.toml"
        )


def test_the_flags_are_those_of_strict():
    assert len(FLAGS) == 9
    assert not FLAGS.pop("implicit_reexport")
    assert all(FLAGS.values())
    assert CONFIG["disallow_untyped_defs"]
    assert (ROOT / "src/sae/py.typed").exists()


def test_a_module_is_imported_when_it_is_first_named():
    code = "import sys, sae; assert 'sae.data' not in sys.modules\n"
    code += "assert sae.data is sys.modules['sae.data'] and sae.data.MNISTDataModule\n"
    code += "assert not any(hasattr(sae, each) for each in ('configs', 'nowhere', '__file', '_x'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
