from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from helpers import clone_state, corrupted, loader, same_state, tiny_model, tiny_stack
from lightning import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch.nn import functional

from sae.errors import InputError
from sae.seeding import derive_generator
from sae.terms.corruption import Corruption
from sae.terms.sparsity import Sparsity
from sae.training.callback_options import MEASURED
from sae.training.module import _Means
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder
from sae.training.stage import Stage

SALT = "salt_and_pepper"
QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def fit(module, train, epochs=2):
    trainer = Trainer(max_epochs=epochs, **QUIET)
    trainer.fit(module, train, train)
    return trainer


@pytest.mark.parametrize("mode", [True, False])
def test_encode_and_forward_never_see_noise(mode):
    """Contract 1."""
    clean = tiny_model()
    noisy = tiny_model()
    noisy.recipe = Recipe(corruption=Corruption("masking", 0.9))
    noisy.train(mode)
    x = torch.rand(4, 12)
    assert torch.equal(noisy.encode(x), clean.encode(x))
    assert torch.equal(noisy(x), clean(x))
    assert torch.equal(noisy.predict_step((x,), 0)["code"], clean.encode(x))


def test_a_training_step_corrupts_the_input_and_keeps_the_target_clean(monkeypatch):
    stage = Stage(tiny_stack(), 0, Recipe(corruption=Corruption("masking", 0.5)))
    seen = {}
    net = type(stage.net)
    encode, loss = net.encode, net.reconstruction_loss

    def watched_encode(self, x):
        seen.setdefault("input", x)
        return encode(self, x)

    def watched_loss(self, h, x):
        seen.setdefault("target", x)
        return loss(self, h, x)

    monkeypatch.setattr(net, "encode", watched_encode)
    monkeypatch.setattr(net, "reconstruction_loss", watched_loss)
    trainer = Trainer(max_steps=1, limit_val_batches=0, **QUIET)
    data = loader(n=8)
    trainer.fit(stage, data)
    assert torch.equal(seen["target"], data.x)
    masked = seen["input"] == 0
    assert 0.2 < masked.float().mean() < 0.8
    assert torch.equal(seen["input"][~masked], data.x[~masked])


def test_noise_is_a_function_of_seed_phase_epoch_and_step():
    x = torch.rand(4, 12)
    recipe = Recipe(corruption=Corruption("gaussian", 0.3))

    def noisy(seed=0, index=0, place=(0, 0)):
        return corrupted(Stage(tiny_stack(sizes=[12, 12, 3]), index, recipe, seed), x, *place)

    assert torch.equal(noisy(), noisy())
    for other in (noisy(seed=1), noisy(index=1), noisy(place=(1, 0)), noisy(place=(0, 1))):
        assert not torch.equal(noisy(), other)


def test_noise_is_that_of_a_new_generator_drawn_from_one_that_is_kept(monkeypatch):
    x, corruption, made = torch.rand(4, 12), Corruption("gaussian", 0.3), []
    stage = Stage(tiny_stack(), 0, Recipe(corruption=corruption), seed=5)
    new = [derive_generator(5, "noise", "stage1", 0, step) for step in range(3)]
    generator = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device: made.append(1) or generator(device))
    monkeypatch.setattr(functional, "pad", None)  # the batch is whole already
    for step in range(3):
        assert torch.equal(corrupted(stage, x, 0, step), corruption(x, new[step]))
    assert len(made) == 1
    assert torch.equal(corrupted(copy.deepcopy(stage), x, 0, 2), corrupted(stage, x, 0, 2))


def test_salt_and_pepper_on_tanh_codes_hits_minus_one_and_one():
    stack = tiny_stack(activation=["tanh", "sigmoid"])
    stage = Stage(stack, 1, Recipe(corruption=Corruption("salt_and_pepper", 0.9)))
    assert {-1.0, 1.0} <= set(corrupted(stage, torch.full((50, 6), 0.5)).unique().tolist())


def test_a_sparse_recipe_adds_the_penalty():
    stage = Stage(tiny_stack(), 0, Recipe(sparsity=Sparsity(0.1, weight=2)))
    x = torch.rand(8, 12)
    h = stage.encode(x)
    stage.training_loss((x,), 0)
    losses = stage._means["train"].compute(SimpleNamespace(reduce=lambda t, reduce_op: t))
    torch.testing.assert_close(losses["reconstruction"], stage.net.reconstruction_loss(h, x))
    penalty = Sparsity(0.1, weight=2).value(h.mean(dim=0))
    torch.testing.assert_close(losses["loss"], losses["reconstruction"] + penalty)
    torch.testing.assert_close(losses["activity"], h.mean())


