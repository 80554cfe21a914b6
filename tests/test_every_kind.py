"""Contract 9: what holds of every kind. They are found by listing the rooms: a new one is here.

Each kind is part of one small experiment, run by the command line: the layers, penalties,
objectives and augmentations that there are. A kind needs no word of its own here; it must do with
its defaults, and where a number must be given (units, channels, k) with a small one.
"""

from __future__ import annotations

import csv
import inspect
import signal
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers import read
from killing import at_call, run
from lightning import Trainer
from pairs import run_pair
from plugins.source import Blobs

from sae import kinds
from sae.augment.augmentation import Augmentation
from sae.errors import InputError
from sae.nets.build import build_stack
from sae.nets.layer import Layer
from sae.objectives.objective import Objective
from sae.run.checkpoint_io import load_checkpoint, read_weights
from sae.run.model import load_run
from sae.terms.term import Term
from sae.training.evaluate import figures_on_validation
from sae.training.module import TrainingModule
from sae.training.stacked import StackedAutoencoder

ROOMS: dict[str, type] = {
    "sae.nets": Layer,
    "sae.terms": Term,
    "sae.objectives": Objective,
    "sae.augment": Augmentation,
}
KINDS = [(room, name) for room, base in ROOMS.items() for name in kinds.names(room, base)]
# For numbers that must be given, in the order in which a kind asks for them.
NUMBERS = (12, 4, 2)
SHAPE, CLASSES = [8, 8], 4
EPOCHS, OF_HEAD = 5, 2
FIT = ["fit", "--config", "kind.yaml", "--name", "run", "--pictures_every", "-1"]
FIT += ["--trainer.logger", "false", "--trainer.accelerator", "cpu"]
FIT += ["--trainer.enable_progress_bar", "false"]
FOLDER = Path("lightning_logs/run/version_0")
# Sums over two processes round otherwise, and Adam takes as long a step where a gradient is tiny.
CLOSE = {"rtol": 1e-3, "atol": 2e-3}
HINT = (
    "If this is a penalty: is its statistic a plain mean over samples, and of_the_batch True if "
    "its value is not linear? See docs/extending.md."
)

pytestmark = pytest.mark.slow


def described(room: str, name: str) -> dict[str, Any]:
    """A kind as it stands in YAML, with a number for each option that must be given."""
    kind = kinds.find(name, room, ROOMS[room], "kind")
    needed = [
        option.name
        for option in inspect.signature(kind).parameters.values()
        if option.default is option.empty and option.name != "in_shape"
    ]
    return {"kind": name, **dict(zip(needed, NUMBERS, strict=False))}


def model_of(room: str, name: str) -> dict[str, Any]:
    """A stack of two layers with the kind, or the first one that it fits."""
    top: dict[str, Any] = {"kind": "dense", "units": 6}
    if room == "sae.nets":
        return _model([described(room, name), top])
    dense = {"kind": "dense", "units": 12}
    others = [described("sae.nets", other) for other in kinds.names("sae.nets", Layer)]
    for layer in (dense, *others):
        stacks = [[layer, top]] if room != "sae.objectives" else [[dense, top], [dense, layer]]
        for layers, loss in ((layers, loss) for layers in stacks for loss in ("mse", "bce")):
            model = _model(layers, loss)
            if room == "sae.objectives":
                model["objective"] = described(room, name)
            try:
                _fits(model, room, name)
            except InputError:
                continue
            return model
    raise AssertionError(f"no stack that {name} fits")


def _model(layers: list[dict[str, Any]], loss: str = "mse") -> dict[str, Any]:
    return {"input_shape": SHAPE, "layers": layers, "activation": "tanh", "loss": loss}


def _fits(model: dict[str, Any], room: str, name: str) -> None:
    """Raise an InputError if the kind refuses the stack."""
    made = StackedAutoencoder(**model)
    made.objective.attach(made.stack, CLASSES)
    if room == "sae.terms":
        kinds.build(described(room, name), room, Term, name).check_fits(made.stack[0])


