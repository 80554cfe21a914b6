"""The sentences for everyday mistakes on the command line.

Two readers of the command line say them: the quick check (:mod:`sae.cli.early`) and the parser
(:mod:`sae.cli.usage`). This module imports neither torch nor Lightning.
"""

from __future__ import annotations

import difflib
import pkgutil
import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path

from sae.cli import strict_yaml
from sae.cli.ready_made import folder
from sae.errors import InputError, show
from sae.text import program, shown_path

TRAINING_VERBS = {
    "fit": "Train the stages, fine-tune the stack, test it and draw pictures.",
    "validate": "Figures of a finished run on the validation images.",
    "test": "Figures of a finished run on the test images.",
    "predict": "Codes of the test images, as CSV.",
}

# What a training command is called elsewhere.
_FIT = ("train", "training", "run", "start")
# Groups of a config that all trials of a search share.
OF_TRIALS = ("data", "finetune", "model", "pretrain", "seed_everything", "sweep", "trainer")


def verbs() -> list[str]:
    """All verbs: Lightning's, and one for each file."""
    files = pkgutil.iter_modules([str(Path(__file__).parent / "verbs")])
    return [*TRAINING_VERBS, *(file.name for file in files if file.name != "verb")]


def wrong_verb(found: str | None) -> InputError:
    """The first word is no verb; None where there is none."""
    known = verbs()
    near = difflib.get_close_matches(found or "", known, n=1, cutoff=0.7)
    remedy = f"perhaps {near[0]} is meant" if near else "see --help for what each does"
    if (found or "").lower() in _FIT:
        remedy = f"to train, the command is fit: {program()} fit --config stacked.yaml"
    shown = "none" if found is None else show(found)
    return InputError("command", f"one of {', '.join(known)}", shown, remedy)


def no_value(names: str, trains: bool = False) -> InputError:
    """Options that need a value and have none.

    Args:
        names: Of the options, with commas between them.
        trains: Whether a training verb was called, which takes a config.
    """
    remedy = "give it a value; --help has an example"
    if names == "data":
        remedy = "name the data, for example --data DigitsDataModule"
        if trains:
            remedy = (
                f"give a config, for example `{program()} fit --config stacked.yaml`, or --data"
            )
    return InputError(names, "a value", "none", remedy)


def no_file(key: str, path: str) -> InputError:
    """A file that is not there, or cannot be read."""
    typed = shown_path(Path(path))
    found = show(typed)
    near = None if key not in ("command", "config") or Path(path).exists() else _near_file(typed)
    remedy = (
        f"perhaps {near} is meant"
        if near
        else "correct the path; for a ready-made config the name is enough, such as stacked.yaml"
    )
    return InputError(key, "a file that can be read", found, remedy)


def _near_file(path: str) -> str | None:
    """A config with nearly this name: in the same folder, or a ready-made one."""
    file = Path(path)
    name = file.relative_to("configs") if file.parts[:1] == ("configs",) else file
    try:
        beside = [file.with_name(each.name) for each in sorted(file.parent.glob("*.yaml"))]
        ours = sorted(each.relative_to(folder()) for each in folder().rglob("*.yaml"))
    except (OSError, ValueError):
        return None
    for wanted, files in ((file, beside), (name, ours)):
        # All end alike, so only what is before the ending counts.
        names = {each.with_suffix("").as_posix(): each for each in files}
        start = wanted.with_suffix("") if wanted.suffix in (".yaml", ".yml") else wanted
        near = difflib.get_close_matches(start.as_posix(), names, n=1, cutoff=0.75)
        if near:
            return str(names[near[0]])
    return None


def unknown_option(name: str, known: Iterable[str]) -> InputError:
    """A name that is no option.

    Args:
        name: Without dashes.
        known: The names of all options, without dashes.
    """
    # Within a group only the rest of the name counts: all of them begin alike.
    known = list(known)
    group = f"{name.rpartition('.')[0]}."
    start = group if any(each.startswith(group) for each in known) else ""
    rests = [each.removeprefix(start) for each in known if each.startswith(start) and each != name]
    near = difflib.get_close_matches(name.removeprefix(start), rests, n=1, cutoff=0.65)
    remedy = f"perhaps {start}{near[0]} is meant" if near else "see --help for the names"
    if name.endswith((".yaml", ".yml")) and "config" in known:
        remedy = f"to use a config, write --config {name}"
    groups = {each.partition(".")[0] for each in known}
    if "data" in groups <= {"data", "h", "help", "print_shtab"} and not (
        near or name.startswith("data.")
    ):
        remedy = "leave it out: inspect has only the options of data"
        return InputError(plain(name), "--data or an option of it", "another one", remedy)
    return InputError(plain(name), "the name of an option", "one that does not exist", remedy)


def unknown_data(found: str, ours: Sequence[str]) -> InputError:
    """A word that names no datamodule.

    Args:
        found: The word.
        ours: The names of our datamodules.
    """
    near = difflib.get_close_matches(found, ours, n=1, cutoff=0.65)
    remedy = f"perhaps {near[0]} is meant" if near else "choose one of these"
    expected = f"{', '.join(ours)}, or the import path of a class of your own"
    return InputError("data", expected, show(found), remedy)


def plain(name: str) -> str:
    """A name as it is, or in quotes where it could be mistaken for something else."""
    return name if re.fullmatch(r"[\w.\[\]+-]{1,80}", name) else show(name)


def check_words(words: Sequence[str]) -> None:
    """Raise :class:`InputError` for a word of the command line on which the parser would break."""
    for before, word in zip(["command", *words], words, strict=False):
        name, _, value = word.partition("=")
        option = name if name.startswith("-") else before if "=" not in before else "command"
        key = plain(option.lstrip("-"))
        if not strict_yaml.is_text(word):
            raise InputError(key, "text in UTF-8", show(word), "correct this word")
        if strict_yaml.too_deep(value or word):
            raise InputError(key, "fewer brackets", show(value or word), "correct the value")
        if strict_yaml.too_long_a_number(value or word):
            raise InputError(key, "a smaller number", show(value or word), "correct the number")


def check_not_of_trials(words: Sequence[str]) -> None:
    """Refuse options of the single trials of a search: they belong in the config.

    Args:
        words: What follows the verb ``sweep``.

    Raises:
        InputError: There is one.
    """
    for word, after in zip_longest(words, words[1:], fillvalue=""):
        option, equals, value = word.partition("=")
        key = option.removeprefix("--")
        if key != option and key.partition(".")[0] in OF_TRIALS:
            *groups, last = key.split(".")
            if groups[:1] == ["data"]:
                groups.insert(1, "init_args")
            line = f"{last}: {(value if equals else after) or 'VALUE'}"
            for group in reversed(groups):
                line = f"{group}: {{{line}}}"
            expected, found = "an option of the search", "one of its runs"
            raise InputError(key, expected, found, f"write it into the config: {line}")
