"""What ``docs/images.md`` shows runs as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from helpers import ROOT
from PIL import Image

from sae.cli.command import main

PAGE = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")
QUICK = ["--pretrain.epochs", "1", "--finetune.epochs", "1", "--pictures_every", "-1"]


def test_the_page_from_the_first_line_to_the_last(capsys):
    exec(re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)[0], {})
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)
    inspect, fit, *uses = [line for block in blocks for line in block.strip().splitlines()]
    command, _, file = inspect.partition(" > ")
    main(shlex.split(command)[2:])
    Path(file).write_text(capsys.readouterr().out, encoding="utf-8")
    options = yaml.safe_load(Path(file).read_text(encoding="utf-8"))["data"]["init_args"]
    assert (options["size"], options["crop"]) == ([64, 64], True)
    main([*shlex.split(fit)[2:], *QUICK, "--model.sizes", "[auto, 8, 4]"])
    for line in uses:
        main(shlex.split(line)[2:])
    assert len(Path("codes.csv").read_text(encoding="utf-8").splitlines()) == 61
    rebuilt = sorted(Path("rebuilt").iterdir())
    assert len(rebuilt) == 60
    assert Image.open(rebuilt[0]).size == (64, 64)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"--data\.(\w+)", PAGE))))
def test_every_option_on_the_page_is_there(name):
    import inspect

    from sae.data import ArrayDataModule, EMNISTDataModule, ImageFolderDataModule

    kinds = (ImageFolderDataModule, EMNISTDataModule, ArrayDataModule)
    assert any(name in inspect.signature(kind).parameters for kind in kinds)
