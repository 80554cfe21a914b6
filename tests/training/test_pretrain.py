from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers import clone_state, loader, same_state, tiny_model
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import (
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
    StochasticWeightAveraging,
)

from sae.callbacks.checkpoints import BestWeights
from sae.data.rows import encode_rows
from sae.errors import InputError
from sae.terms.corruption import Corruption
from sae.training.handover import CodesInMemory
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe
from sae.training.stage import Stage

RECIPE = Recipe(epochs=2, lr=0.05)


class Recorder:
    """A Trainer factory that keeps what it made and what each phase saw."""

    def __init__(self, model, callbacks=lambda phase: []):
        self.model, self.callbacks = model, callbacks
        self.phases, self.trainers, self.modules = [], [], []
        self.before, self.after, self.batches = [], [], []

    def __call__(self, phase, module):
        recorder = self

        class Watch(Callback):
            def on_train_start(self, trainer, pl_module):
                recorder.before.append(clone_state(recorder.model.stack))

            def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
                recorder.batches[-1].append(batch[0].clone())

            def on_train_end(self, trainer, pl_module):
                recorder.after.append(clone_state(recorder.model.stack))

        trainer = Trainer(
            max_epochs=phase.recipe.epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Watch(), *self.callbacks(phase)],
        )
        self.phases.append(phase)
        self.trainers.append(trainer)
        self.modules.append(module)
        self.batches.append([])
        return trainer


def run(stages=(RECIPE, RECIPE), finetune=RECIPE, seed=0, callbacks=lambda phase: [], **model):
    model = tiny_model(**model)
    recorder = Recorder(model, callbacks)
    data = loader(n=24, shuffle=True)
    results = GreedyPretrainer(stages, finetune, recorder, seed).fit(model, data, loader())
    return model, recorder, results, data


def rows(x) -> set:
    return {tuple(row) for row in x.tolist()}


def test_phases_run_in_order_each_with_a_fresh_trainer():
    _, recorder, results, _ = run()
    assert [phase.name for phase in recorder.phases] == ["stage1", "stage2", "finetune"]
    assert len({id(trainer) for trainer in recorder.trainers}) == 3
    assert [result.epochs for result in results] == [2, 2, 2]
    assert all(result.seconds > 0 for result in results)
    assert [type(module) is Stage for module in recorder.modules] == [True, True, False]


def test_each_phase_changes_its_own_layers_and_no_others():
    """Contract 3."""
    _, recorder, _, _ = run()
    for k, (before, after) in enumerate(zip(recorder.before[:2], recorder.after[:2], strict=True)):
        for name in before:
            own = name.startswith(f"layers.{k}.")
            assert torch.equal(before[name], after[name]) != own, name


def test_a_stage_trains_on_the_clean_codes_of_the_stage_below():
    """Contract 4: the codes are those of the trained layer, whatever noise it trained with."""
    noisy = Recipe(epochs=2, lr=0.05, corruption=Corruption("masking", 0.5))
    model, recorder, _, data = run([noisy, noisy], Recipe(epochs=0))
    codes = encode_rows(model.stack[0].eval(), data.x)
    seen = torch.cat(recorder.batches[1])
    assert len(seen) == 2 * len(data.x)
    assert rows(seen) == rows(codes)


def test_handed_over_codes_equal_those_computed_anew():
    """Contract 4: cached or recomputed, in order, with their labels."""
    model = tiny_model()
    data = loader(n=24, shuffle=True)
    data.y = torch.arange(24)
    codes = CodesInMemory().hand_on(model.stack[0], data, "stage1.train", "cpu")
    torch.testing.assert_close(codes.x, model.stack[0].encode(data.x).detach())
    assert torch.equal(codes.y, data.y)
    assert not codes.x.requires_grad


@pytest.mark.parametrize("tied", [False, True])
def test_the_stack_before_fine_tuning_is_the_composed_stages(tied):
    """Contract 2, through the orchestrator."""
    model, recorder, _, data = run(tied=tied, activation=["tanh", "sigmoid"])
    first, second = recorder.modules[0].net, recorder.modules[1].net
    before = recorder.before[2]
    assert same_state(before, recorder.after[1])
    model.stack.load_state_dict(before)
    h = second.encode(first.encode(data.x))
    assert torch.equal(model.encode(data.x), h)
    assert torch.equal(model.decode(h), first.decode(second.decode(h)))
    assert [layer.tied for layer in model.stack] == [tied, tied]


