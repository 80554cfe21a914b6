from __future__ import annotations

import math

import pytest
import torch
from helpers import clone_state, randomised, same_state, tiny_data, tiny_model
from lightning import Callback, Trainer
from torch import nn
from torch.nn import functional

from sae.batch import Batch
from sae.data import TensorLoader
from sae.errors import InputError
from sae.nets.build import build_stack
from sae.nets.stack import Stack
from sae.objectives.classify import Classify
from sae.place import Place, Share
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import Recipe

Y = torch.tensor([0, 1, 2, 2])


def place(step=0, n=4, epoch=0, share=None) -> Place:
    return Place(0, "finetune", epoch, step, share=share or Share.equal(n), epoch=epoch)


def classify(n_classes=3, net=None, **options) -> Classify:
    objective = Classify(**options)
    objective.attach(net or build_stack([12, 6, 3]), n_classes)
    return randomised(objective)


def of_logits(logits, **options) -> tuple[Classify, torch.Tensor]:
    """A linear head that does nothing, and codes that so are its logits."""
    objective = classify(len(logits[0]), build_stack([12, len(logits[0])]), **options)
    with torch.no_grad():
        objective.head[0].weight.copy_(torch.eye(len(logits[0])))
        objective.head[0].bias.zero_()
    return objective, torch.tensor(logits)


def loss(objective, h, y, epoch=0) -> float:
    batch = Batch(torch.zeros(len(h), 12), y)
    return objective.losses(Stack(), h, batch, place(n=len(h), epoch=epoch))["loss"].item()


# The loss


def test_against_hand_value():
    """Probabilities (3/4, 1/4) and (1/2, 1/2); -(ln 3/4 + ln 1/2) / 2."""
    objective, h = of_logits([[math.log(3), 0.0], [0.0, 0.0]])
    by_hand = -(math.log(3 / 4) + math.log(1 / 2)) / 2
    assert loss(objective, h, torch.tensor([0, 1])) == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("epoch", [0, None])
def test_against_hand_value_with_smoothing(epoch):
    """0.2 of a label spread over two classes: targets 0.9 and 0.1. In validation likewise."""
    objective, h = of_logits([[math.log(3), 0.0]], label_smoothing=0.2)
    by_hand = -(0.9 * math.log(3 / 4) + 0.1 * math.log(1 / 4))
    assert loss(objective, h, torch.tensor([0]), epoch) == pytest.approx(by_hand, rel=1e-6)


def test_error_and_confusion_against_a_count_by_hand():
    objective, h = of_logits([[2.0, 1, 0], [0, 1, 2], [0, 1, 2], [2, 1, 0]])
    figures = objective.measure(Stack(), h, Batch(torch.zeros(4, 12), Y), place(), None)
    assert figures["error"].item() == 50
    assert figures["accuracy"].item() == 50
    by_hand = [[0.25, 0, 0], [0, 0, 0.25], [0.25, 0, 0.25]]  # row: class; column: taken for
    assert figures["confusion"].tolist() == by_hand


def test_the_table_counts_samples():
    objective = classify()
    means = {"confusion": torch.tensor([[1, 0, 0], [0, 0, 1], [1, 0, 1]]) / 4}
    rows = objective.tables(means, 400, ["cat", "dog", "owl"])["confusion"]
    assert rows[0] == ["class", "taken_for_cat", "taken_for_dog", "taken_for_owl"]
    assert rows[3] == ["owl", 100, 0, 100]
    assert objective.tables(means, 4)["confusion"][2] == [1, 0, 0, 1]
    assert objective.tables({}, 4) == {}


def test_prediction_is_the_most_probable_class():
    net = build_stack([12, 3])
    objective, x = classify(net=net), torch.rand(5, 12)
    found = objective.predict(net, Batch(x))
    logits = functional.linear(net.encode(x), objective.head[0].weight, objective.head[0].bias)
    odds = logits.exp() / logits.exp().sum(1, keepdim=True)
    torch.testing.assert_close(found["probability"], odds.max(1).values)
    assert found["predicted"].equal(logits.argmax(1))


def test_without_labels_nothing_is_measured():
    assert (
        classify().measure(Stack(), torch.rand(2, 3), Batch(torch.rand(2, 12)), place(), {}) == {}
    )


def test_hidden_layers_stand_between_code_and_classes():
    objective = classify(hidden=[5, 4])
    assert [(layer.in_features, layer.out_features) for layer in objective.head] == [
        (3, 5),
        (5, 4),
        (4, 3),
    ]
    h = torch.rand(2, 3)
    one, two, three = objective.head
    torch.testing.assert_close(objective.logits(h), three(two(one(h).relu()).relu()))
    assert objective.path([12, 6, 3]) == "12→6→3→5→4→3"


# Dropout


