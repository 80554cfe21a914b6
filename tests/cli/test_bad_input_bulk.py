"""Bad input, in bulk: hundreds of made-up mistakes, and each ends in one sentence that names it.

Every case is wrong by construction and knows which key is wrong. `pytest -m long` runs many more.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from helpers import ROOT
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from sae.cli.command import main
from sae.data import mnist
from sae.experiment import Experiment

SECONDS = 15
BASE = yaml.safe_load((ROOT / "configs" / "digits.yaml").read_text())
BASE_TEXT = yaml.safe_dump(BASE)
VERBS = ["fit", "validate", "test", "predict"]
LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Case:
    """A command line, the config file it reads, and the keys that the sentence may name."""

    verb: str
    config: bytes
    words: tuple[str, ...]
    keys: tuple[str, ...]


# Values that are wrong, whatever they are wrong for

ODD_TEXTS = st.sampled_from([
    "zzz", "é", "\u202eabc", "🦊" * 9, "\0", "\ud800", "z" * 5000, "a\nb", "a\u2028b", "\x1b[31m",
    "!!python/object:os.system", "&z [*z]", "{z", "[z", "'z", "z: z: z", "%z", "@z", "`z", "\tz",
    "http://127.0.0.1:9/z", "memory://z", "s3://z/z", "/dev/null", "/", "-", "--", "\\", "$z",
])  # fmt: skip
ODD_TEXTS |= st.text(alphabet="zZ🦊é\u200f\u0301\x7f{}[]&*!|>%@`", max_size=30).map("z".__add__)
NO_NUMBERS = (
    ODD_TEXTS
    | st.sampled_from([[], {}, [[]], {"z": 1}, math.nan, math.inf, -math.inf, "1e400", "-1e999"])
    | st.sampled_from(["9" * 400, "-" + "9" * 5000, "0x_", "._", "[" * 3000, "1" * 5000 + ".5"])
)


def wrong_integers(low: int, high: int = LARGEST) -> st.SearchStrategy[Any]:
    outside = st.integers(-(10**40), low - 1) | st.integers(high + 1, 10**40)
    return NO_NUMBERS | outside | st.floats(-9, 9).filter(lambda x: x != int(x))


def wrong_numbers(low: float, high: float = 1e300, *, low_open: bool = False) -> Any:
    below = st.floats(-1e300, low, exclude_max=not low_open)
    above = st.floats(high, 1e305) | st.just(10**305) if high < 1e300 else st.just(-(10**30))
    return NO_NUMBERS | below | above


NO_CHOICE = ODD_TEXTS | st.sampled_from(
    ["", [], {}, ["zzz"], 5, -1.5, math.nan, 10**30, "Adam", "MSE"]
)
NO_BOOL = ODD_TEXTS | st.sampled_from([2, -1, 0.5, math.nan, [], {}, [True], "maybe", 10**30])
NO_GROUP = st.sampled_from([5, -1.5, [], [1], "zzz", "nowhere.yaml", "folder", "text", True])
NO_CLASS = st.sampled_from([
    "Nothing", "sae.Nothing", "os.path", "os.system", "sae.StackedAutoencoder", "a.b.c.d", "folder",
    "text", "nowhere.yaml", "..", "1.2", "\0", "🦊.🦊", "z" * 300, 5, -1.5, [], ["a"], [{}], True,
])  # fmt: skip
NO_CORRUPTION = st.sampled_from(
    ["masking", 5, 0.5, [], ["masking"], {}, {"kind": "masking"}, {"level": 0.1}]
    + [{"kind": "masking", "level": x} for x in (-0.1, 1, 1.5, math.nan, math.inf, "z", [], 10**30)]
    + [{"kind": "gaussian", "level": x} for x in (-0.1, math.nan, math.inf, "z", None, {})]
    + [{"kind": x, "level": 0.1} for x in ("fog", 5, None, [], "", "Masking", "\u202e")]
    + [{"kind": "masking", "level": 0.1, "zzz": 1}, True]
)
NO_SPARSITY = st.sampled_from(
    ["zzz", 5, 0.5, [], [0.1], {"zzz": 1}, {"rho": 0.1, "zzz": 1}, True]
    + [{"rho": x} for x in (-0.1, 0, 1, 1.5, math.nan, math.inf, "z", [], None)]
    + [{"weight": x} for x in (-0.1, math.nan, math.inf, "z", {}, None)]
)
RECIPE: dict[str, st.SearchStrategy[Any]] = {
    "epochs": wrong_integers(0) | st.just(None),
    "lr": wrong_numbers(0.0, low_open=True) | st.just(None),
    "optimizer": NO_CHOICE,
    "schedule": NO_CHOICE,
    "weight_decay": wrong_numbers(0.0) | st.just(None),
    "patience": wrong_integers(1),
    "corruption": NO_CORRUPTION,
    "sparsity": NO_SPARSITY,
}


def in_a_stage(key: str) -> st.SearchStrategy[Any]:
    """Stages of which one has one wrong setting."""
    settings = RECIPE[key].map(lambda wrong: {key: wrong})
    return st.tuples(settings, st.booleans()).map(
        lambda made: [made[0], {}] if made[1] else [{}, made[0]]
    )


NO_STAGES = st.sampled_from([
    [], [{}], [{}] * 3, {}, {"lr": 0.1}, "zzz", 5, [{}, 5], [{}, []], [None, {}], [{}, {"zzz": 1}],
    [{}, {"stages": []}], [{}, {"": 1}], math.nan, "folder", "nowhere.yaml", [[], []],
]) | st.sampled_from(list(RECIPE)).flatmap(in_a_stage)  # fmt: skip
NO_SIZES = st.sampled_from(
    [[], [784], {}, {"a": 1}, "big", 5, 0.5, math.nan, [[784, 5]], [784, {}], True, "784, 5"]
    + [[784, x] for x in (0, -1, 0.5, "z", None, math.nan, math.inf, 10**7, 10**30, [], "\0")]
    + [[x, 5] for x in (0, -784, "784z", None, math.inf, 10**30)]
    + [[784, 10**6, 10**6], [784, 10**6, 10**6, 10]]
)
NO_ACTIVATION = (
    NO_CHOICE | st.none() | st.sampled_from([["relu"], ["relu"] * 3, ["relu", "z"], ["relu", None]])
)
NO_LIMIT = NO_NUMBERS | st.sampled_from([0, -1, 1.5, 99.5, -0.5])
NO_TRAINER = {
    **dict.fromkeys(["inference_mode", "detect_anomaly", "sync_batchnorm"], NO_BOOL),
    **dict.fromkeys(["enable_progress_bar", "benchmark", "enable_checkpointing"], NO_BOOL),
    **dict.fromkeys([f"limit_{part}_batches" for part in ("train", "val", "test")], NO_LIMIT),
    **dict.fromkeys(["accumulate_grad_batches", "check_val_every_n_epoch"], wrong_integers(1)),
    **dict.fromkeys(["log_every_n_steps", "reload_dataloaders_every_n_epochs"], wrong_integers(0)),
    **dict.fromkeys(["max_epochs", "max_steps"], NO_NUMBERS | st.integers(0, 10**30)),
    **dict.fromkeys(["accelerator", "strategy"], NO_CHOICE),
    "deterministic": NO_BOOL,
    "barebones": NO_BOOL | st.just(True),
    "limit_predict_batches": NO_LIMIT,
    "num_sanity_val_steps": wrong_integers(-1),
    "gradient_clip_val": wrong_numbers(0.0),
    "gradient_clip_algorithm": NO_CHOICE.filter(lambda x: x != ""),
    "num_nodes": wrong_integers(1, 4096),
    "devices": st.sampled_from(
        [0, -2, [], [-1], "z", "1.5", {}, [0.5], ["z"], 10**6, 10**30, None]
    ),
    "precision": NO_CHOICE | st.sampled_from(["bf16-true", "64-true", 8, 64]),
    "fast_dev_run": NO_NUMBERS | st.integers(-9, -1),
    "max_time": st.sampled_from(["zzz", "1:2", [], {"zzz": 1}, {"days": "z"}, math.nan, "00:00"]),
    "profiler": st.sampled_from(["zzz", "", [], {}, -1]),
    "overfit_batches": st.sampled_from([1, 0.5, -1, "z", math.nan, math.inf, []]),
    "val_check_interval": st.sampled_from([2, 0.5, -1, math.nan, [], {"zzz": 1}]),
    "default_root_dir": st.sampled_from(["s3://a/b", "memory://a", "a\0b"]),
    "callbacks": st.sampled_from(
        ["zzz", "text", "folder", 5, ["zzz"], [5], "os.system", "EarlyStopping", True]
        + [{"class_path": "EarlyStopping"}, {"class_path": "zzz"}, {"class_path": []}]
        + [[{"class_path": "EarlyStopping", "init_args": x}] for x in ({"monitr": "z"}, 5, [])]
        + [[{"class_path": "EarlyStopping", "init_args": {"monitor": "z", "mode": "sideways"}}]]
        + [[{"class_path": "ModelCheckpoint", "init_args": {"save_top_k": -7}}]]
    ),
    "logger": st.sampled_from(
        ["zzz", "text", "folder", 5, {"class_path": "zzz"}, ["zzz"], "TensorBoardLogger", math.nan]
    ),
    "plugins": st.sampled_from(["zzz", 5, ["zzz"], {"class_path": "zzz"}, "folder"]),
}
EARLY: dict[str, st.SearchStrategy[Any]] = {
    "model": NO_GROUP,
    "model.sizes": NO_SIZES,
    "model.activation": NO_ACTIVATION,
    "model.linear_code": NO_BOOL | st.none(),
    "model.tied": NO_BOOL | st.none(),
    "model.output": NO_CHOICE,
    "model.loss": NO_CHOICE,
    "pretrain": NO_GROUP,
    **{f"pretrain.{key}": wrong for key, wrong in RECIPE.items()},
    "pretrain.stages": NO_STAGES,
    "finetune": NO_GROUP,
    **{f"finetune.{key}": wrong for key, wrong in RECIPE.items()},
    "data": NO_CLASS,
    "data.class_path": NO_CLASS.filter(lambda x: x not in ("text", "folder", "nowhere.yaml")),
    "data.init_args.batch_size": wrong_integers(1) | st.none(),
    "data.init_args.val_size": wrong_integers(1) | st.none(),
    "data.init_args.split_seed": wrong_integers(0) | st.none(),
    "trainer": NO_GROUP,
    **{f"trainer.{key}": wrong for key, wrong in NO_TRAINER.items()},
    "pictures_every": wrong_integers(-1) | st.none(),
    "seed_everything": wrong_integers(0, 2**32 - 1) | st.sampled_from([None, False]),
}
# What only fit looks at, when the data are there.
LATE: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(
        ["", ".", "..", "a/b", "/", "a\0b", "a\nb", "\x1b[31m", "\ud800", "n" * 300, "🦊" * 90]
    ),
    "model.sizes": st.sampled_from([[100, 9], [783, 9], [785, 9], [1, 1], [10, 784]]),
    "data.init_args.val_size": st.integers(1437, LARGEST),
    "trainer.default_root_dir": st.sampled_from(["text", "text/b", "z" * 300, "/dev/null/zzz"]),
}


# How a wrong value gets in


def put(config: dict[str, Any], group: str, values: dict[Any, Any]) -> dict[str, Any]:
    """The config with values replaced."""
    config = copy.deepcopy(config)
    if group.startswith("data"):
        config["data"] = {"class_path": "DigitsDataModule"}
    inner = config
    for each in filter(None, group.split(".")):
        inner = inner.setdefault(each, {})
    inner.update(values)
    return config


def as_word(value: Any) -> str:
    """A value as it is typed on the command line."""
    if isinstance(value, str):
        return value
    text = yaml.safe_dump(value, default_flow_style=True, width=math.inf)
    return text.removesuffix("...\n").strip()


def as_file(config: Any) -> bytes:
    return yaml.safe_dump(config, width=math.inf, sort_keys=False).encode()


@st.composite
def wrong_values(draw: Any) -> Case:
    late = draw(st.integers(0, 9)) == 0
    table = LATE if late else EARLY
    key = draw(st.sampled_from(sorted(table)))
    value = draw(table[key])
    verb = "fit" if late else draw(st.sampled_from(VERBS))
    keys = (key, key.replace(".init_args", ""))
    # A text with a control character or half of one is no YAML at all.
    if draw(st.booleans()):
        group, _, name = key.rpartition(".")
        return Case(verb, as_file(put(BASE, group, {name: value})), (), (*keys, "config"))
    word = f"--{key}={as_word(value)}"
    twice = (word,) if draw(st.booleans()) else ()
    return Case(verb, as_file(BASE), (*twice, word), keys)


@st.composite
def wrong_names(draw: Any) -> Case:
    group = draw(
        st.sampled_from(["", "model", "pretrain", "finetune", "data.init_args", "trainer"])
    )
    name = draw(
        st.sampled_from(["zzz", "siz", "z🦊", "z\u202e", "Sizes", "z" * 300, "help_me", "épochs"])
        | st.sampled_from(["", " ", ".", "..", "model.", ".a", "a b", 1, -1.5, True, False])
    )
    key = f"{group}.{name}".lstrip(".")
    # Not {}: a group that does not exist and is empty says nothing.
    config = as_file(put(BASE, group, {name: draw(st.sampled_from([1, "a", None, []]))}))
    keys = (key, key.replace(".init_args", ""), str(name), group.partition(".")[0], "config")
    return Case(draw(st.sampled_from(VERBS)), config, (), keys)


BROKEN = [
    "\tmodel: 5", "model: [", "a: &a [*a]", "model: &m\n  sizes: *m", "&m\nmodel: *m", "x: *none",
    "model: !!python/object:os.system x", "model: !!python/object/apply:os.system [ls]",
    "model: !mine x", "model: !!int zzz", "name: !!binary x", "name: a\nname: b", "- a", "text",
    "5", ".nan", "null", "", "# a comment", "%YAML 3.0\n---\na: 1", "? [a, b]\n: 1", "{{a: 1}: 2}",
    "a: b: c", "'unclosed", 'name: "\\q"', 'name: "\\0"', 'name: "\\ud800"', 'name: "\\U00110000"',
    "[" * 5000, "{a: " * 500, "[" * 60 + "]" * 60, "---\na: 1\n---\nb: 2\n", "<<: 5",
    "pictures_every: 0x_", "pictures_every: " + "9" * 5000, "@a: 1", "`a`: 1", "a\n b: 1", "\0",
    "a: &x [1,1,1,1,1,1,1,1,1,1]\nb: &y [*x,*x,*x,*x,*x,*x,*x,*x,*x,*x]\n"
    "c: &z [*y,*y,*y,*y,*y,*y,*y,*y,*y,*y]\nd: &w [*z,*z,*z,*z,*z,*z,*z,*z,*z,*z]\n"
    "e: &v [*w,*w,*w,*w,*w,*w,*w,*w,*w,*w]\nf: [*v,*v,*v,*v,*v,*v,*v,*v,*v,*v]\n",
]  # fmt: skip
AFTER_THE_BASE = [
    "model: {sizes: [784, 4]}\n", "'model': {}\n", '"data": DigitsDataModule\n', "---\na: 1\n",
    "seed_everything: 1\n", "\tname: a\n", "name: 'a\n", "name: [a\n", "... a",
    "name: &a [*a]\n", "name: *a\n", "name: @a\n", "name: a: b\n", "<<: 5\n", "- a\n", " a: 1\n",
]  # fmt: skip


@st.composite
def broken_yaml(draw: Any) -> Case:
    base = BASE_TEXT.encode()
    flow = yaml.safe_dump(BASE, default_flow_style=True, width=math.inf).strip()
    content = draw(
        st.sampled_from([text.encode() for text in BROKEN])
        | st.sampled_from([base + text.encode() for text in AFTER_THE_BASE])
        | st.integers(1, len(flow) - 1).map(lambda n: flow[:n].encode())
        | st.sampled_from(["utf-16", "utf-32", "utf-16-be", "cp037"]).map(BASE_TEXT.encode)
        | st.binary(max_size=200).map(lambda noise: base + b"\xff" + noise)
        | st.binary(max_size=200).map(lambda noise: b"\x00" + noise)
    )
    verb = draw(st.sampled_from(VERBS))
    group = draw(st.sampled_from(["", "", "model", "pretrain", "data", "trainer"]))
    if not group:
        return Case(verb, content, (), ("config",))
    # The same as a file of one group: there an empty one or a text is as wrong.
    return Case(verb, content, ("--config=base.yaml", f"--{group}=bad.yaml"), (group, "config"))


PATHS = [
    *("folder", "nowhere.yaml", "", "/", ".", "/dev/null", "z" * 5000, "\0", "[]", "5", "null"),
    *("http://127.0.0.1:9/a.yaml", "memory://a", "s3://a/b", "~/nowhere", "a: 1: 2", "text"),
    *("text/a", "🦊", "\ud800"),
]
WORDS = [
    *[((f"{option}{path}",), "config", "c") for option in ("--config=", "-c=") for path in PATHS],
    *[((f"--ckpt_path={path}",), "ckpt_path") for path in [*PATHS, "{}", "bad.yaml"]],
    *[((f"--{key}zzz=1",), key) for key in ("", "model.", "finetune.", "data.", "trainer.")],
    *[((word,), "") for word in ("--", "-", "--=5", "")],
    *[((word,), word.strip("-")) for word in ("extra", "-x", "fit", "🦊", "--finetune.epochs")],
    (("--model.=5",), "model."), (("--finetune.epochs", "1", "2"), "2"),
    (("--model.sizes", "[784,", "9]"), "model"), (("--print_config=zzz",), "print_config"),
    (("--epochs=5",), "epochs"), (("--pretrain.stages.1.lr", "0.1"), "pretrain.stages"),
    (("--pretrain.stages.0", "{}"), "pretrain.stages"), (("\0",), "command"),
    (("--model.sizes.0=784",), "model.sizes"), (("--finetune.lr.x=1",), "finetune.lr"),
    (("--config",), "config"), (("--trainer.callbacks.zzz=1",), "trainer.callbacks"),
    (("--data.batch_siz=3",), "data.batch_siz"), (("--data=",), "data"),
]  # fmt: skip
wrong_words = st.builds(
    lambda verb, made: Case(verb, as_file(BASE), made[0], made[1:]),
    st.sampled_from(VERBS),
    st.sampled_from(WORDS),
)
wrong_verbs = st.sampled_from(
    ["fly", "FIT", "", "-", "🦊", "fit ", "\u202efit", "5", "z" * 300]
).map(lambda verb: Case(verb, as_file(BASE), (), ("command",)))
missing = st.builds(
    lambda verb, given: Case(verb, as_file(BASE | dict([given])), (), (given[0],)),
    st.sampled_from(VERBS),
    # Not a model of {}: its sizes may be left to the data.
    st.sampled_from([("model", None), ("model", ""), ("data", None), ("data", {}), ("data", "")]),
)
# Those with most to go wrong more often.
CASES = st.one_of(
    *[wrong_values()] * 4, *[broken_yaml()] * 2, wrong_names(), wrong_words, wrong_verbs, missing
)


# The test


def run(case: Case) -> tuple[Any, str, str]:
    """Exit code, stdout and stderr of the command."""
    Path("bad.yaml").write_bytes(case.config)
    Path("base.yaml").write_bytes(as_file(BASE))
    Path("text").write_text("nothing of use")
    Path("folder").mkdir()
    words = [case.verb, "--config=bad.yaml", *case.words]
    if any(word.startswith("--config=base") for word in case.words):
        words.remove("--config=bad.yaml")
    # A wrong option is found before the lack of a checkpoint.
    if case.verb not in ("fit", "") and not any("ckpt_path" in word for word in words):
        words.insert(1, "--ckpt_path=nowhere.ckpt")
    out, err = io.StringIO(), io.StringIO()
    valid = AssertionError("this input is valid")
    with (
        patch.object(Experiment, "start", side_effect=valid),
        patch.object(mnist, "_reachable", return_value=False),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main(words)
        except SystemExit as end:
            return end.code, out.getvalue(), err.getvalue()
    raise valid


def names(sentence: str, key: str) -> bool:
    """Whether a sentence is about a key: the key itself, a part of its value, or its group."""
    head = sentence.removeprefix("error: ").split(": expected ")[0].replace(" (stage 1)", "")
    head = head.replace(" (stage 2)", "").strip("'\"").split("…")[0]
    key = repr(key)[1:-1]  # as it is shown
    return head.startswith(key) or key.startswith(head)


def check(case: Case) -> None:
    note(str(case)[:3000])
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        code, out, err = run(case)
        begun = Path("lightning_logs").exists()
    assert time.perf_counter() - start < SECONDS
    note(err)
    assert code == 2
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1
    sentence = lines[0]
    assert len(sentence) < 1500
    assert sentence.isprintable()
    assert sentence.startswith("error: ")
    assert ": expected " in sentence
    assert ", found " in sentence
    assert "; " in sentence.split(", found ")[1], "what to do"
    assert any(names(sentence, key) for key in case.keys), case.keys
    assert not begun


COMMON = {
    "database": None,  # no folder in the repository
    "deadline": timedelta(seconds=SECONDS),
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
}


@settings(max_examples=40, derandomize=True, **COMMON)
@given(CASES)
def test_made_up_mistakes_end_in_one_sentence(case):
    check(case)


@pytest.mark.long
def test_many_made_up_mistakes_end_in_one_sentence(capsys):
    n_cases = 0

    @settings(max_examples=400, **COMMON)
    @given(CASES)
    def check_all(case: Case) -> None:
        nonlocal n_cases
        n_cases += 1
        check(case)

    start = time.perf_counter()
    check_all()
    with capsys.disabled():
        print(f"\n{n_cases} cases of bad input in {time.perf_counter() - start:.0f} s")
