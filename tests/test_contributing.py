"""CONTRIBUTING.md, the forms of .github and CITATION.cff hold what is there and works."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from types import ModuleType

import pytest
import yaml
from helpers import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMMANDS = [
    command
    for block in re.findall(r"^```bash\n(.*?)^```$", PAGE, re.M | re.S)
    for line in block.splitlines()
    for command in line.split(" && ")
]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
EXAMPLE = dict(re.findall(r"`([\w/]+\.\w+)`[^`]*\n\n```[py]\w+\n(.*?)^```$", PAGE, re.M | re.S))
FIELDS = {"markdown", "input", "textarea", "dropdown", "checkboxes"}


def extras(words: list[str]) -> set[str]:
    return {extra for word in words for extra in re.findall(r"\.\[(\w+)\]", word)}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_names_what_is_there(command):
    words = shlex.split(command)
    assert extras(words) <= {*PROJECT["optional-dependencies"]}
    if words[0].startswith("python") and words[1].endswith(".py"):
        assert (ROOT / words[1]).is_file()
    if "sphinx" in words:
        assert (ROOT / words[words.index("-c") + 1] / "conf.py").is_file()
    if words[0] == "pytest":
        paths = [word for word in words if word.startswith("tests/")]
        assert all((ROOT / path).is_file() for path in paths)
        if "-k" in words and words[-1] not in {name.split("/")[-1][:-3] for name in EXAMPLE}:
            assert re.search(rf"def test_\w*{words[-1]}", (ROOT / paths[0]).read_text())
    programs = {"python", "python3", "pip", "pytest", "ruff", "mypy", "."}
    assert words[0] in programs


def test_it_sets_up_with_the_words_of_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (install,) = [c for c in COMMANDS if extras(shlex.split(c)) == {"test"}]
    for command in (install, *[c for c in COMMANDS if "--dist" in c or "venv" in c]):
        assert command in readme


def test_links_and_paths_lead_somewhere():
    for page in (PAGE, (ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md").read_text()):
        for target in re.findall(r"\]\(([^)#]+)\)", page):
            assert (ROOT / target).is_file(), target
        named = re.findall(r"`((?:tests|src|docs|benchmarks|configs)/[\w/.]+\w)`", page)
        missing = {name for name in named if not (ROOT / name).exists()}
        assert missing <= set(EXAMPLE)
    headings = {h.lower().replace(" ", "-") for h in re.findall(r"^## (.*)$", PAGE, re.M)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) == headings


def test_the_table_has_the_long_tests():
    long = {
        f"tests/{path.relative_to(ROOT / 'tests')}"
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"pytest\.mark\.long\b", path.read_text(encoding="utf-8"))
    } - {"tests/test_contributing.py"}
    rows = "".join(re.findall(r"^\| `tests/.*$", PAGE, re.M))
    assert set(re.findall(r"`(tests/[\w/.]+)`", rows)) == long


def test_the_example_of_a_kind_works(monkeypatch):
    """The penalty is defined, fits its config, and its own test passes."""
    kind, config, test = EXAMPLE
    module = ModuleType("sae.terms.l2")
    monkeypatch.setitem(sys.modules, "sae.terms.l2", module)
    exec(compile(EXAMPLE[kind], kind, "exec"), module.__dict__)
    scope: dict = {}
    exec(compile(EXAMPLE[test], test, "exec"), scope)
    scope["test_the_penalty_against_hand_values"]()
    (options,) = yaml.safe_load(EXAMPLE[config])["pretrain"]["terms"]
    assert options.pop("kind") == module.__name__.split(".")[-1]
    assert module.L2(**options).weight == 0.01


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_the_forms_are_valid(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.stem == "config":
        assert form == {"blank_issues_enabled": True}
        return
    assert set(form) == {"name", "description", "body"}
    fields = form["body"]
    assert all(field["type"] in FIELDS and field["attributes"]["label"] for field in fields)
    names = [field["id"] for field in fields]
    assert len(set(names)) == len(names)
    for field in fields:
        if field["type"] == "checkboxes":
            assert all(option["label"] for option in field["attributes"]["options"])
        else:
            assert isinstance(field["validations"]["required"], bool)


def test_a_bug_report_asks_for_what_answers_it():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text(encoding="utf-8"))
    asked = {field["id"]: field for field in form["body"]}
    wanted = {"command", "expected", "happened", "manifest", "versions"}
    assert {name for name, field in asked.items() if field.get("validations")} == wanted
    assert all(asked[name]["validations"]["required"] for name in wanted)
    assert asked["manifest"]["attributes"]["label"] == "manifest.json"


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"].startswith(PROJECT["name"])
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["keywords"] == PROJECT["keywords"]
    assert [*citation["authors"][0]] == ["name"]
    assert "http" not in str(citation)
