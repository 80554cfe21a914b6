"""What the course says must be true: its commands, links and formulas, in both languages."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from latex2mathml.converter import convert

from sae.cli.command import main
from sae.cli.verbs.verb import is_verb, parser_of

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [DOCS / "course.md", DOCS / "course.zh-CN.md"]
ENGLISH, CHINESE = PAGES


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.M | re.S)


def without_code(path: Path) -> str:
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)
    return re.sub(r"`[^`]*`", "`code`", text)


def formulas(path: Path) -> tuple[list[str], list[str]]:
    """Those on lines of their own, and those within a line."""
    text = without_code(path)
    apart = re.findall(r"^\$\$\n(.*?)\n\$\$$", text, re.M | re.S)
    rest = re.sub(r"^\$\$\n.*?\n\$\$$", "", text, flags=re.M | re.S)
    return apart, re.findall(r"\$([^$\n]+)\$", rest)


def commands() -> list[list[str]]:
    """Each command of ours, as words after ``python cli.py``."""
    lines = [line for block in blocks(ENGLISH, "bash") for line in block.splitlines()]
    ours = [shlex.split(line) for line in lines if line.startswith("python cli.py ")]
    return [words[2:] for words in ours]


FITS = [words[1:] for words in commands() if words[0] == "fit"]
OTHERS = [words for words in commands() if words[0] != "fit"]


def test_both_languages_have_the_same_code_formulas_and_headings():
    for language in ("bash", "python"):
        assert blocks(ENGLISH, language)
        assert blocks(ENGLISH, language) == blocks(CHINESE, language)
    english, chinese = formulas(ENGLISH), formulas(CHINESE)
    assert len(english[0]) > 10
    assert english[0] == chinese[0]
    assert set(english[1]) == set(chinese[1])
    depth = [re.findall(r"^(#+) ", without_code(path), re.M) for path in PAGES]
    assert depth[0] == depth[1]


def test_both_languages_quote_the_same_figures():
    # Decimals, and whole numbers of four digits or more: years, and how many images.
    numbers = [
        sorted(re.findall(r"−?\d+\.\d+|\d+,\d{3}|(?<!\d)\d{4}(?!\d)", without_code(path)))
        for path in PAGES
    ]
    assert len(numbers[0]) > 30
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_pictures_sections_and_configs_are_there(path):
    text = path.read_text()
    headings = re.findall(r"^#+ (.*)$", without_code(path), re.M)
    anchors = {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in headings}
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 20
    for link in links:
        target, _, anchor = link.partition("#")
        if target:
            assert (DOCS / target).is_file(), link
        else:
            assert anchor in anchors, link
    named = set(re.findall(r"([\w.]+\.yaml)", text)) - {"config.yaml"}
    assert len(named) > 7
    for name in named:
        assert (ROOT / "configs" / name).is_file(), name
    for source in re.findall(r"`(src/[\w/.]+)`", text):
        assert (ROOT / source).is_file(), source


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_formulas_are_such_as_a_code_host_and_the_site_both_draw(path):
    apart, within = formulas(path)
    for formula in (*apart, *within):
        assert "\\" not in re.sub(r"\\[A-Za-z]+", "", formula), formula  # Markdown eats \, and \{
        assert "<math" in convert(formula)
        # Such an underscore may begin an emphasis before anybody looks for formulas.
        assert not re.search(r"[^A-Za-z0-9]_", formula), formula
    # A code host takes a dollar for that of a formula beside a space or such a sign alone.
    text = re.sub(r"^\$\$\n.*?\n\$\$$", "", without_code(path), flags=re.M | re.S)
    for found in re.finditer(r"\$[^$\n]+\$", text):
        before, after = text[found.start() - 1], text[found.end()]
        assert before in " (\n", text[found.start() - 20 : found.end()]
        assert after in " ,.;:)\n", text[found.start() : found.end() + 20]


def test_the_chinese_page_has_chinese_punctuation():
    text = re.sub(r"\]\([^)]*\)", "]", without_code(CHINESE))
    text = re.sub(r"\$[^$]+\$|`code`", "", text)
    body, _, _ = text.partition("## 参考文献")
    assert not re.findall(r"[\u4e00-\u9fff] ?[,;:?!()]|[,;:?!()] ?[\u4e00-\u9fff]", body)


def test_each_training_of_the_course_begins(monkeypatch, no_web):
    Path("configs").symlink_to(ROOT / "configs")  # as in the root of the repository
    seen = []
    monkeypatch.setattr("sae.cli.command.Experiment.start", lambda self: seen.append(self) or {})
    # That of a finished run; what it reads is tested with what it is part of.
    monkeypatch.setattr("sae.cli.options.read_start", lambda folder, stack: None)
    for words in dict.fromkeys(map(tuple, FITS)):
        main(["fit", *words])
    assert len(seen) > 20
    recipes = [each.pretrainer.finetune_recipe for each in seen]
    assert {each.corruption.level for each in recipes if each.denoises} >= {0.5, 0.3}
    penalties = [each.sparsity for each in recipes if each.sparsity]
    assert {penalty.rho for penalty in penalties} == {0.1, 0.05, 0.2}


def test_the_other_commands_have_the_options_that_the_course_gives_them():
    assert {words[0] for words in OTHERS} == {"sample", "decode", "denoise", "report"}
    for verb, *options in OTHERS:
        assert is_verb(verb)
        parser_of(verb).parse_args(options)


def test_a_code_of_the_course_is_decoded_and_its_scatter_is_drawn(monkeypatch):
    lines = [line for block in blocks(ENGLISH, "bash") for line in block.splitlines()]
    (line,) = [line for line in lines if line.startswith("python -c ")]
    exec(shlex.split(line)[2])
    assert Path("my_codes.csv").read_text() == "h0,h1\n-25,0\n40,10\n"
    folder = Path("lightning_logs/visualize/version_0")
    folder.mkdir(parents=True)
    np.savez(folder / "scatter.npz", points=np.eye(10, 2), labels=np.arange(10))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    exec(blocks(ENGLISH, "python")[0], {})
    assert Path("my_scatter.png").stat().st_size > 1000