def config_of(room: str, name: str) -> dict[str, Any]:
    """An experiment with the kind at work."""
    recipe = {"epochs": EPOCHS, "lr": 0.01}
    config: dict[str, Any] = {
        "seed_everything": 5,
        "model": model_of(room, name),
        "pretrain": dict(recipe),
        "finetune": dict(recipe),
        "data": {"class_path": "plugins.source.Blobs", "init_args": {"batch_size": 16}},
    }
    if room == "sae.terms":
        config["pretrain"]["stages"] = [{"terms": [described(room, name)]}, {}]
    elif room == "sae.augment":
        config["pretrain"]["stages"] = [{"augment": described(room, name)}, {}]
        config["finetune"]["augment"] = described(room, name)
    elif room == "sae.objectives":
        made = StackedAutoencoder(**config["model"])
        made.objective.attach(made.stack, CLASSES)
        if list(made.objective.parameters()):
            config["head"] = {**recipe, "epochs": OF_HEAD}
    return config


class Runs:
    """The runs of one kind, each run when it is first asked for."""

    def __init__(self, room: str, name: str, where: Path) -> None:
        self.where, self.config = where, config_of(room, name)
        self.epochs = 3 * EPOCHS + (OF_HEAD if "head" in self.config else 0)

    def folder(self, name: str) -> Path:
        """A folder with the config."""
        folder = self.where / name
        folder.mkdir()
        (folder / "kind.yaml").write_text(yaml.safe_dump(self.config))
        return folder

    @cached_property
    def trained(self) -> Path:
        folder = self.folder("trained")
        assert run(FIT, folder) == 0, (folder / "err.txt").read_text()
        return folder / FOLDER

    @cached_property
    def untrained(self) -> Path:
        none = [word for group in ("pretrain", "head", "finetune") for word in _none(group)]
        folder = self.folder("untrained")
        assert run([*FIT, *none], folder) == 0, (folder / "err.txt").read_text()
        return folder / FOLDER

    def model(self, weights: Path) -> StackedAutoencoder:
        """The stack with what a run has left, as safetensors."""
        model = StackedAutoencoder(**self.config["model"])
        model.objective.attach(model.stack, CLASSES)
        tensors = read_weights(weights / "finetune" / "weights.safetensors")
        whole = any(name.startswith("net.") for name in tensors)
        (model if whole else model.net).load_state_dict(tensors, strict=not whole)
        return model.eval()


def _none(group: str) -> list[str]:
    return [f"--{group}.epochs", "0"]


def images() -> Blobs:
    data = Blobs()
    data.setup()
    return data


@pytest.fixture(scope="module", params=KINDS, ids=[f"{room}.{name}" for room, name in KINDS])
def runs(request, tmp_path_factory) -> Runs:
    return Runs(*request.param, tmp_path_factory.mktemp("kind"))


def test_all_parameters_change_in_training(runs):
    before, after = (
        read_weights(folder / "finetune" / "weights.safetensors")
        for folder in (runs.untrained, runs.trained)
    )
    assert before.keys() == after.keys()
    names = [name for name, _ in runs.model(runs.trained).named_parameters()]
    of_file = [name if name in before else name.removeprefix("net.") for name in names]
    assert of_file
    assert [name for name in of_file if torch.equal(before[name], after[name])] == []


def test_a_finished_run_works_on_new_samples(runs):
    """In the units of the data: it gives what the network gives of prepared samples."""
    x, model, found = images().test.x, runs.model(runs.trained), load_run(runs.trained)
    with torch.no_grad():
        codes = model.encode(x / 255)
        torch.testing.assert_close(found.encode(x), codes, rtol=1e-4, atol=1e-5)
        if not model.objective.reconstructs:
            assert set(found.predict(x)) <= set(images().class_names)
            return
        rebuilt = model.decode(codes)
        torch.testing.assert_close(found.reconstruct(x), 255 * rebuilt, rtol=1e-4, atol=1e-2)
        sse = (rebuilt - x / 255).square().sum(dim=1)
        torch.testing.assert_close(found.score(x), sse, rtol=1e-3, atol=1e-4)
    assert 0 < found.threshold() < float("inf")


