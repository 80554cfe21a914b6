"""Write docs/configuration.md from the options themselves: ``python docs/configuration.py``.

Names and defaults come from the signatures that the command line reads, words from docstrings.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from pathlib import Path
from typing import Any

from docstring_parser import Docstring, DocstringStyle, parse

import sae.data
from sae import kinds
from sae.augment.augmentation import Augmentation
from sae.cli.described import unparsed
from sae.nets.layer import Layer
from sae.objectives.objective import Objective
from sae.terms.corruption import Corruption
from sae.terms.sparsity import Sparsity
from sae.terms.term import Term
from sae.training.recipe import PretrainRecipe, Recipe
from sae.training.stacked import StackedAutoencoder

PAGE = Path(__file__).with_suffix(".md")
COMMAND = "python docs/configuration.py"
DATA = ("MNIST", "FashionMNIST", "KMNIST", "EMNIST", "Digits", "Array", "Table", "ImageFolder")
# A layer gets these from the stack or from `model`.
FROM_THE_STACK = ("in_shape", "output", "loss")
PLAIN = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    type(None): "null",
    dict: "mapping",
    Any: "",
    Corruption: "mapping",
    Sparsity: "mapping",
}
# What Lightning says of its own option is about Lightning.
SEED = "Seed of weights, order of the samples and noise: 0 or more, below 2^32."

HEAD = """\
# Configuration

Every option of `python cli.py fit`, with its default. In a config file the groups are keys, and
their options stand below them; on the command line they are joined by a dot:

```yaml
finetune:
  epochs: 50
```

```bash
python cli.py fit --config configs/digits.yaml --finetune.epochs 50
```

