"""Each module has a file of tests, at the same place and of the same name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from helpers import ROOT

SOURCE, TESTS = ROOT / "src" / "sae", ROOT / "tests"
MODULES = sorted(
    str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if path.name != "__init__.py"
)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_its_tests(name):
    room, _, file = name.rpartition("/")
    path = TESTS / room / f"test_{file}"
    assert path.exists(), f"write the tests of src/sae/{name} in {path.relative_to(ROOT)}"
    assert "\ndef test_" in path.read_text(), f"{path.relative_to(ROOT)} has no test"


def test_the_modules_are_listed():
    assert {"place.py", "nets/dense.py", "cli/verbs/verb.py"} <= set(MODULES)


def test_a_name_means_one_room():
    """Verbs are named as people type them, so they may share a name with what they call."""
    files = [Path(name) for name in MODULES if not name.startswith("cli/verbs/")]
    names = Counter(file.stem for file in files)
    names.update({folder.name for file in files for folder in file.parents if folder.name})
    assert [name for name, n in names.items() if n > 1] == []
