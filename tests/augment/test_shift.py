from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from helpers import TinyDataModule, tiny_model

from sae import kinds
from sae.augment.augmentation import Augmentation
from sae.augment.shift import Shift, shifted
from sae.errors import InputError
from sae.place import Place, Share
from sae.training.recipe import recipe


def place(step: int = 0, n: int = 40, rows: slice | None = None, seed: int = 0) -> Place:
    """A step of a training, and which rows of its batch of ``n`` this process has."""
    rows = rows or slice(0, n)
    share = Share(rows, rows.stop - rows.start, n, world=2 if rows != slice(0, n) else 1)
    return Place(seed, "finetune", 3, step, share=share, epoch=3)


def by_hand(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """A pixel goes down and to the right, or is lost; what is uncovered is 0."""
    out = np.zeros_like(image)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            to = row + down, column + right
            if 0 <= to[0] < image.shape[0] and 0 <= to[1] < image.shape[1]:
                out[to] = image[row, column]
    return out


def test_hand_case():
    """One down and one to the left, of a 2x3 image."""
    x = torch.tensor([[1.0, 2, 3, 4, 5, 6]])
    found = shifted(x, torch.tensor([[1, -1]]), (2, 3), colours=1, most=1)
    assert found.tolist() == [[0, 0, 0, 2, 3, 0]]
    assert x.tolist() == [[1, 2, 3, 4, 5, 6]]


@pytest.mark.parametrize("shape", [(5, 4), (4, 5, 3)])
@pytest.mark.parametrize("most", [1, 3])
def test_every_image_goes_its_own_way(shape, most):
    x = torch.rand(50, int(np.prod(shape)))
    by = torch.randint(-most, most + 1, (50, 2))
    found = shifted(x, by, shape[:2], colours=shape[2] if len(shape) == 3 else 1, most=most)
    for image, moved, (down, right) in zip(x, found, by.tolist(), strict=True):
        expected = by_hand(image.numpy().reshape(shape), down, right)
        np.testing.assert_array_equal(moved.numpy().reshape(shape), expected)


def ways(x: torch.Tensor, moved: torch.Tensor, size: tuple[int, int]) -> list[tuple[int, int]]:
    """How far each image went: each has one bright pixel in the middle."""
    at = [divmod(int(row.argmax()), size[1]) for row in moved]
    was = [divmod(int(row.argmax()), size[1]) for row in x]
    return [(a[0] - b[0], a[1] - b[1]) for a, b in zip(at, was, strict=True)]


def dots(n: int) -> torch.Tensor:
    x = torch.zeros(n, 7, 5)
    x[:, 3, 2] = 1
    return x.flatten(1)


def test_all_shifts_up_to_the_most_are_drawn_about_as_often():
    x = dots(9000)
    found = ways(x, Shift(1)(x, place(n=9000), (7, 5)), (7, 5))
    counts = {way: found.count(way) for way in set(found)}
    assert set(counts) == {(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)}
    assert all(850 < count < 1150 for count in counts.values())


def test_a_batch_goes_one_way_and_the_next_one_another():
    x, shift = dots(40), Shift(2, per="batch")
    steps = [ways(x, shift(x, place(step), (7, 5)), (7, 5)) for step in range(60)]
    assert all(len(set(step)) == 1 for step in steps)
    seen = {step[0] for step in steps}
    assert {down for down, _ in seen} == {right for _, right in seen} == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize("per", ["sample", "batch"])
def test_it_is_a_function_of_the_place(per):
    x, shift = torch.rand(40, 35), Shift(1, per)

    def steps(first: int = 0, seed: int = 0) -> list[list[float]]:
        every = range(first, first + 6)
        return [shift(x, place(k, seed=seed), (7, 5)).tolist() for k in every]

    before = steps()
    torch.manual_seed(5)
    assert steps() == before
    assert steps(first=6) != before
    assert steps(seed=1) != before


@pytest.mark.parametrize("per", ["sample", "batch"])
def test_two_processes_shift_as_one_does(per):
    x, shift = torch.rand(41, 35), Shift(1, per)
    whole = shift(x, place(2, n=41), (7, 5))
    parts = [slice(0, 20), slice(20, 41)]
    halves = [shift(x[rows], place(2, n=41, rows=rows), (7, 5)) for rows in parts]
    assert torch.equal(torch.cat(halves), whole)


def test_without_a_shape_a_square_is_taken_for_granted_and_nothing_else():
    x = torch.rand(40, 25)
    assert torch.equal(Shift()(x, place(), None), Shift()(x, place(), (5, 5)))
    with pytest.raises(InputError, match=r"augment: expected images to shift, found 24 features"):
        Shift()(x[:, :24], place(), None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"most": 0}, "augment.most: expected an integer of 1 or more, found 0"),
        ({"most": 1.5}, "augment.most: expected an integer of 1 or more, found 1.5"),
        ({"per": "row"}, "augment.per: expected one of sample, batch, found 'row'"),
    ],
)
def test_options_outside_their_range(options, words):
    with pytest.raises(InputError, match=re.escape(words)):
        kinds.build({"kind": "shift", **options}, "sae.augment", Augmentation, "augment")


def test_an_image_no_larger_than_the_shift_is_refused():
    with pytest.raises(InputError, match=r"augment\.most: .* 1x25, found 1"):
        Shift()(torch.rand(40, 25), place(), (1, 25))


def test_a_training_step_sees_shifted_images_and_validation_does_not(monkeypatch):
    """The target is shifted alike: the loss compares what the network was given."""
    model = tiny_model()
    model.recipe, model.image_shape = recipe({"augment": "shift"}), TinyDataModule.image_shape
    seen = []
    losses = model.objective.losses
    monkeypatch.setattr(
        model.objective, "losses", lambda *args: seen.append(args[2].x) or losses(*args)
    )
    monkeypatch.setattr(type(model), "current_epoch", 3)
    x = torch.rand(40, 12)
    model.training_loss((x,), 0)
    expected = Shift()(x, model.place(3, 0, 0, share=Share.equal(40)), (4, 3))
    assert torch.equal(seen[0], expected)
    assert not torch.equal(expected, x)
    model.validation_step((x,), 0)
    assert torch.equal(seen[1], x)


def test_stages_above_the_first_refuse_it():
    with pytest.raises(InputError, match="augment: expected a training that sees pixels"):
        recipe({"augment": "shift"}).check_fits(tiny_model().stack[1], (0, 1), above=True)