The command line wins over the file. `--print_config` prints what a config resolves to, and
`python cli.py fit --help` prints these options. An unknown name or a wrong value ends in one
sentence before anything is trained. For configs to start from see [Experiments](experiments.md),
for the words used here the [glossary](quick_start.md#glossary).

This page is made from the code. Do not edit it: change the docstring of the option, then run
`python docs/configuration.py`.
"""


def in_words(hint: Any) -> str:
    """A type as a reader says it: ``int | None`` is "integer or null"."""
    if hint in PLAIN:
        return PLAIN[hint]
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in (typing.Union, types.UnionType):
        if Any in parts:  # sae.kinds.Settings
            return " or ".join(["name or mapping", *(["null"] if type(None) in parts else [])])
        said = dict.fromkeys(in_words(part) for part in parts)
        return ", ".join(said) if len(said) > 2 else " or ".join(said)
    if origin is dict:
        return "mapping"
    if origin is not None and parts:
        if typing.get_origin(parts[0]) is typing.Union:
            return f"list of {in_words(parts[0]).replace('integer', 'integers')}"
        of = re.sub(r"^(integer|number|text|name|mapping)", r"\1s", in_words(parts[0]))
        if parts[1:] and parts[1] is not Ellipsis:
            return f"list of {len(parts)} {of}"
        return f"list of {of.replace('name or', 'names or').replace('or mapping', 'or mappings')}"
    return str(getattr(hint, "__name__", hint))


def in_yaml(value: Any) -> str:
    """A default as it stands in a config."""
    if value is inspect.Parameter.empty:
        return "required"
    if value is None or isinstance(value, bool):
        return f"`{str(value).lower()}`".replace("none", "null")
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def in_markdown(text: str) -> str:
    """The words of a docstring for a cell of a table."""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)(?:\(\))?`", r"`\1`", " ".join(text.split()))
    text = text.replace("``", "`").replace("|", "\\|").replace("$", "\\$")
    return text.replace("_", "\\_") if "`" not in text else text


def parsed(kind: type) -> Docstring:
    """The docstring of a class, in its parts."""
    return parse(inspect.getdoc(kind) or "", DocstringStyle.GOOGLE)


def first_lines(kind: type) -> str:
    """What a class says of itself, up to its arguments."""
    said = parsed(kind)
    return in_markdown(said.short_description or "").replace("\\|", "|")


def table(rows: list[tuple[str, str, str, str]]) -> str:
    """Rows of option, what it does, type and default."""
    lines = ["| option | what it does | type | default |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(f"| `{a}` | {b} | {c} | {d} |" for a, b, c, d in rows)])


def options(kind: Any, leave_out: typing.Iterable[str] = (), prefix: str = "") -> str:
    """The table of the arguments of a class."""
    hints: dict[str, Any] = {}
    texts: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if each.__module__.startswith("sae"):
            params = parsed(each).params
            texts |= {param.arg_name: param.description or "" for param in params}
            hints |= typing.get_type_hints(each.__init__)
    rows = []
    for name, parameter in inspect.signature(kind).parameters.items():
        if name in leave_out or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        text = in_markdown(texts.get(name, ""))
        hint = hints.get(name, Any)
        rows.append((prefix + name, text, in_words(hint), in_yaml(parameter.default)))
    return table(rows) if rows else "It has no options."


def run_options(parser: Any) -> str:
    """The table of what is no group: the name of the run, its seed, what is drawn."""
    rows = []
    for action in parser._actions:
        name = action.dest
        hint = getattr(action, "_typehint", None)
        if "." in name or hint is None or name in ("data", "subcommand"):
            continue
        if name == "seed_everything":
            rows.append((name, SEED, "integer", in_yaml(action.default)))
        elif f"--{name}" in action.option_strings and action.help:
            rows.append((name, in_markdown(action.help), in_words(hint), in_yaml(action.default)))
    return table(rows)


def rooms(
    room: str, base: Any, leave_out: typing.Iterable[str] = (), without: tuple[str, ...] = ()
) -> list[str]:
    """A section for each kind in a room, by name."""
    parts = []
    for name in sorted({*kinds.names(room, base)} - {*without}):
        kind = kinds.find(name, room, base, name)
        parts += [f"### `{name}`", first_lines(kind), options(kind, leave_out)]
    return parts


def page() -> str:
    """The whole page."""
    recipe = list(inspect.signature(Recipe).parameters)
    parts = [
        HEAD.strip(),
        "## The run",
        run_options(unparsed()._parser("fit")),
        "## `model`: the network",
        "Give `sizes`, or `layers` with `input_shape`. If you give none of them, the data decide.",
        options(StackedAutoencoder, ("seed", "recipe")),
        "## `pretrain`, `head`, `finetune`: how each phase is trained",
        "All three have these options. `pretrain` trains the stages one after another, `head` a "
        "classifier's head alone on the finished code, `finetune` the whole stack. `head.epochs` "
        "is 0 if you do not set it.",
        options(Recipe),
        "`pretrain` has two more:",
        options(PretrainRecipe, recipe),
        "### `corruption`",
        first_lines(Corruption),
        options(Corruption),
        "### `sparsity`",
        first_lines(Sparsity),
        options(Sparsity),
        "## Layers: `model.layers`",
        "A list, the lowest first: `[{kind: conv, channels: 16}, {kind: dense, units: 128}]`. "
        "`output` and `loss` come from `model`; so does `activation` if a layer does not name one.",
        *rooms("sae.nets", Layer, FROM_THE_STACK),
        "## Penalties: `pretrain.terms`, `finetune.terms`",
        "A list: `[{kind: l1, weight: 0.1}]`. The penalty on the code of each stage, or on that of "
        "the whole stack. `sparsity` may stand here, too; its options are [above](#sparsity). A "
        "variational layer adds `gaussian_kl` by itself.",
        *rooms("sae.terms", Term, without=("sparsity",)),
        "## Objectives: `model.objective`",
        "What the stack is fine-tuned for: a name, or a mapping such as "
        "`{kind: classify, dropout: 0.1}`.",
        *rooms("sae.objectives", Objective),
        "## Augmentations: `pretrain.augment`, `finetune.augment`",
        "A name, or a mapping such as `{kind: shift, most: 2}`.",
        *rooms("sae.augment", Augmentation),
        "## `data`: the samples",
        "Name one of these as `class_path`, and its options below `init_args`; on the command line "
        "`--data TableDataModule --data.train my.csv`.",
    ]
    for name in DATA:
        kind = getattr(sae.data, f"{name}DataModule")
        parts += [f"### `{kind.__name__}`", first_lines(kind), options(kind)]
    parts += [
        "## `trainer`: Lightning's Trainer",
        "`--trainer.accelerator`, `devices`, `num_nodes`, `strategy`, `precision`, `callbacks`, "
        "`logger`, `profiler`, `gradient_clip_val`, `accumulate_grad_batches`, "
        "`log_every_n_steps`, `enable_progress_bar`, `deterministic` and others work as "
        "[Lightning describes them]"
        "(https://lightning.ai/docs/pytorch/stable/common/trainer.html). Those that cannot work "
        "here are refused in one sentence, which says what to use: a run is several trainings, so "
        "`max_epochs` is `pretrain.epochs` and `finetune.epochs`.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written: {PAGE}")
