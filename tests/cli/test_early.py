from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from helpers import ROOT

from sae.cli import command, early, kept
from sae.cli.ready_made import with_ready_made
from sae.errors import InputError

# With another Lightning than the one described, its options are left to the parser.
OF_THE_TRAINER = pytest.mark.skipif(
    not (kept.read() or {}).get("trainer_is_known", True), reason="another version of Lightning"
)
DIGITS = ["fit", "--data", "DigitsDataModule"]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
PAGES = [*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")]
# Words, or the content of a config; and a part of what is said.
MISTAKES = [
    (["fitt"], "perhaps fit is meant"),
    (["train", "--data", "DigitsDataModule"], "to train, the command is fit: "),
    ([], "found none"),
    (["fit"], "give a config"),
    ([*DIGITS, "--finetune.epoch", "3"], "perhaps finetune.epochs is meant"),
    ([*DIGITS, "--pictres_every=3"], "perhaps pictures_every is meant"),
    ([*DIGITS, "--data.batch_siz", "3"], "perhaps data.batch_size is meant"),
    ([*DIGITS, "--pretrain.lr+", "3"], "pretrain.lr+: "),
    pytest.param(
        [*DIGITS, "--trainer.device", "3"],
        "perhaps trainer.devices is meant",
        marks=OF_THE_TRAINER,
    ),
    ([*DIGITS, "confgs/digits.yaml"], "found one that does not exist"),
    ([*DIGITS, "--finetune.epochs"], "found none"),
    ([*DIGITS, "--name", "--finetune.terms=[ ]"], "name: expected a value"),
    ([*DIGITS, "--model.activation", "swish"], "found 'swish'"),
    ([*DIGITS, "--model.activation", "[relu,swish]"], "found 'swish'"),
    ([*DIGITS, "--pretrain.terms", "[{kind: l2}]"], "pretrain.terms[0]: "),
    ([*DIGITS, "--model.objective=clasify"], "perhaps classify is meant"),
    ([*DIGITS, "--head.corruption={kind: mask, level: 0.1}"], "head.corruption.kind: "),
    (["fit", "--data", "DigitDataModule"], "perhaps DigitsDataModule is meant"),
    (["fit", "--config", "nowhere.yaml"], "found 'nowhere.yaml'"),
    (["fit", "--config", "configs/visualise.yaml"], "perhaps visualize.yaml is meant"),
    (["fit", "configs/sparse.yaml"], "to use a config, write --config configs/sparse.yaml"),
    ([*DIGITS, "sparse.yaml"], "to use a config, write --config sparse.yaml"),
    ("pretrain: {epoch: 3}", "perhaps pretrain.epochs is meant"),
    ("pretrian: {epochs: 3}", "perhaps pretrain.epochs is meant"),
    ("data: {class_path: DigitsDataModule, init_args: {batch_siz: 3}}", "data.batch_siz: "),
    ("finetune: {schedule: cosin}", "found 'cosin'"),
    (["report", "--rn", "x"], "perhaps run is meant"),
    (["encode", "--run", "x"], "input, output: expected a value"),
    (["export", "--run", "x", "--format", "onx"], "perhaps onnx is meant"),
    (["sweep", "--config", "a.yaml", "--finetune.epochs", "5"], "finetune: {epochs: 5}"),
    (["sweep"], "config: expected a value"),
    (["inspect"], "name the data"),
]


@pytest.fixture(autouse=True)
def nothing_is_imported(monkeypatch):
    """As in a process of its own; the modules themselves stay."""
    modules = {name: each for name, each in sys.modules.items() if name != "lightning"}
    monkeypatch.setattr(early, "sys", SimpleNamespace(modules=modules))


def said(words: list[str]) -> str | None:
    """What the quick check finds wrong, without the help of the parser."""
    try:
        assert early.answer(with_ready_made(words)) is False
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize(("mistake", "part"), MISTAKES)
def test_a_mistake_is_answered_by_the_very_sentence_of_the_parser(mistake, part, capsys):
    words = mistake
    if isinstance(mistake, str):
        data = "" if "data" in mistake else "data: DigitsDataModule\n"
        Path("bad.yaml").write_text(data + mistake)
        words = ["fit", "--config", "bad.yaml"]
    quick = said(words)
    assert quick is not None, "passed on"
    assert part in quick
    with pytest.raises(SystemExit) as end:
        command.main(words)
    assert end.value.code == 2
    assert capsys.readouterr().err == f"error: {quick}\n"


def commands() -> list[list[str]]:
    """All that the pages tell people to type."""
    found = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for line in re.findall(r"(?:python cli\.py|(?<=`)sae) +([a-z][^`\n#&|>)]*)", text):
            if not re.search(r"…|\.\.\.|\b[A-Z]{3,}\b(?!=)|[\u4e00-\u9fff]", line):
                found.append(shlex.split(line))
    assert len(found) > 40
    return found


def test_no_command_of_the_pages_is_refused(capsys):
    for words in commands():
        for k, word in enumerate(words[1:], 1):
            if words[k - 1] == "--config" and not (ROOT / word).exists():
                Path("mine.yaml").write_text("data: DigitsDataModule\n")
                words[k] = "mine.yaml"
            elif (ROOT / word).is_file():
                words[k] = str(ROOT / word)
        if "--help" not in words and len(words) > 1:  # a verb alone is only named
            assert said(words) is None, words


def as_words(config: dict, above: str = "") -> list[str]:
    """The options of a config, for the command line."""
    words = []
    for name, value in config.items():
        key = f"{above}{name}"
        if key == "data" and isinstance(value, dict):
            words += [f"--data={value['class_path']}"]
            words += as_words(value.get("init_args", {}), "data.")
        elif isinstance(value, dict) and not above:
            words += as_words(value, f"{key}.")
        else:
            flow = yaml.safe_dump(value, default_flow_style=True, width=10**6)
            words += [f"--{key}={flow.removesuffix('...' + chr(10)).strip()}"]
    return words


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_no_config_is_refused_nor_its_options_as_words_in_any_order(path):
    words = as_words(yaml.safe_load(path.read_text()))
    dice = random.Random(path.stem)
    for _ in range(4):
        dice.shuffle(words)
        more = [part for word in words for part in word.split("=", 1)]
        assert said(["fit", *words]) is None
        assert said(["fit", *more]) is None
        assert said(["fit", "--config", str(path), *words[:3]]) is None


def test_no_option_is_refused_with_its_own_default():
    for verb, about in kept.read()["verbs"].items():
        words = [verb]
        for option in about["options"]:
            if option.get("required"):
                words += [f"--{option['key']}", "x.Y"]
            elif "default" in option:
                words += [f"--{option['key']}={option['default']}"]
        assert said(words) is None, words


@pytest.mark.parametrize(
    "words",
    [
        ["my_package.MyVerb", "--whatever", "3"],
        ["--config", "nowhere.yaml", "fit"],
        ["fit", "--data", "my_package.MyData", "--data.anything", "3"],
        [*DIGITS, "--pretrain.terms", "[my_package.MyTerm]"],
        [*DIGITS, "--model.layers", "[{class_path: my_package.MyLayer, init_args: {x: 3}}]"],
        [*DIGITS, "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss"],
        [*DIGITS, "--model", "model.yaml", "--anything", "3"],
        [*DIGITS, "--data.batch_siz", "3", "--data", "my_package.MyData"],
        ["fit", "--trainer.callbacks+=userdata.CB", "--data", "Mine"],
        [*DIGITS, "--print_config"],
        ["fit", "--resume", "lightning_logs/a/version_0"],
        ["fit", "--data.help", "MNISTDataModule"],
        [*DIGITS, "--seed_everything", "-1"],
        [*DIGITS, "--name", "-x y"],
        [*DIGITS, "--model.sizes", "64", "16"],
        [*DIGITS, "--help=1"],
        ["fit", "--data", "SampleDataModule"],
    ],
)
def test_what_is_not_fully_known_is_left_to_the_parser(words):
    assert said(words) is None


def test_a_class_that_a_script_imported_is_known_by_its_name(monkeypatch):
    assert "'Mine'" in said(["fit", "--data", "Mine"])
    monkeypatch.setattr(early, "sys", sys)  # in which Lightning is imported
    assert said(["fit", "--data", "Mine"]) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_config_from_a_pipe_is_left_to_the_parser_unread():
    os.mkfifo("pipe")
    assert said(["fit", "--config", "pipe"]) is None  # to open it would wait for ever
    assert said(["fit", "--config", "-"]) is None
    assert "found '.'" in said(["fit", "--config", "."])


@pytest.mark.parametrize("line", ["config: a.yaml", "help: x", "print_config: x", "data: dd"])
def test_words_with_another_meaning_in_a_config_are_left_to_the_parser(line):
    Path("sub").mkdir()
    Path("sub/dd").write_text("class_path: DigitsDataModule\n")
    data = "" if "data" in line else "data: DigitsDataModule\n"
    Path("sub/c.yaml").write_text(data + line)
    assert said(["fit", "--config", "sub/c.yaml"]) is None


def test_all_is_left_to_the_parser_where_the_description_is_of_other_sources(monkeypatch):
    monkeypatch.setattr(kept, "fingerprint", lambda: "another")
    assert said(["fitt"]) is None
    assert said(["fit", "--help"]) is None


def test_all_is_left_to_the_parser_where_the_environment_may_hold_options(monkeypatch):
    monkeypatch.setenv("JSONARGPARSE_DEFAULT_ENV", "true")
    assert said(["fit"]) is None


@pytest.mark.parametrize("words", [["fitt"], ["fit", "--help"], ["--help"], ["--version"]])
def test_the_answer_is_there_before_torch(words):
    code = "import sys; from sae.cli import main; sys.argv[0] = 'cli.py'\n"
    code += f"try: main({words})\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'lightning', 'numpy'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout or done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["fit", "--help"],
        ["score", "-h"],
        pytest.param(["fit", "--trainer.help"], marks=OF_THE_TRAINER),
    ],
)
def test_quick_help_is_that_of_the_parser(words, capsys):
    assert early.answer(words) is True
    quick = capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        command.main(words)
    assert end.value.code == 0
    assert capsys.readouterr().out == quick


@pytest.mark.parametrize(
    "asked", ["-h", "--help", pytest.param("--trainer.help", marks=OF_THE_TRAINER)]
)
@pytest.mark.parametrize("wrong", [["--finetune.epoch", "3"], ["--config", "nowhere.yaml"]])
def test_help_is_shown_among_mistakes(wrong, asked, capsys):
    assert early.answer(["fit", asked]) is True
    page = capsys.readouterr().out
    for words in ([*wrong, asked], [asked, *wrong], ["--data", "Mine", asked]):
        assert early.answer(["fit", *words]) is True
        assert capsys.readouterr().out == page
