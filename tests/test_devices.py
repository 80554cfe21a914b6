"""Everything works on a device that is not the CPU, and gives what the CPU gives."""

from __future__ import annotations

import shlex
import shutil
from collections import Counter
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pretend
import pytest
import torch
from helpers import ROOT, clone_state, same_state, verb
from killing import at_call, differences, outcome
from lightning import Trainer
from torch.optim import Adam

from sae.cli.command import main
from sae.data import DigitsDataModule, TensorLoader
from sae.data.rows import EncodedRows
from sae.nets.dense import Dense
from sae.run.checkpoint_io import WholeFileIO
from sae.terms.corruption import Corruption
from sae.terms.sparsity import Sparsity
from sae.training import optim
from sae.training.handover import CodesInMemory, CodesNotKept
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder

there = pytest.mark.skipif(bool(pretend.MISSING), reason=pretend.MISSING or "there is one")

DATA = ["--data", "DigitsDataModule", "--data.batch_size", "256"]
EPOCHS = ["--pretrain.epochs", "2", "--finetune.epochs", "2"]
FOLDER = Path("lightning_logs/digits/version_0")
NOISE = "{kind: gaussian, level: 0.2}"
# Together they have all that a config can ask for, and the first three all pictures. Of silu torch
# knows the gradient in one go on real devices alone, so visualize.yaml takes tanh here.
CASES = {
    "denoising": "--projector true --model.sizes [784,16,8,4] --pretrain.patience 1 "
    "--pictures_every 1",
    "visualize": "--pretrain.cache none --model.sizes [784,12,8,4,2] --pretrain.schedule constant "
    "--model.activation tanh",
    "sparse": "--pretrain.cache disk --model.sizes [784,12,6] --model.loss bce --model.tied true "
    f"--trainer.gradient_clip_val 1 --pretrain.corruption '{NOISE}'",
    "digits": "--pictures_every -1 --pretrain.optimizer sgd --pretrain.lr 0.001",
    "reconstruct": "--pictures_every -1 --finetune.optimizer adamw --pretrain.cache disk",
    "stacked": "--pictures_every -1 --pretrain.cache none --finetune.patience 1",
}


def alike(parameters, lr: float, weight_decay: float, fused: bool) -> Adam:
    """Adam by the same operations on both devices: torch chooses them by the device."""
    return Adam(parameters, lr, weight_decay=weight_decay, foreach=True)


def train(config: str, *args: str) -> Path:
    optim.Adam = optim.AdamW = alike
    words = ["fit", "--config", str(ROOT / "configs" / f"{config}.yaml"), *DATA, *EPOCHS]
    if "--model.sizes" not in args:
        words += ["--model.sizes", "[784, 12, 4]"]
    main([*words, *args])
    return sorted(Path("lightning_logs").glob("*/version_*"))[-1]


def without_config(folder: Path) -> dict:
    """All that is to be equal on both devices."""
    found = outcome(folder)
    del found["config"]
    return found


# On the device


def both(config: str, *args: str) -> tuple[list[str], list[pretend.Event]]:
    """Train on the device and on the CPU: what differs, and the events on the device."""
    with pretend.steps_noted() as events:
        ours = without_config(train(config, *args, *pretend.TRAINER))
        events = list(events)
    return differences(ours, without_config(train(config, *args))), events


def check_waits(events: list[pretend.Event]) -> None:
    """No step waits for the device, but for the means at the end of an epoch."""
    waits = {event.where[0] for event in events if event.step and event.kind != "to the device"}
    means = {
        "module.py:_log_means",
        "module.py:_log",
        "module.py:<dictcomp>",
    }
    assert waits <= means


def check_copies(events: list[pretend.Event], epochs: int) -> None:
    """Where the samples lie there, no step copies: an epoch has its order copied, once."""
    copies = Counter(e.where[0] for e in events if e.step and e.kind == "to the device")
    assert copies == {"loader.py:_batches": epochs}
    of_validation = [e for e in events if "module.py:validation_step" in e.where]
    assert not of_validation, "the images of stages above the first lie there, too"


@there
@pytest.mark.parametrize("config", CASES)
def test_a_run_on_a_device_is_that_of_the_cpu(config, tmp_path):
    differ, events = pretend.run(both, tmp_path, config, *shlex.split(CASES[config]))
    assert differ == []
    check_waits(events)
    if config in ("denoising", "digits"):
        check_copies(events, epochs=8 if config == "denoising" else 6)


def break_off(at_checkpoint: int) -> None:
    at_call(WholeFileIO, "save_checkpoint", at_checkpoint)()
    train("digits", *pretend.TRAINER)


def go_on(*folders: Path) -> list[list[str]]:
    """Go on with broken runs; how each differs from one that was not."""
    whole = without_config(train("digits", *pretend.TRAINER))
    found = []
    for folder in folders:
        shutil.copytree(folder / FOLDER, folder.name)
        main(["fit", "--resume", folder.name])
        found.append(differences(whole, without_config(Path(folder.name))))
    return found


@there
def test_a_run_killed_on_a_device_goes_on_as_if_it_had_not_been(tmp_path):
    broken = []
    for phase, checkpoint in (("stage2", 7), ("finetune", 11)):
        with pytest.raises(BrokenProcessPool):
            pretend.run(break_off, tmp_path / phase, checkpoint)
        assert (tmp_path / phase / FOLDER / phase / "checkpoints" / "last.ckpt").exists()
        broken.append(tmp_path / phase)
    assert pretend.run(go_on, tmp_path / "on", *broken) == [[], []]