def penalties(n: int, batch_size: int = 16) -> list[tuple[float, float]]:
    """Of each batch of n samples: the penalty that was added, and that of its mean activity."""
    sparsity = Sparsity(0.1, weight=2)
    stage, data = Stage(tiny_stack(), 0, Recipe(sparsity=sparsity)), loader(n, 12, batch_size)
    stage._trainer = SimpleNamespace(
        world_size=1, training=True, train_dataloader=data, current_epoch=0
    )
    found = []
    for step, (x, *_) in enumerate(data):
        with torch.no_grad():
            added = stage.training_loss((x,), step) - stage.net.reconstruction_loss(
                stage.encode(x), x
            )
            found.append((added.item(), sparsity.value(stage.encode(x).mean(dim=0)).item()))
    return found


def test_a_short_last_batch_weighs_its_penalty_by_its_size():
    """A mean over one sample is far from any target: its penalty was that of a whole batch."""
    (full, of_full), (last, of_last) = penalties(n=17)
    assert full == pytest.approx(of_full, rel=1e-4)
    assert last == pytest.approx(of_last / 16, rel=1e-3)
    ((only, of_only),) = penalties(n=5)  # there is no fuller one
    assert only == pytest.approx(of_only, rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 7, 16, 40])
def test_the_penalty_of_a_validation_is_that_of_all_its_samples(batch_size):
    sparsity = Sparsity(0.1, weight=2)
    stage, data = Stage(tiny_stack(activation="tanh"), 0, Recipe(sparsity=sparsity)), loader(n=40)
    trainer = Trainer(**QUIET)
    data.batch_size = batch_size
    trainer.validate(stage, data, verbose=False)
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
    with torch.no_grad():
        h = stage.encode(data.x)
        loss = stage.net.reconstruction_loss(h, data.x)
        penalty = sparsity.value(sparsity.activity(h, "tanh"))
    assert metrics["stage1/val/sparsity"] == pytest.approx(penalty.item(), rel=1e-4)
    assert metrics["stage1/val/loss"] == pytest.approx((loss + penalty).item(), rel=1e-4)
    assert metrics["stage1/val/sse"] == pytest.approx(loss.item(), rel=1e-4)


@pytest.mark.parametrize("corruption", [None, Corruption("masking", 0.2)])
def test_a_sparse_stage_ends_near_its_target_activity(corruption):
    """Under noise the activity is that of the corrupted inputs, which the stage trains on."""
    recipe = Recipe(lr=0.05, sparsity=Sparsity(0.1, weight=5), corruption=corruption)
    stage = Stage(tiny_stack(), 0, recipe)
    data = loader(n=64, batch_size=16)
    assert stage.encode(data.x).mean() > 0.3
    trainer = fit(stage, data, epochs=40)
    names = [
        f"{split}/{name}" for split in ("train", "val") for name in ("reconstruction", "sparsity")
    ]
    assert set(trainer.callback_metrics) >= {*names, "train/activity", "val/activity"}
    activity = trainer.callback_metrics["stage1/train/activity"].item()
    assert activity == pytest.approx(0.1, abs=0.02)
    assert stage.encode(data.x).mean() < 0.13


def test_metrics_are_named_by_phase_and_are_means_per_image():
    stage = Stage(tiny_stack(), 0, Recipe(lr=1e-12))
    data = loader()
    trainer = fit(stage, data, epochs=1)
    sse = (stage(data.x) - data.x).square().sum(dim=1).mean().item()
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert set(metrics) == {*MEASURED, *(f"stage1/{name}" for name in MEASURED)}
    assert list(metrics.values()) == pytest.approx([sse] * 8, rel=1e-4)


def test_loggers_are_told_the_names_of_the_phase_alone(tmp_path):
    class Told(CSVLogger):
        names: ClassVar[list[str]] = []

        def log_metrics(self, metrics, step=None):
            self.names.extend(metrics)

    data, logger = loader(), Told(tmp_path)
    Trainer(max_epochs=1, logger=logger, enable_checkpointing=False).fit(
        Stage(tiny_stack(), 0, Recipe()), data, data
    )
    assert sorted(logger.names) == sorted(f"stage1/{name}" for name in MEASURED)


def test_a_diverged_training_stops_and_names_the_stage():
    recipe = Recipe(lr=1e30, optimizer="sgd")
    stage = Stage(tiny_stack(activation="relu", output="linear"), 0, recipe)
    with pytest.raises(InputError, match=r"stage1: expected a finite .* loss, found (nan|inf)"):
        fit(stage, loader(), epochs=3)


def test_sums_of_an_epoch_are_taken_in_32_bits():
    means = _Means()
    for _ in range(1000):
        means.add({"loss": torch.tensor(1.0, dtype=torch.bfloat16)}, 1)
    assert means.compute(SimpleNamespace(reduce=lambda t, reduce_op: t))["loss"] == 1