def test_dropout_keeps_the_mean_and_sets_so_many_to_zero():
    objective, x = classify(dropout=0.3), torch.ones(4000, 3)
    h = objective.code(Stack(), x, place(n=4000)).h
    assert (h == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert h.mean().item() == pytest.approx(1, abs=0.03)
    assert h.unique().tolist() == pytest.approx([0, 1 / 0.7])


def test_dropout_is_a_function_of_the_place():
    net, x = randomised(build_stack([12, 6, 3])), torch.rand(4, 12)
    objective = classify(net=net, dropout=0.5, input_dropout=0.5)
    at = [objective.code(net, x, place(step)).h for step in (0, 0, 1)]
    assert at[0].equal(at[1])
    assert not at[0].equal(at[2])


def test_two_processes_drop_what_one_drops():
    net, x = randomised(build_stack([12, 6, 3])), torch.rand(5, 12)
    objective = classify(net=net, dropout=0.5, input_dropout=0.5, hidden=[4])
    whole = objective.code(net, x, place(n=5)).h
    for rows in (slice(0, 2), slice(2, 5)):
        at = place(share=Share(rows, rows.stop - rows.start, 5, world=2))
        part = objective.code(net, x[rows], at).h
        torch.testing.assert_close(part, whole[rows])
        torch.testing.assert_close(
            objective.logits(part, at), objective.logits(whole, place(n=5))[rows]
        )


def test_dropout_falls_on_inputs_layers_code_and_hidden_layers_alone():
    """Each by the mask that its place tells; no two layers have the same."""
    net, x = randomised(build_stack([12, 6, 6])), torch.rand(4, 12)
    objective = classify(net=net, dropout=0.5, input_dropout=0.25, hidden=[6])
    code = objective.code(net, x, place())

    def drop(x, p, *where):
        kept = place().inside(*where).uniform("dropout", x) >= p
        return x * kept / (1 - p)

    one = drop(net[0].encode(drop(x, 0.25, "input")), 0.5, "layer", 0)
    two = drop(net[1].encode(one), 0.5, "layer", 1)
    torch.testing.assert_close([part.h for part in code.parts], [one, two])
    assert code.h.equal(code.parts[1].h)
    first, last = objective.head
    hidden = drop(first(two).relu(), 0.5, "head", 0)
    torch.testing.assert_close(objective.logits(two, place()), last(hidden))
    masks = [part.h == 0 for part in code.parts]
    assert not masks[0].equal(masks[1])


def test_validation_drops_nothing():
    net, x = randomised(build_stack([12, 6, 3])), torch.rand(4, 12)
    noisy, clean = (classify(net=net, dropout=p, hidden=[8]) for p in (0.5, 0.0))
    h = net.encode(x)
    assert loss(noisy, h, Y, epoch=None) == loss(clean, h, Y, epoch=None)
    assert loss(noisy, h, Y, epoch=0) != loss(clean, h, Y, epoch=0)


def test_the_head_alone_has_no_input_dropout():
    x = torch.rand(4, 3)
    assert classify(input_dropout=0.5).code(Stack(), x, place()).h.equal(x)


# What is trained


class Head(Callback):
    """What the head phase finds and leaves, and what the first step of the fine-tuning finds."""

    def __init__(self, model) -> None:
        self.model, self.seen = model, {}

    def on_train_start(self, trainer, pl_module) -> None:
        self.seen[pl_module.phase] = clone_state(self.model)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.seen.setdefault(f"{pl_module.phase}.batches", []).append(batch[0].clone())


RECIPE = Recipe(epochs=2, lr=0.05)


def run(pretrain=2, head=2, finetune=2, **options):
    model = tiny_model(objective={"kind": "classify", **options})
    watch, data = Head(model), tiny_data()

    def trainer(phase, module):
        return Trainer(
            max_epochs=phase.recipe.epochs,
            callbacks=[watch],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    recipes = [Recipe(epochs=n, lr=0.05) for n in (pretrain, head, finetune)]
    trainer = GreedyPretrainer([recipes[0]] * 2, recipes[2], trainer, head=recipes[1])
    results = trainer.fit(model, data.train_dataloader(), data.val_dataloader())
    return model, watch.seen, results


def test_the_head_alone_leaves_the_stack_as_it_is():
    """Bit for bit; and it learns."""
    _, seen, results = run()
    assert [result.phase.name for result in results] == ["stage1", "stage2", "head", "finetune"]
    before, after = seen["head"], seen["finetune"]
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed == {"objective.head.0.weight", "objective.head.0.bias"}


def test_the_head_alone_trains_on_the_clean_codes_of_the_stack():
    model, seen, _ = run(finetune=0)
    data = tiny_data()
    with torch.no_grad():
        codes = model.stack.encode(torch.cat(list(data.train_dataloader().whole())))
    rows = {tuple(row) for row in codes.numpy().round(5).tolist()}
    given = torch.cat(seen["head.batches"]).numpy().round(5).tolist()
    assert {tuple(row) for row in given} == rows


def test_fine_tuning_trains_encoders_and_head_and_leaves_decoders():
    model, seen, _ = run()
    before, after = seen["finetune"], clone_state(model)
    changed = {name for name in before if not before[name].equal(after[name])}
    encoders = {f"net.layers.{k}.{name}" for k in (0, 1) for name in ("weight", "bias")}
    assert changed == encoders | {"objective.head.0.weight", "objective.head.0.bias"}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_trained_on_pixels_it_beats_chance():
    model, _, results = run(5, 5, 20, lr_factor=2.0)
    data = tiny_data()
    x, y = torch.cat(list(data.test_dataloader().whole())), data.test.y
    predicted = model.objective.predict(model.net, Batch(x, y))["predicted"]
    assert (predicted == y).float().mean() > 0.9
    assert results[-1].loss is not None
    assert results[-1].loss < 10, "its validation error, in percent"


def test_without_pretraining_all_else_is_the_same():
    """The fair counterpart: the same steps on the same batches from weights of the same seed."""
    with_it, without = run(), run(pretrain=0)
    named = [[result.phase.name for result in found[2]] for found in (with_it, without)]
    assert named == [["stage1", "stage2", "head", "finetune"], ["head", "finetune"]]
    for phase in ("head", "finetune"):
        found = [each[1][f"{phase}.batches"] for each in (with_it, without)]
        assert len(found[0]) == len(found[1])
    batches = [torch.cat(each[1]["finetune.batches"]) for each in (with_it, without)]
    assert batches[0].equal(batches[1])
    drawn, untrained = with_it[1]["stage1"], without[1]["head"]
    assert same_state(drawn, untrained)


@pytest.mark.parametrize(("factor", "expected"), [(10, [(0.01, 4), (0.1, 2)]), (1, [(0.01, 6)])])
def test_lr_factor_is_that_of_the_head(factor, expected):
    model = tiny_model(objective={"kind": "classify", "lr_factor": factor})
    model.objective.attach(model.stack, 3)
    model.recipe = Recipe(lr=0.01)
    model.trainer = Trainer(max_epochs=1, logger=False, enable_checkpointing=False)
    model.setup("fit")
    optimizer = model.configure_optimizers()
    rates = [(group["lr"], len(group["params"])) for group in optimizer.param_groups]
    assert rates == [(pytest.approx(rate), n) for rate, n in expected]


def test_a_step_is_that_of_plain_pytorch():
    """Against torch's own modules: same weights, one step of Adam, no dropout."""
    model = tiny_model(objective={"kind": "classify", "label_smoothing": 0.1})
    model.objective.attach(model.stack, 3)
    model.recipe = Recipe(epochs=1, lr=0.01)
    plain = nn.Sequential(
        nn.Linear(12, 6), nn.Sigmoid(), nn.Linear(6, 3), nn.Sigmoid(), nn.Linear(3, 3)
    )
    pairs = [
        (plain[0], model.stack[0]),
        (plain[2], model.stack[1]),
        (plain[4], model.objective.head[0]),
    ]
    for theirs, ours in pairs:
        theirs.load_state_dict({"weight": ours.weight, "bias": ours.bias})
    x, y = torch.rand(9, 12), torch.arange(9) % 3
    optimizer = torch.optim.Adam(plain.parameters(), 0.01)
    nn.CrossEntropyLoss(label_smoothing=0.1)(plain(x), y).backward()
    optimizer.step()
    trainer = Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(model, TensorLoader(x, y, 9), TensorLoader(x, y, 9))
    for theirs, ours in pairs:
        torch.testing.assert_close(theirs.weight, ours.weight)
        torch.testing.assert_close(theirs.bias, ours.bias)


# What is refused


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"dropout": -0.1}, "dropout"),
        ({"input_dropout": 1}, "input_dropout"),
        ({"lr_factor": 0}, "lr_factor"),
        ({"hidden": 64}, "hidden"),
        ({"hidden": [0]}, r"hidden\[0\]"),
        ({"hidden": "64"}, "hidden"),
    ],
)
def test_options_out_of_range_are_refused(options, key):
    with pytest.raises(InputError, match=f"^{key}: expected"):
        Classify(**options)


