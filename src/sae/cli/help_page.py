"""The pages of ``--help``: ours first, a line for each option where that is enough."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from sae.cli.sentences import TRAINING_VERBS
from sae.text import program

# Group of verbs -> its verbs; a verb in none of them comes last.
VERB_GROUPS = {
    "train": ["fit", "sweep"],
    "look": ["report", "demo", "test", "validate"],
    "use a run": [
        "encode",
        "decode",
        "reconstruct",
        "denoise",
        "score",
        "sample",
        "predict",
        "export",
    ],
    "your own data": ["inspect"],
}
# Group of options -> what it is about.
OPTION_GROUPS = {
    "run": "the run",
    "model": "the network",
    "pretrain": "the training of the stages, one after another",
    "finetune": "the training of the whole stack",
    "head": "the training of a classifier's head alone, before the fine-tuning",
    "data": "the data",
    "trainer": "Lightning's Trainer",
}
_LEFT = 34  # columns of the names
_ENOUGH = 120  # letters of the text of an option
_MOST = 100  # columns of a page; a wider one is hard to read


def main_page(verbs: Mapping[str, Mapping[str, Any]]) -> str:
    """``--help``: all verbs.

    Args:
        verbs: Name -> a mapping with ``help``.
    """
    blocks = [
        f"usage: {program()} VERB [--OPTION VALUE ...]",
        "Stacked autoencoders: train layer by layer, stack the layers, fine-tune all of them.",
        f"example:\n  {program()} fit --config stacked.yaml",
    ]
    grouped = [verb for group in VERB_GROUPS.values() for verb in group]
    groups = {**VERB_GROUPS, "others": [verb for verb in verbs if verb not in grouped]}
    for title, names in groups.items():
        if rows := [_row(f"  {each}", verbs[each]["help"], 16) for each in names if each in verbs]:
            blocks.append("\n".join([f"{title}:", *rows]))
    blocks.append(
        f"{program()} VERB --help lists the options of a verb, {program()} --version the versions."
    )
    return "\n\n".join(blocks) + "\n"


def verb_page(verb: str, text: str, example: str, options: Iterable[Mapping[str, Any]]) -> str:
    """``VERB --help``: what it does, an example, and its options.

    Args:
        verb: Its name.
        text: What it does.
        example: Words that follow it.
        options: See :func:`sae.cli.described.describe`.
    """
    trains = verb in TRAINING_VERBS
    usage = f"{program()} {verb} --config CONFIG [--OPTION VALUE ...]" if trains else ""
    lines = [f"usage: {usage or f'{program()} {verb} {example}'.rstrip()}"]
    blocks = [*lines, textwrap.fill(text, _width())]
    if trains:
        blocks.append(f"example:\n  {program()} {verb} {example}")
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for option in options:
        if "help" in option:
            group = option["key"].partition(".")[0]
            groups.setdefault(group if group in OPTION_GROUPS else "run", []).append(option)
    for group in sorted(groups, key=list(OPTION_GROUPS).index):
        if group == "trainer":
            where = "--trainer.help lists them; for example --trainer.devices 2"
            blocks.append(f"trainer: {OPTION_GROUPS[group]}, {len(groups[group])} options: {where}")
        elif group == "head" and "pretrain" in groups:
            blocks.append(_like("head", groups))
        elif group == "finetune" and "pretrain" in groups:
            blocks.append(_like("finetune", groups))
        else:
            title = f"{group}: {OPTION_GROUPS[group]}" if trains else "options:"
            blocks.append("\n".join([title, *map(_option, groups[group])]))
    return "\n\n".join(blocks) + "\n"


def trainer_page(options: Iterable[Mapping[str, Any]]) -> str:
    """``--trainer.help``: the options of Lightning's Trainer."""
    rows = [
        _option(each) for each in options if each["key"].startswith("trainer.") and "help" in each
    ]
    return (
        "\n".join(
            [
                "trainer: Lightning's Trainer. Some are refused: those of a run have other names.",
                *rows,
            ]
        )
        + "\n"
    )


def _like(group: str, groups: Mapping[str, list[Mapping[str, Any]]]) -> str:
    """A group with the options of pretrain: what differs, and the names of the others."""
    before = {each["key"].partition(".")[2]: each for each in groups["pretrain"]}
    rows, same = [], []
    for each in groups[group]:
        name = each["key"].partition(".")[2]
        other = before.get(name, {})
        if all(each.get(part) == other.get(part) for part in ("type", "default", "help")):
            same.append(name)
        else:
            rows.append(_option(each))
    as_there = f"  as in pretrain: {', '.join(same)}"
    last = textwrap.fill(as_there, _width(), subsequent_indent="    ")
    return "\n".join([f"{group}: {OPTION_GROUPS[group]}", *rows, last])


def _option(option: Mapping[str, Any]) -> str:
    names = ", ".join(each for each in option["names"] if not each.endswith("+"))
    end = ""
    if option.get("required"):
        end = " (required)"
    elif option.get("default") not in (None, "null"):
        end = f" (default: {option['default']})"
    return _row(f"  {names} {option['type']}".rstrip(), _short(option["help"]) + end, _LEFT)


def _short(text: str) -> str:
    """The first sentence, and more where two lines hold it; docs/configuration.md has it all."""
    kept, *rest = re.split(r"(?<=\.) (?=[A-Z])", text)
    for sentence in rest:
        if len(kept) + len(sentence) > _ENOUGH:
            break
        kept = f"{kept} {sentence}"
    return kept


def _row(left: str, text: str, column: int) -> str:
    """Two columns; the second begins on a line of its own where the first is too long."""
    indent = " " * column
    lines = textwrap.wrap(text, max(20, _width() - column), break_on_hyphens=False) or [""]
    if len(left) < column:
        lines[0] = f"{left:<{column}}{lines[0]}"
        return f"\n{indent}".join(lines).rstrip()
    return f"\n{indent}".join([left, *lines])


def _width() -> int:
    return min(_MOST, shutil.get_terminal_size((_MOST, 24)).columns)
