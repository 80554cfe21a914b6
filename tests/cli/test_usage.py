from __future__ import annotations

import importlib.util
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
from helpers import ROOT

import sae.data
from sae.cli.command import main
from sae.cli.usage import one_sentence
from sae.data import ImageDataModule

UNION = """Parser key "pretrain.corruption":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'sae.Corruption'>, <class 'NoneType'>]
  Errors:
    - Problem with given class_path 'sae.Corruption':
        Parser key "level":
          Expected a <class 'float'>. Got value: x
    - Expected a <class 'NoneType'>
  Given value type: <class 'jsonargparse._util.NestedArg'>
  Given value: NestedArg(key='level', val='x')"""


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            "Parser key \"pretrain.epochs\":\n  Expected a <class 'int'>. Got value: abc",
            "pretrain.epochs: expected an integer, found 'abc'; mend the value.",
        ),
        (UNION, "pretrain.corruption.level: expected a number, found 'x'; mend the value."),
        (
            "unrecognized arguments: --pretrain.epocs 1",
            "pretrain.epocs: expected the name of an option, found one that does not exist; "
            "did you mean pretrain.epochs?",
        ),
        (
            "Subcommand 'fit' does not accept option 'zzz'",
            "zzz: expected the name of an option, found one that does not exist; "
            "see --help for the names.",
        ),
    ],
)
def test_messages_of_the_parser(message, sentence):
    assert one_sentence(message, ["--pretrain.epochs", "--pretrain.lr"]) == sentence


def test_an_unknown_message_is_kept_on_one_line():
    sentence = "command: expected something else, found a mistake (something odd); see --help."
    assert one_sentence("something\n  odd") == sentence


def refusal(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["fit", "--config", str(ROOT / "configs" / "digits.yaml"), *words])
    assert end.value.code == 2
    assert not Path("lightning_logs").exists()
    (line,) = capsys.readouterr().err.splitlines()
    return line


OPTIONAL = {
    "WandbLogger": ("logger", "wandb"),
    "MLFlowLogger": ("logger", "mlflow"),
    "CometLogger": ("logger", "comet"),
    "RichProgressBar": ("callbacks", "rich"),
}


@pytest.mark.parametrize(("name", "option", "package"), [(k, *v) for k, v in OPTIONAL.items()])
def test_a_package_that_is_not_installed_is_named_with_what_installs_it(
    name, option, package, capsys
):
    if importlib.util.find_spec("comet_ml" if package == "comet" else package):
        pytest.skip(f"{package} is installed")
    line = refusal(capsys, f"--trainer.{option}", name)
    pattern = (
        f"error: trainer: expected the package ({package}.*), which {name} needs, found none; "
    )
    match = re.fullmatch(f"{pattern}run: pip install '(.+)'.", line)
    assert match is not None, line
    assert match[1] == match[2]


@pytest.mark.parametrize("value", ["Wrong", "", "3"])
def test_data_that_do_not_exist_are_answered_with_all_that_do(value, capsys):
    parts = [info.name for info in pkgutil.iter_modules(sae.data.__path__, "sae.data.")]
    kinds = {
        k
        for part in parts
        for k in vars(importlib.import_module(part)).values()
        if inspect.isclass(k)
    }
    classes = {kind for kind in kinds if issubclass(kind, ImageDataModule)}
    names = sorted(kind.__name__ for kind in classes - {ImageDataModule})
    assert {"ArrayDataModule", "MNISTDataModule"} <= set(names)
    line = refusal(capsys, "--data", value)
    assert f"found {value!r}; write {', '.join(names)}, or the import path of your own." in line
