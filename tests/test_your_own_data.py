"""What ``docs/your_own_data.md`` shows runs as it stands there."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml
from helpers import ROOT, refusal

from sae.cli.command import main

PAGE = (ROOT / "docs" / "your_own_data.md").read_text()
(MAKES_DATA,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
COMMANDS = [
    command.replace("configs/", f"{ROOT}/configs/")
    for command in re.findall(r"^python cli\.py ((?!inspect).*)$", PAGE, re.M)
]
(INSPECT,) = re.findall(r"^python cli\.py (inspect .*) > mine\.yaml$", PAGE, re.M)
SHORT = ["--pretrain.epochs", "1", "--finetune.epochs", "1", "--pictures_every", "-1"]


@pytest.fixture
def flowers():
    exec(MAKES_DATA, {})


def test_the_first_command_is_refused_as_the_page_has_it(flowers, capsys):
    line = refusal(capsys, *shlex.split(COMMANDS[0]))
    counts = re.search(r"(\d+), (\d+) and (\d+) values are missing", PAGE)
    assert counts is not None
    assert [int(n) for n in re.findall(r"(\d+) in column", line)] == [
        int(n) for n in counts.groups()
    ]


def test_the_second_says_what_the_page_shows(flowers, capsys):
    main([*shlex.split(COMMANDS[1]), *SHORT])
    shown = re.search(r"^```text\n(.*?)^```$", PAGE, re.M | re.S)
    assert shown is not None
    assert capsys.readouterr().out.startswith(shown[1])


def test_the_third_trains_and_the_fourth_fills_in(flowers, capsys):
    main([*shlex.split(COMMANDS[2]), *SHORT])
    assert "SSE of their restorations" in capsys.readouterr().out
    main(shlex.split(COMMANDS[3]))
    assert "\nfilled in: 172 values: 70 in column height; " in capsys.readouterr().out


def test_what_inspect_prints_is_a_config(flowers, capsys):
    main(shlex.split(INSPECT))
    options = yaml.safe_load(capsys.readouterr().out)["data"]["init_args"]
    assert options["train"].endswith("flowers.csv")
    assert options["missing"] == "mask"


def test_its_yaml_names_options_of_arrays():
    import inspect

    from sae.data import ArrayDataModule

    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
    options = yaml.safe_load(text)["data"]["init_args"]
    assert set(options) <= set(inspect.signature(ArrayDataModule).parameters)


def test_each_option_that_it_names_is_one():
    import inspect

    from sae.data import TableDataModule

    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?`) \|", PAGE, re.M)))
    assert len(named) >= 9
    assert set(named) <= set(inspect.signature(TableDataModule).parameters)
