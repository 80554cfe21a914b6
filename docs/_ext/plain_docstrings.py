"""Docstrings hold formulas: outside of literals ``*``, ``|`` and a last ``_`` are no markup."""

import re
from typing import Any

from sphinx.application import Sphinx

LITERAL = re.compile(r"(``.*?``|:[\w:]+:`[^`]*`|`[^`]*`_?)")


def escaped(line: str) -> str:
    """A line of a docstring with what would be markup escaped."""
    parts = LITERAL.split(line)
    parts[::2] = [
        re.sub(r"(?<=\w)_(?!\w)", r"\\_", re.sub(r"([*|])", r"\\\1", part)) for part in parts[::2]
    ]
    return "".join(parts)


def escape(app: Sphinx, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:
    """Do so for what Sphinx has read of an object; blocks of code stay as they are."""
    code = False
    for k, line in enumerate(lines):
        if code and line.strip() and not line.startswith(" "):
            code = False
        if not code and not line.lstrip().startswith(">>>"):
            lines[k] = escaped(line)
        code = code or line.endswith("::")


def setup(app: Sphinx) -> dict[str, Any]:
    """Listen before the Google style is read."""
    app.connect("autodoc-process-docstring", escape, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
