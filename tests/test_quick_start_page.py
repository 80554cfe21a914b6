"""What ``docs/quick_start.md`` shows runs as it stands there."""

from __future__ import annotations

import re

import torch
from helpers import ROOT

from sae.cli.command import main

PAGE = (ROOT / "docs" / "quick_start.md").read_text(encoding="utf-8")
SHORT = ["--pretrain.epochs", "0", "--finetune.epochs", "1", "--pictures_every", "-1"]


def test_its_python_runs():
    config = str(ROOT / "configs" / "stacked.yaml")
    main(["fit", "--config", config, "--data", "DigitsDataModule", *SHORT])
    scope = {"x": torch.randint(0, 256, (3, 784), dtype=torch.uint8)}
    exec(re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)[0], scope)
    assert scope["code"].shape == (3, 128)
    assert scope["x_hat"].shape == scope["x"].shape == (3, 784)
    assert scope["error"].shape == (3,)


def test_its_configs_and_verbs_are_there():
    from sae import kinds
    from sae.cli.sentences import TRAINING_VERBS
    from sae.cli.verbs.verb import ROOM, Verb

    commands = re.findall(r"python cli\.py (\w+)(?: --config (configs/\S+?\.yaml))?", PAGE)
    assert len(commands) > 10
    for verb, config in commands:
        assert verb in TRAINING_VERBS or verb in kinds.names(ROOM, Verb), verb
        assert not config or (ROOT / config).is_file(), config


def test_each_picture_that_it_names_is_one():
    table = PAGE[PAGE.index("| picture | shows |") : PAGE.index("To draw one your own way")]
    files = {path.stem for path in (ROOT / "src" / "sae" / "pictures").glob("*.py")}
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.M)))
    assert len(named) >= 9
    assert set(named) <= files