def test_fine_tuning_trains_all_layers():
    model, recorder, _, _ = run()
    before, after = recorder.before[2], recorder.after[2]
    assert not any(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_same_seed_same_weights_other_seed_other_weights():
    """Contract 6."""
    first = clone_state(run()[0])
    torch.rand(7)
    assert same_state(clone_state(run()[0]), first)
    assert not same_state(clone_state(run(seed=1)[0]), first)


def test_a_stage_does_not_depend_on_how_long_the_others_took():
    """Its initial weights and order are functions of (seed, stage), but for what fits its codes."""
    short, long = run([Recipe(0), RECIPE])[1], run([RECIPE, RECIPE])[1]
    start, after = short.before[0], long.before[1]
    name = "layers.1.decoder_weight"
    assert torch.equal(after[name], start[name])
    scale = after["layers.1.weight"] / start["layers.1.weight"]
    assert torch.allclose(scale, scale[0, 0].expand_as(scale))


def test_the_order_of_samples_changes_with_the_epoch_and_the_phase():
    _, recorder, _, data = run()
    stage1, finetune = (torch.cat(recorder.batches[k]) for k in (0, 2))
    n = len(data.x)
    assert rows(stage1[:n]) == rows(stage1[n:]) == rows(finetune[:n]) == rows(data.x)
    assert not torch.equal(stage1[:n], stage1[n:])
    assert not torch.equal(stage1[:n], finetune[:n])


def test_settings_of_a_stage_reach_it():
    stages = [Recipe(epochs=1, lr=0.1), Recipe(epochs=3, optimizer="sgd")]
    _, recorder, results, _ = run(stages, Recipe(epochs=2, lr=0.3))
    assert [result.epochs for result in results] == [1, 3, 2]
    optimizers = [trainer.optimizers[0] for trainer in recorder.trainers]
    assert [type(o).__name__ for o in optimizers] == ["Adam", "SGD", "Adam"]
    assert [o.param_groups[0]["lr"] for o in optimizers] == [0.1, 0.001, 0.3]


def test_fresh_callbacks_keep_an_early_stop_from_ending_the_next_stage():
    def stop(phase):
        return [EarlyStopping(f"{phase.name}/val/loss", patience=1, min_delta=1e9)]

    _, _, results, _ = run([Recipe(epochs=9)] * 2, Recipe(epochs=9), callbacks=stop)
    assert [result.epochs for result in results] == [2, 2, 2]


def test_stages_of_zero_epochs_are_left_out():
    _, recorder, _, _ = run([Recipe(epochs=0), Recipe(epochs=0)], Recipe(epochs=1))
    assert [phase.name for phase in recorder.phases] == ["finetune"]


def test_pretraining_helps_the_fine_tuning_start():
    def first_loss(epochs):
        recipe = Recipe(epochs=epochs, lr=0.05)
        model, recorder, _, data = run([recipe, recipe])
        model.stack.load_state_dict(recorder.before[-1])
        return model.net.reconstruction_loss(model.encode(data.x), data.x).item()

    assert first_loss(20) < first_loss(0)


def test_it_works_from_python_without_any_of_the_command_line():
    model, data = tiny_model(), loader(n=24, shuffle=True)
    before = clone_state(model)
    results = GreedyPretrainer([Recipe(epochs=1)] * 2, Recipe(epochs=1)).fit(model, data, loader())
    assert len(results) == 3
    assert not same_state(clone_state(model), before)


@pytest.mark.parametrize("activation", ["silu", "relu", "sigmoid", "tanh"])
def test_each_stage_starts_at_the_mean_of_what_it_trains_on(activation):
    model, recorder, _, data = run(output="linear", activation=activation)
    bias = recorder.before[0]["layers.0.decoder_bias"]
    assert torch.allclose(bias, data.x.mean(dim=0))
    assert not recorder.before[0]["layers.1.decoder_bias"].any()  # its codes are not there yet
    model.stack.load_state_dict(recorder.before[1])
    h = model.stack[0].encode(data.x)
    code = model.stack[1].encode(h).mean(dim=0)
    assert torch.allclose(model.stack[1].decode(code), h.mean(dim=0), atol=1e-6)


def test_a_stage_that_is_left_out_asks_for_no_codes():
    skip = [Recipe(epochs=0)] * 2
    _, recorder, _, _ = run(skip, Recipe(epochs=1))
    assert not recorder.before[0]["layers.1.decoder_bias"].any()


def test_each_phase_has_its_health_and_says_what_is_wrong():
    _, _, results, _ = run()
    assert [set(result.health) >= {"dead", "loss_ratio"} for result in results] == [True] * 3
    _, _, results, _ = run([Recipe(epochs=1, lr=1e-9)] * 2, Recipe(epochs=1, lr=1e-9))
    assert results[0].warnings[0].startswith("stage 1 reconstructs no more than the mean image")
    assert results[2].warnings[0].startswith("the fine-tuned stack reconstructs no more than")


def phases_with(make_callbacks, **options):
    """Fit with a Trainer of the user's own for each phase; the Trainers."""
    made = []

    def own(phase, module):
        quiet = {"logger": False, "enable_model_summary": False, "enable_progress_bar": False}
        made.append(Trainer(max_epochs=2, callbacks=make_callbacks(), **quiet, **options))
        return made[-1]

    data = loader(n=24, shuffle=True)
    GreedyPretrainer([RECIPE] * 2, RECIPE, own).fit(tiny_model(), data, loader())
    return made


def test_one_monitor_holds_in_all_phases(tmp_path):
    def callbacks():
        return [
            ModelCheckpoint(tmp_path, monitor="val/loss", filename="{epoch}"),
            EarlyStopping("train/loss", patience=1, min_delta=1e9),
        ]

    trainers = phases_with(callbacks)
    assert [trainer.current_epoch for trainer in trainers] == [2, 2, 2]
    for trainer, phase in zip(trainers, ("stage1", "stage2", "finetune"), strict=True):
        metrics = trainer.callback_metrics
        for name in ("train/loss", "val/loss", "val/image_sse"):
            assert metrics[name] == metrics[f"{phase}/{name}"]
        assert trainer.checkpoint_callback.best_model_score <= metrics["val/loss"]
        assert Path(trainer.checkpoint_callback.best_model_path).is_file()


@pytest.mark.parametrize("loads", [False, True])
def test_the_loss_told_is_that_of_the_weights_that_went_on(loads, tmp_path):
    """A user's ModelCheckpoint alone leaves the last weights in place, whatever it monitors."""
    made = []

    def own(phase, module):
        keeper = ModelCheckpoint(
            tmp_path / phase.name, monitor="val/loss" if loads else "train/loss"
        )
        callbacks = [keeper, *([BestWeights()] if loads else [])]
        made.append(Trainer(max_epochs=3, logger=False, callbacks=callbacks))
        return made[-1]

    model, data, wild = tiny_model(), loader(n=24, shuffle=True), Recipe(epochs=3, lr=2.0)
    results = GreedyPretrainer([wild] * 2, wild, own).fit(model, data, loader())
    with torch.no_grad():
        sse = (model(loader().x) - loader().x).square().sum(dim=1).mean().item()
    assert results[-1].loss == pytest.approx(sse, rel=1e-5)
    assert (results[-1].checkpoint is None) == (not loads)


@pytest.mark.parametrize("kind", [EMAWeightAveraging, StochasticWeightAveraging])
def test_averaged_weights_are_told_their_own_loss_or_none(kind):
    model, data = tiny_model(), loader(n=24, shuffle=True)
    options = {"decay": 0.5} if kind is EMAWeightAveraging else {"swa_lrs": 0.05}

    def own(phase, module):
        quiet = {"logger": False, "enable_checkpointing": False}
        return Trainer(max_epochs=4, callbacks=[kind(**options)], **quiet)

    results = GreedyPretrainer([Recipe(epochs=0)] * 2, RECIPE, own).fit(model, data, loader())
    with torch.no_grad():
        sse = (model(loader().x) - loader().x).square().sum(dim=1).mean().item()
    told = pytest.approx(sse, rel=1e-5) if kind is EMAWeightAveraging else None
    assert results[-1].loss == told


@pytest.mark.parametrize("monitor", ["stage2/val/loss", "finetune/val/loss"])
def test_a_monitor_of_one_phase_alone_is_answered_before_any_training(monitor):
    with pytest.raises(InputError, match=r"monitor that each phase has, .* write val/loss"):
        phases_with(lambda: [EarlyStopping(monitor)])


def test_a_metric_with_a_slash_makes_no_folders(tmp_path):
    named = {"monitor": "val/loss", "filename": "{epoch}-{val/loss:.1f}"}
    with pytest.raises(InputError, match=r"no slash.* write val_loss=\{val/loss\} there"):
        phases_with(lambda: [ModelCheckpoint(tmp_path, **named)])
    phases_with(lambda: [ModelCheckpoint(tmp_path, **named, auto_insert_metric_name=False)])
    assert len(list(tmp_path.iterdir())) == len(list(tmp_path.glob("*.ckpt"))) == 3


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_other_than_single_precision_of_the_weights_is_answered_by_a_sentence(precision):
    with pytest.raises(InputError, match="the weights themselves stay in 32 bits"):
        phases_with(list, precision=precision, enable_checkpointing=False)


def test_shuffled_validation_inputs_do_not_lose_their_images():
    """The error in pixels of stage 2 is that of each code's own image."""
    errors = []
    for shuffle in (False, True):
        model = tiny_model()
        recorder = Recorder(model)
        data = loader(n=24, shuffle=True)
        GreedyPretrainer([RECIPE] * 2, Recipe(epochs=0), recorder).fit(
            model, data, loader(n=40, shuffle=shuffle)
        )
        errors.append(float(recorder.trainers[1].callback_metrics["stage2/val/image_sse"]))
    assert errors[0] == pytest.approx(errors[1], rel=1e-5)


@pytest.mark.parametrize(("value", "found"), [(float("nan"), "not"), (255.0, "255")])
def test_validation_samples_that_cannot_be_rebuilt_are_named_before_training(value, found):
    val = loader()
    val.x[3, 2] = value
    with pytest.raises(InputError, match=f"{found}.* the validation samples"):
        GreedyPretrainer([RECIPE] * 2, RECIPE).fit(tiny_model(), loader(), val)