def with_verbs() -> dict[str, list[str]]:
    """What each verb prints on the device and on the CPU, and the codes of both."""
    folder, said = train("digits", "--pictures_every", "-1", *pretend.TRAINER), {}
    for name in ("validate", "test", "predict"):
        said[name] = []
        for accelerator in (pretend.NAME, "cpu"):
            with redirect_stdout(StringIO()) as out:
                strategy = pretend.NAME if accelerator == pretend.NAME else "auto"
                words = ["--trainer.accelerator", accelerator, "--trainer.strategy", strategy]
                verb(name, folder, *words)
            lines = [line for line in out.getvalue().splitlines() if not line.startswith("codes:")]
            said[name].append("\n".join(lines))
    tables = sorted(Path("lightning_logs").glob("digits/predict/*/codes.csv"))
    said["codes"] = [table.read_text() for table in tables]
    return said


@there
def test_verbs_on_a_device_say_what_they_say_on_the_cpu(tmp_path):
    said = pretend.run(with_verbs, tmp_path)
    assert [len(words) for words in said.values()] == [2] * 4
    for on_device, on_cpu in said.values():
        assert on_device == on_cpu
        assert len(on_cpu) > 50


RECIPES = [
    Recipe(epochs=2, corruption=Corruption("masking", 0.3)),
    Recipe(epochs=2, sparsity=Sparsity()),
    Recipe(epochs=1, patience=1),
]


def whereabouts(model) -> set[str]:
    return {parameter.device.type for parameter in model.parameters()}


def from_python(memory: int) -> list[str]:
    """Two fits of one model on the device, and one on the CPU; what is wrong with them."""
    optim.Adam = alike
    torch.get_device_module(pretend.NAME).memory = memory
    data = DigitsDataModule(batch_size=256)
    data.setup()
    wrong, looked, states = [], [], []
    model = StackedAutoencoder([784, 12, 8, 4])

    class Looked(Trainer):
        """Looks where the weights are, whenever the Trainer is asked to fit."""

        def fit(self, module, *args, **kwargs) -> None:
            looked.append(whereabouts(model))
            super().fit(module, *args, **kwargs)
            looked.append(whereabouts(model))

    for where, codes in (
        (pretend.NAME, CodesInMemory()),
        (pretend.NAME, CodesNotKept()),
        ("cpu", None),
    ):
        on = {} if where == "cpu" else {"strategy": pretend.NAME}

        def trainer(phase, module, where=where, on=on) -> Trainer:
            return Looked(
                accelerator=where,
                max_epochs=phase.recipe.epochs,
                logger=False,
                enable_checkpointing=False,
                enable_model_summary=False,
                enable_progress_bar=False,
                num_sanity_val_steps=0,
                **on,
            )

        pretrainer = GreedyPretrainer(RECIPES, Recipe(epochs=2), trainer, seed=3, codes=codes)
        pretrainer.fit(model, data.train_dataloader(), data.val_dataloader())
        if model.device.type != "cpu" or whereabouts(model) != {"cpu"}:
            wrong.append(f"after a fit on {where} the model is on {model.device}")
        states.append(clone_state(model))
        model.to(where)  # wherever a user leaves it, the next fit begins anew
    wrong += [f"{place}" for place in looked if place != {"cpu"}]
    wrong += [f"fit {k} differs" for k in (0, 1) if not same_state(states[k], states[2])]
    return wrong


@there
@pytest.mark.parametrize("memory", [2**30, 0])
def test_fits_from_python_on_a_device_leave_nothing_there(memory, tmp_path):
    """With no memory left for the samples each batch is sent."""
    assert pretend.run(from_python, tmp_path, memory) == []


def surveyed() -> list[bool]:
    """Whether figures of codes that are computed on the device are those of the CPU."""
    x, layer = torch.rand(300, 12), Dense(12, 3)
    here, on_device = (TensorLoader(EncodedRows(x, layer, d)) for d in ("cpu", pretend.NAME))
    ours, theirs = here.survey(), on_device.survey()
    whole = (torch.cat([part.cpu() for part in loader.whole()]) for loader in (here, on_device))
    found = [torch.equal(*whole), torch.equal(ours.mean, theirs.mean)]
    return [
        *found,
        (ours.low, ours.high) == (theirs.low, theirs.high),
        whereabouts(layer) == {"cpu"},
    ]


@there
def test_codes_that_are_not_kept_leave_their_layer_where_it_was(tmp_path):
    assert pretend.run(surveyed, tmp_path) == [True] * 4


def refusals() -> list[str]:
    """What the device refuses, so that the tests above show something."""
    x, y = torch.ones(2, device=pretend.NAME), torch.ones(2)
    pretend.events.clear()
    tries = {
        "add": lambda: x + y,
        "select": lambda: x.index_select(0, torch.tensor([0])),
        "noise": lambda: torch.rand(2, device=pretend.NAME, generator=torch.Generator()),
        "other noise": lambda: torch.rand(2, generator=torch.Generator(pretend.NAME)),
        "numpy": x.numpy,
    }
    refused = []
    for name, attempt in tries.items():
        try:
            attempt()
        except (RuntimeError, TypeError):
            refused.append(name)
    assert not pretend.events
    x += 1
    x.sum().item(), x.cpu(), y.copy_(x), x.copy_(y), y.to(pretend.NAME), x[x > 0]
    assert y.tolist() == [2, 2]
    return refused + [event.kind for event in pretend.events]


@there
def test_the_device_refuses_what_a_gpu_refuses_and_notes_what_waits(tmp_path):
    refused = ["add", "select", "noise", "numpy"]
    noted = ["wait", "from the device", "from the device", "to the device", "to the device", "wait"]
    assert pretend.run(refusals, tmp_path) == refused + noted
