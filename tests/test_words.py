"""Words that readers stumble over stay out of docstrings, comments, messages and pages."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import ROOT

# Phrase, as a regular expression of whole words -> what to write instead.
INSTEAD = {
    r"whoever|whomever": "say who: the caller, the user, another process",
    r"likewise": "also, or: the same",
    r"anew|afresh": "again",
    r"the likes? of|and the like": "such as",
    r"matters? not|heeds?|need not do": "does not matter; use; does not have to",
    r"at once and without a word": "silently",
    r"none but|nothing but": "only",
    r"but for": "except, or: without",
    r"save (?:that|for)": "except",
    r"broken[ -]off(?![`\"])": "interrupted",  # the status of a manifest has that name
    r"gone on with|(?:to )?go on with": "resumed, continue",
    r"of no use": "useless, or say what it lacks",
    r"is under way": "is running",
    r"that there (?:is|are)": "existing, or leave it out",
    r"such as (?:are|is)": "which are",
    r"where nobody|as nobody": "say what is unknown or missing: if it is unknown",
    r"ha(?:s|ve) (?:a|no) say": "choose, decide (or not)",
    r"mend(?:s|ed|ing)?": "correct, fix, change",
    r"thereof|therein|whereof|wherein|albeit|lest|hither|thither|whilst": "so, in it",
    r"told in a line|is told (?:of|in)": "called with a line, gets",
    r"what is made of": "the result, the reconstruction",
    r"spoil(?:s|t|ed)?": "damages, changes",
    r"sees? to it": "makes sure",
}
FOUND = re.compile("|".join(f"(?P<w{k}>\\b(?:{p})\\b)" for k, p in enumerate(INSTEAD)), re.I)


def texts_of_python(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and text of each comment and string: docstrings, messages, help."""
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    source = path.read_text(encoding="utf-8")
    comment: tuple[int, int, str] | None = None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in kinds:
            continue
        line, text = token.start[0], token.string
        if token.type != tokenize.COMMENT:
            yield line, text
            continue
        if comment and comment[1] == line - 1:  # a sentence may go on in the next line
            comment = (comment[0], line, f"{comment[2]}\n{text[1:]}")
        else:
            if comment:
                yield comment[0], comment[2]
            comment = (line, line, text)
    if comment:
        yield comment[0], comment[2]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    if path.suffix == ".py":
        yield from texts_of_python(path)
        return
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        lines = [re.search(r"(?:^|\s)#.*", line) for line in text.splitlines()]
        yield 1, "\n".join(found[0].replace("#", " ") if found else "" for found in lines)
    else:
        # Code is left out, and its lines are kept, so that numbers stay right.
        code = re.compile(r"^( *)```.*?^\1```|`[^`\n]+`", re.M | re.S)
        yield 1, code.sub(lambda found: "\n" * found[0].count("\n"), text)


def found_in(path: Path) -> list[str]:
    """``FILE:LINE: "PHRASE"; write: …`` for each."""
    lines = []
    for first, text in texts(path):
        for match in FOUND.finditer(text):
            line = first + text.count("\n", 0, match.start())
            instead = list(INSTEAD.values())[int(str(match.lastgroup)[1:])]
            name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name
            lines.append(f'{name}:{line}: "{match[0]}"; write: {instead}')
    return lines


def pages() -> list[Path]:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")]
    found += [*(ROOT / "src").rglob("*.py"), *(ROOT / "configs").rglob("*.yaml")]
    return sorted(path for path in found if path.name != "README.zh-CN.md")


def test_no_such_word_is_in_what_people_read():
    lines = [line for path in pages() for line in found_in(path)]
    assert not lines, "\n".join(["", *lines])


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.py", '"""Fine.\n\nWhoever reads it.\n"""\n', 3),
        ("a.py", "x = 1  # drawn anew\n", 1),
        ("a.py", "# one\n# two, mended\nx = 1\n", 2),
        ("a.py", 'raise ValueError(f"broken off at {x}")\n', 1),
        ("a.md", "# Title\n\n```bash\nwhoever\n```\n\nIt is told in a line.\n", 7),
        ("a.yaml", "a: 1\nb: 2  # all but for one\n", 2),
    ],
)
def test_it_finds_them_and_names_the_line(tmp_path, name, text, line):
    (tmp_path / name).write_text(text)
    (found,) = found_in(tmp_path / name)
    assert found.startswith(f"{name}:{line}: ")
    assert "; write: " in found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "whoever = mend(anew=1)\n"),
        ("a.md", "`whoever` and\n\n```python\nmend()\n```\n"),
        ("a.md", "They recommend what depends on the amendment.\n"),
    ],
)
def test_names_and_code_are_left_alone(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert found_in(tmp_path / name) == []
