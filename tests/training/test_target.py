"""A stage whose error is counted in pixels, through the frozen decoders below it."""

from __future__ import annotations

import pytest
import torch
from helpers import clone_state, fit, loader, read, same_state, tiny_model
from lightning import Callback

from sae.batch import Batch
from sae.data.loader import TensorLoader
from sae.errors import InputError
from sae.nets.reconstruction_loss import cross_entropy, squared_error
from sae.training.plan import Phase
from sae.training.pretrain import GreedyPretrainer, plain_trainer
from sae.training.recipe import Recipe, recipe
from sae.training.stage import Stage

PIXELS = Recipe(epochs=2, lr=0.05, target="pixels")


class Watch(Callback):
    """What each phase's first step was given, and the weights it began with."""

    def __init__(self) -> None:
        self.batches: dict[str, tuple[torch.Tensor, ...]] = {}
        self.losses: dict[str, float] = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.batches.setdefault(pl_module.phase, batch)
        self.losses.setdefault(pl_module.phase, outputs["loss"].item())


def run(stage: Recipe, finetune: Recipe | None = None, codes=None, watch=None, **network):
    model = tiny_model(**({"sizes": [12, 6, 3]} | network))
    data = loader(n=24, shuffle=True)
    data.y = torch.arange(24)

    def make_trainer(phase, module):
        trainer = plain_trainer(phase, module)
        if watch is not None:
            trainer.callbacks.append(watch)
        return trainer

    pretrainer = GreedyPretrainer(
        [stage] * 2, finetune or Recipe(epochs=0), make_trainer, codes=codes
    )
    return model, pretrainer.fit(model, data, loader()), data


def test_the_batches_hold_the_images_of_their_codes():
    watch = Watch()
    model, _, data = run(PIXELS, watch=watch)
    codes, labels, _, images = watch.batches["stage2"]
    assert torch.equal(images, data.x[labels])
    assert torch.allclose(codes, model.stack[0].encode(images), atol=1e-6)
    assert watch.batches["stage1"].images is None  # its inputs are the images


@pytest.mark.parametrize(
    ("network", "loss"),
    [({}, squared_error), ({"loss": "bce"}, cross_entropy), ({"tied": True}, squared_error)],
    ids=["mse", "bce", "tied"],
)
def test_the_loss_is_that_of_the_images_by_hand(network, loss):
    model = tiny_model(**network)
    stage, x = Stage(model.stack, 1, PIXELS), loader().x
    h = model.stack[0].encode(x)
    batch = Batch(h, images=x)
    value = stage.training_loss(batch, 0)
    logits = model.stack.decode_logits(model.stack.encode(x))
    by_hand = loss(logits if loss is cross_entropy else torch.sigmoid(logits), x)
    assert value.item() == pytest.approx(by_hand.item(), rel=1e-5)
    value.backward()
    assert all(p.grad is None for p in stage.below.parameters())
    assert all(p.grad is not None for p in stage.net.parameters())
    assert stage.loss_unit == ("nats" if loss is cross_entropy else "SSE") + " per image"


def test_it_leaves_less_error_in_pixels():
    """Where a code is too narrow for all that the code below it says."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(512, 6, generator=generator) * torch.tensor([3, 2, 0.5, 0.5, 0.5, 0.5])
    x = torch.sigmoid(hidden @ torch.randn(6, 12, generator=generator) / 2)
    left = {}
    for target in ("input", "pixels"):
        model = tiny_model(sizes=[12, 20, 1], activation="tanh", linear_code=True)
        data = TensorLoader(x, None, 64, shuffle=True)
        stage = Recipe(epochs=15, lr=0.02, target=target)
        GreedyPretrainer([stage] * 2, Recipe(epochs=0)).fit(model, data, data)
        with torch.no_grad():
            left[target] = squared_error(model(x), x).item()
    assert left["pixels"] < 0.95 * left["input"]


def test_loss_figures_and_health_are_in_pixels():
    model, (_, stage2), _ = run(PIXELS)
    x = loader().x
    with torch.no_grad():
        error = squared_error(model(x), x)
    assert stage2.loss == pytest.approx(error.item(), rel=1e-5)
    ratio = error * len(x) / (x - x.mean(dim=0)).square().sum()
    assert stage2.health["loss_ratio"] == pytest.approx(ratio.item(), rel=1e-4)


def test_on_the_first_stage_and_the_stack_both_targets_are_the_same():
    found = []
    for target in ("input", "pixels"):
        stages = [Recipe(epochs=2, target=target), Recipe(epochs=0)]
        model, data = tiny_model(), loader(n=24, shuffle=True)
        GreedyPretrainer(stages, Recipe(epochs=2, target=target)).fit(model, data, loader())
        found.append(clone_state(model))
    assert same_state(*found)


def test_a_loader_hands_on_its_images_however_it_is_made_anew():
    images = torch.randint(0, 256, (20, 12), dtype=torch.uint8)
    data = loader(n=20, features=3).beside(images).reseeded(5)
    x, _, _, shown = next(iter(data))
    assert shown.dtype == torch.float32
    assert torch.equal(shown, images[:8].float().mul(1 / 255))
    assert torch.equal(x, data.x[:8])
    assert [len(data.batch(2).x), len(data.batch(2).images)] == [4, 4]
    assert data.of(data.x).images is None


def test_a_target_that_does_not_exist_is_named():
    with pytest.raises(InputError, match="target: expected one of input, pixels, found 'image'"):
        recipe({"target": "image"})


def test_the_command_line_takes_it_with_each_cache_and_the_weights_are_the_same():
    found = []
    for cache in ("memory", "disk", "none"):
        words = ("--pretrain.target", "pixels", "--pretrain.cache", cache, "--name", cache)
        folder = fit(*words, "--pictures_every", "-1")
        found.append([entry["weights_sha256"] for entry in read(folder, "manifest.json")["phases"]])
    assert found[0] == found[1] == found[2]
    entry = read(folder, "manifest.json")["phases"][1]
    assert entry["unit"] == "SSE per image"


def test_codes_without_their_images_are_refused():
    stage = Stage(tiny_model().stack, 1, PIXELS)
    with pytest.raises(InputError, match="target: expected a loader with the images of its codes"):
        plain_trainer(Phase("stage2", "", PIXELS, 0, 2), stage).fit(stage, loader(features=6))