@pytest.mark.parametrize("n", [0, 1, 200_000])
def test_one_class_is_nothing_to_tell_apart(n):
    with pytest.raises(InputError, match="labels of 2 to 100,000 classes"):
        Classify().attach(build_stack([12, 3]), n)


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        (None, Y, "labels of the training samples, found none"),
        (Y, None, "labels of the validation samples, found none"),
        (Y - 1, Y, "labels from 0 to 2, .* found -1 in the training samples"),
        (Y, Y - 1, "found -1 in the validation samples"),
        (torch.tensor([0, 2, 2, 0]), Y, "training samples of all 3 classes, found none of class 1"),
        (torch.tensor([0, 1, 1, 0]), Y, "found none of class 2;"),
        (torch.tensor([0, 9, 9, 9]), Y, r"found none of class 1 \(and of 7 more\)"),
        (Y * 0, Y * 0, "labels of 2 to 100,000 classes to tell apart, found those of 1"),
    ],
)
def test_labels_that_cannot_be_learnt_are_refused(train, val, message):
    model = tiny_model(objective="classify")
    x = torch.rand(4, 12)
    trainer = GreedyPretrainer([RECIPE] * 2, RECIPE)
    with pytest.raises(InputError, match=message):
        trainer.fit(model, TensorLoader(x, train), TensorLoader(x, val))