def test_the_trained_beats_the_untrained(runs):
    """By each figure that says which way is better: of those that the objective declares."""
    before, after = (
        read(folder, "summary.json")["val"] for folder in (runs.untrained, runs.trained)
    )
    figures = runs.model(runs.trained).objective.figures()
    judged = [name for name, figure in figures.items() if figure.better and name in after]
    assert judged
    for name in judged:
        gain = before[name] - after[name]
        assert (gain if figures[name].better == "lower" else -gain) > 0, name


def test_the_code_is_not_constant(runs):
    x = next(iter(images().val_dataloader().whole()))
    with torch.no_grad():
        code = runs.model(runs.trained).encode(x)
    assert torch.isfinite(code).all()
    assert (code.std(dim=0) > 0.01).any()
    assert (code[0] - code[1]).abs().max() > 0.01


def test_saved_and_loaded_it_gives_the_same(runs):
    """The checkpoint and the safetensors, and the figures that the run itself has printed."""
    read_back = runs.model(runs.trained)
    checkpoint = str(runs.trained / "finetune" / "checkpoints" / "best.ckpt")
    loaded = StackedAutoencoder(**runs.config["model"])
    loaded.objective.attach(loaded.stack, CLASSES)
    loaded.seed = runs.config["seed_everything"]  # figures of what is drawn are of the same draws
    load_checkpoint(checkpoint, loaded)
    x = next(iter(images().val_dataloader().whole()))
    trainer = Trainer(logger=False, enable_progress_bar=False, accelerator="cpu")
    figures = figures_on_validation(trainer, loaded, images(), checkpoint)
    with torch.no_grad():
        assert torch.equal(loaded.eval().encode(x), read_back.encode(x))
        assert torch.equal(loaded(x), read_back(x))
    found = {name: each.value for name, each in figures.items()}
    assert found == pytest.approx(read(runs.trained, "summary.json")["val"], rel=1e-5)


def test_it_resumes_exactly(runs):
    """Killed in the first stage, and again in the last epoch, when it goes on."""
    folder = runs.folder("broken")
    again = [*FIT, "--resume", "auto"]
    begin = "on_train_epoch_start"
    # The third epoch has begun, two are done; of those that are left it dies in the last.
    assert run(FIT, folder, at_call(TrainingModule, begin, 3)) == -signal.SIGKILL
    last = runs.epochs - 2
    assert run(again, folder, at_call(TrainingModule, begin, last)) == -signal.SIGKILL
    assert run(again, folder) == 0, (folder / "err.txt").read_text()
    found = folder / FOLDER
    for name in sorted(path.parent.name for path in runs.trained.glob("*/weights.safetensors")):
        wanted, got = (
            read_weights(each / name / "weights.safetensors") for each in (runs.trained, found)
        )
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)
    assert _rows(found) == _rows(runs.trained)
    assert read(found, "summary.json")["test"] == read(runs.trained, "summary.json")["test"]


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_it_runs_on_two_processes(runs):
    folder = runs.folder("pair")
    assert run_pair(FIT, folder) == [0, 0], (folder / "err.txt").read_text()
    for name in sorted(path.parent.name for path in runs.trained.glob("*/weights.safetensors")):
        one, two = (
            read_weights(each / name / "weights.safetensors")
            for each in (runs.trained, folder / FOLDER)
        )
        torch.testing.assert_close(two, one, **CLOSE, msg=lambda text: f"{text}\n{HINT}")


def test_the_rooms_are_listed():
    """Else nothing above would be asked of them."""
    ours = {"sae.nets": "topk", "sae.terms": "contractive", "sae.objectives": "reconstruct"}
    assert set(ours.items()) <= set(KINDS)
    (layer,) = build_stack(input_shape=SHAPE, layers=[described("sae.nets", "topk")])
    assert (layer.n_code, layer.k) == (12, 4)
