"""``inspect``: look at data before training, and print a config for them."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterator, Sequence
from pydoc import locate
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from sae.cli.data_options import add_data_options, make_data, set_up
from sae.cli.verbs.verb import Verb
from sae.data import SampleDataModule
from sae.data.inspection import described, surveys
from sae.data.loader import Survey
from sae.data.remarks import GOOD_REACH, MOST_REACH
from sae.errors import InputError
from sae.nets.sizes import chosen_sizes

# At most so many options are changed until the data can be read.
MOST_MENDS = 10
LR = 0.003
# Steps that a stage should have, and the limits of the epochs.
STEPS, LEAST_EPOCHS, MOST_EPOCHS = 1000, 5, 50


class Inspect(Verb):
    """Say what would be read, and print a config that fits.

    Everything else is printed as comments, so that the whole output is a config: paste it, or
    write it to a file. If the data cannot be read with the given options, the options that the
    message proposes are tried, and a comment says so.
    """

    help = "Look at data before training, and print a config for them, ready to paste."
    example = "--data DATAMODULE [--data.train PATH] [--data.OPTION VALUE ...]"

    def add_options(self, parser: ArgumentParser) -> None:
        """Add the options of the datamodule."""
        add_data_options(parser)

    def run(self, options: Namespace) -> None:
        """Look at the data, and print.

        Raises:
            InputError: The data cannot be read, and no option corrects that.
        """
        named = options.data
        data = _readable(named)
        found = surveys(data)
        remarks = data.remarks(found[0])
        mends = {k: v for line in remarks if "warning" in line for k, v in _proposed(line).items()}
        if mends:
            _say([line for line in remarks if _proposed(line)])
            named.init_args.update(Namespace(mends))
            data = _readable(named)
            found = surveys(data)
            remarks = data.remarks(found[0])
        _say(described(data))
        _say(remarks)
        print(_config(data, named, found), flush=True)


def _say(lines: Sequence[str] | Iterator[str]) -> None:
    for line in lines:
        print(f"# {' '.join(line.split())}", flush=True)


def _readable(named: Namespace) -> SampleDataModule:
    """The datamodule, set up, with the options that its own messages propose."""
    if named.get("init_args") is None:
        named.init_args = Namespace()
    for _ in range(MOST_MENDS):
        data = make_data(named)
        try:
            set_up(data)
            return data
        except InputError as error:
            mends = _proposed(error.remedy)
            if error.key == "data.val_size" and not mends:
                mends = {"val_size": max(1, data.val_size // 10)}
            before = named.init_args.as_dict()
            mends = {key: _merged(before.get(key), value) for key, value in mends.items()}
            if error.key == "data.label":  # probably mistyped: do not leave it out
                raise
            if not mends or all(before.get(key) == value for key, value in mends.items()):
                raise
            _say([str(error)])
            named.init_args.update(Namespace(mends))
    set_up(data := make_data(named))
    return data


def _merged(before: Any, value: Any) -> Any:
    """Add to a list of names; replace everything else."""
    if isinstance(before, list) and isinstance(value, list) and isinstance(value[0], str):
        return [*before, *value]
    return value


def _proposed(remedy: str) -> dict[str, Any]:
    """The options that a message proposes; if it names several ways, the first one.

    Args:
        remedy: Such as ``write --data.val_size 20, or name others with test``.
    """
    option = r"--data\.(\w+) (\"[^\"]*\"|'[^']*'|\[[^\]]*\]|[\w.-]+)"
    for way in re.split(r",? or ", remedy):
        found = re.findall(option, way)
        if found:
            return {key: yaml.safe_load(value.strip("\"'")) for key, value in found}
    return {}


def _config(data: SampleDataModule, named: Namespace, found: Sequence[Survey]) -> str:
    """A config that trains on these data."""
    sizes, rate = chosen_sizes(data.n_features), LR
    total = found[0].mean.abs().sum().item()
    if rate * total > MOST_REACH:
        rate = float(f"{GOOD_REACH / total:.1g}")
    model: dict[str, Any] = {"sizes": sizes, "activation": "tanh"}
    if not all(0 <= seen.low <= seen.high <= 1 for seen in found):
        model["output"] = "linear"
    batches = math.ceil(len(data.train) / data.batch_size)
    epochs = min(MOST_EPOCHS, max(LEAST_EPOCHS, math.ceil(STEPS / batches)))
    class_path, init_args = data.resolved(named.class_path, named.init_args.as_dict())
    groups = {
        "seed_everything": 0,
        "model": model,
        "pretrain": {"epochs": epochs, "lr": rate, "schedule": "one_cycle"},
        "finetune": {"epochs": 2 * epochs, "lr": rate, "schedule": "one_cycle"},
    }
    lines = [_flow({key: value}) for key, value in groups.items()]
    lines += ["data:", f"  class_path: {class_path}"]
    if told := _told(class_path, init_args):
        lines += ["  init_args:"]
        lines += [f"    {_flow({key: value})}" for key, value in told.items()]
    return "\n".join(lines)


def _told(class_path: str, init_args: dict[str, Any]) -> dict[str, Any]:
    """The options that differ from their defaults."""
    kind = locate(class_path)
    known = inspect.signature(kind).parameters if callable(kind) else {}
    defaults = {name: each.default for name, each in known.items()}
    return {key: x for key, x in init_args.items() if key not in defaults or defaults[key] != x}


def _flow(group: dict[str, Any]) -> str:
    """A key and its value as one line of YAML."""
    ((key, value),) = group.items()
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return f"{key}: {text.replace(chr(10) + '...', '').strip()}"  # YAML ends a single value with it
