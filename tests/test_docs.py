"""The pages: they build without a warning, and whatever they link to is there."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from helpers import ROOT

PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ROOT / "benchmarks" / "RESULTS.md",
]


class Page(HTMLParser):
    """What an HTML file links to, loads, and can be linked at."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids, self.links, self.loads, self.tags = set(), [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given: dict[str, Any] = dict(attrs)
        self.tags.add(tag)
        self.ids.add(given.get("id"))
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") == "stylesheet":
            self.loads.append(given["href"])
        elif given.get("src"):
            self.loads.append(given["src"])


def sphinx(source: Path, settings: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build pages as CONTRIBUTING.md says."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    return subprocess.run(
        [*command, "-c", str(settings), str(source), str(out)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> dict[str, Page]:
    """The built pages by their path in the site."""
    out = tmp_path_factory.mktemp("site")
    done = sphinx(ROOT, ROOT / "docs", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    pages = {str(path.relative_to(out)): Page(path) for path in out.rglob("*.html")}
    pages["."] = out  # type: ignore[assignment]
    return pages


def inner(site: dict[str, Page], name: str, link: str) -> tuple[str, str] | None:
    """The file and the anchor that a link of a page means; None for one that leads elsewhere."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = os.path.normpath(os.path.join(os.path.dirname(name), unquote(parts.path)))
    return (target if parts.path else name), unquote(parts.fragment)


def test_all_pages_are_built(site):
    for page in PAGES:
        assert str(page.relative_to(ROOT).with_suffix(".html")) in site


def test_each_link_leads_to_a_place_that_is_there(site):
    out, seen = site["."], 0
    for name, page in site.items():
        if name == ".":
            continue
        for link in [*page.links, *page.loads]:
            found = inner(site, name, link)
            if found is None:
                continue
            target, anchor = found
            assert (out / target).is_file(), f"{name}: {link}"
            if anchor and target in site:
                assert anchor in site[target].ids, f"{name}: {link}"
                seen += 1
    assert seen > 50


def test_each_page_is_reached_from_the_first(site):
    reached, left = set(), ["docs/index.html"]
    while left:
        name = left.pop()
        if name in reached:
            continue
        reached.add(name)
        targets = [inner(site, name, link) for link in site[name].links]
        left += [found[0] for found in targets if found and found[0] in site]
    made = {"index.html", "genindex.html", "search.html"}
    assert set(site) - reached - made - {"."} == set()


def test_pages_load_nothing_from_the_web(site):
    for name, page in site.items():
        if name != ".":
            assert not [link for link in page.loads if urlsplit(link).netloc], name


def test_formulas_are_drawn_without_a_script(site):
    assert "math" in site["docs/quick_start.html"].tags
    assert not [name for name, page in site.items() if name != "." and "mathjax" in str(page.loads)]


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path):
    (tmp_path / "conf.py").write_text("extensions = ['myst_parser']\n")
    (tmp_path / "index.md").write_text("# A page\n\n[nowhere](missing.md)\n")
    done = sphinx(tmp_path, tmp_path, tmp_path / "out")
    assert done.returncode != 0
    assert "missing.md" in done.stderr


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.M | re.S)


def headings(path: Path) -> list[str]:
    """The anchors of a page, as code hosts make them of its headings."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    plain = [re.sub(r"[`*]", "", line) for line in re.findall(r"^#+ (.+)$", text, re.M)]
    return [re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in plain]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_work_where_the_repository_is_read_as_it_is(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text(encoding="utf-8"))):
        if urlsplit(link).scheme:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.is_file(), link
        if anchor and target.suffix == ".md":
            assert unquote(anchor) in headings(target), link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_one_title(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert len(re.findall(r"^# ", text, re.M)) == 1
    assert text.lstrip().startswith("# ")


@pytest.fixture(scope="module")
def configuration() -> ModuleType:
    path = ROOT / "docs" / "configuration.py"
    spec = importlib.util.spec_from_file_location("configuration", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_options_is_that_of_the_code(configuration):
    committed = configuration.PAGE.read_text(encoding="utf-8")
    assert committed == configuration.page(), f"run: {configuration.COMMAND}"


def test_types_are_said_in_words(configuration):
    from typing import Literal

    from sae.kinds import Settings

    said = configuration.in_words
    assert said(int | None) == "integer or null"
    assert said(str | list[str]) == "text or list of texts"
    assert said(list[int | Literal["auto"]] | Literal["auto"] | None) == (
        "list of integers or `auto`, `auto`, null"
    )
    assert said(list[Settings] | None) == "list of names or mappings or null"
    page = configuration.PAGE.read_text(encoding="utf-8")
    assert not re.search(r"Union|Optional|NoneType|<class|typing\.", page)


def test_every_option_says_what_it_does(configuration):
    rows = re.findall(
        r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$",
        configuration.PAGE.read_text(encoding="utf-8"),
        re.M,
    )
    assert len(rows) > 100
    assert [row for row in rows if not all(row)] == []