def test_the_validation_loss_of_a_denoiser_is_that_of_restoring():
    """With noise that is the same at each epoch, and of no step of the training."""
    stage = Stage(tiny_stack(), 0, Recipe(lr=1e-12, corruption=Corruption("masking", 0.5)))
    data, losses = loader(n=20, batch_size=20), []

    class Note(Callback):
        def on_validation_end(self, trainer, pl_module):
            losses.append(trainer.callback_metrics["stage1/val/loss"].item())

    trainer = Trainer(max_epochs=3, num_sanity_val_steps=0, callbacks=[Note()], **QUIET)
    trainer.fit(stage, data, data)
    with torch.no_grad():
        restored = stage.net(corrupted(stage, data.x, "val", 0))
        by_hand = (restored - data.x).square().sum(dim=1).mean().item()
        clean = (stage.net(data.x) - data.x).square().sum(dim=1).mean().item()
    assert losses == pytest.approx([by_hand] * 3, rel=1e-5)
    assert abs(by_hand - clean) > 0.005
    for name in ("sse", "image_sse"):
        assert trainer.callback_metrics[f"stage1/val/{name}"].item() == pytest.approx(clean)


@pytest.mark.parametrize(("epochs", "validated"), [(10, [3, 6, 9, 10]), (9, [3, 6, 9]), (2, [2])])
def test_the_last_epoch_is_always_validated(epochs, validated):
    stage, data, seen = Stage(tiny_stack(), 0, Recipe()), loader(), []

    class Note(Callback):
        def on_validation_end(self, trainer, pl_module):
            seen.append(trainer.current_epoch + 1)

    trainer = Trainer(
        max_epochs=epochs,
        check_val_every_n_epoch=3,
        num_sanity_val_steps=0,
        callbacks=[Note()],
        **QUIET,
    )
    trainer.fit(stage, data, data)
    assert seen == validated
    assert trainer.check_val_every_n_epoch == 3


def test_a_fit_that_breaks_off_leaves_the_rhythm_of_the_next_one():
    class BreaksOff(Callback):
        def on_validation_end(self, trainer, pl_module):
            raise ArithmeticError

    stage, data, seen = Stage(tiny_stack(), 0, Recipe()), loader(), []
    often = {"check_val_every_n_epoch": 3, "num_sanity_val_steps": 0, **QUIET}
    with pytest.raises(ArithmeticError):
        Trainer(max_epochs=2, callbacks=[BreaksOff()], **often).fit(stage, data, data)

    class Note(Callback):
        def on_validation_end(self, trainer, pl_module):
            seen.append(trainer.current_epoch + 1)

    trainer = Trainer(max_epochs=4, callbacks=[Note()], **often)
    trainer.fit(stage, data, data)
    assert seen == [3, 4]
    assert trainer.check_val_every_n_epoch == 3


def test_a_subclass_need_not_keep_what_its_base_keeps(tmp_path):
    class KeepsNothing(StackedAutoencoder):
        def on_save_checkpoint(self, checkpoint):
            checkpoint["mine"] = 1

    model = KeepsNothing([12, 6, 3])
    trainer = Trainer(max_epochs=1, **QUIET)
    trainer.fit(model, loader(), loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = KeepsNothing.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert same_state(clone_state(again), clone_state(model))


def test_salt_and_pepper_on_pixels_takes_the_range_of_the_samples():
    stage = Stage(tiny_stack(output="linear"), 0, Recipe(corruption=Corruption(SALT, 0.9)))
    x = torch.full((50, 12), 0.5)
    assert set(corrupted(stage, x).unique().tolist()) == {0.0, 0.5, 1.0}
    stage.pixel_range = (-3.0, 7.0)
    assert set(corrupted(stage, x).unique().tolist()) == {-3.0, 0.5, 7.0}
    noisy, _ = stage.reconstruct_corrupted(x)
    assert set(noisy.unique().tolist()) == {-3.0, 0.5, 7.0}


def test_a_plain_trainer_finds_the_range_of_the_samples_and_keeps_it(tmp_path):
    model = tiny_model(output="linear")
    model.recipe = Recipe(corruption=Corruption(SALT, 0.5))
    data = loader()
    data.x = 5 + 4 * data.x
    ends = (data.x.min().item(), data.x.max().item())
    trainer = fit(model, data, epochs=1)
    assert model.input_range == pytest.approx(ends)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = StackedAutoencoder.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert again.input_range == model.input_range


def test_overfitting_takes_the_same_batches_each_epoch():
    """And a training after it is shuffled again, of the same loader."""
    seen = []

    class Watched(Stage):
        def training_step(self, batch, batch_idx):
            seen.append(batch[0].clone())
            return super().training_step(batch, batch_idx)

    data = loader(n=40, shuffle=True)
    for options in ({"overfit_batches": 2}, {"limit_train_batches": 2}):
        seen.clear()
        Trainer(max_epochs=2, **QUIET, **options).fit(
            Watched(tiny_stack(), 0, Recipe()), data, loader()
        )
        epochs = torch.cat(seen[:2]), torch.cat(seen[2:])
        assert torch.equal(*epochs) == ("overfit_batches" in options)
    assert not torch.equal(seen[0], data.x[:8])
