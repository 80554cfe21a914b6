from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn import check_words
from helpers import corrupted, randomised, table_scene, tiny_scene
from matplotlib.image import BboxImage
from torchvision.utils import make_grid

from sae.look.pca import fit_pca
from sae.nets.columns import is_missing
from sae.pictures import reconstructions
from sae.terms.corruption import Corruption
from sae.training.recipe import Recipe

NOISY = Recipe(corruption=Corruption("gaussian", 0.2))


def columns(numbers) -> list[str]:
    return [name.replace("\n", " ").strip() for name in numbers["columns"]]


def column(numbers, name: str) -> np.ndarray:
    return numbers["images"][columns(numbers).index(name)].reshape(-1, 12)


def tuned(recipe: Recipe | None = None):
    """A stack that has changed since its fine-tuning began, and its outputs before."""
    scene = tiny_scene(recipe=recipe)
    scene.remember()
    x = scene.probe.images
    with torch.no_grad():
        before = scene.stack(x)
    randomised(scene.module, seed=5)
    return scene, x, before.numpy()


def test_the_columns_tell_the_story_in_order():
    assert columns(reconstructions.numbers(tiny_scene("stage1"))) == [
        "original",
        "stage 1",
        "PCA-6 of the pixels",
    ]
    second = tiny_scene("stage2", NOISY)
    second.remember()
    assert columns(reconstructions.numbers(second)) == [
        "original",
        "corrupted code",
        "restored from it",
        "stage 1",
        "stages 1 to 2",
        "PCA-3 of the pixels",
    ]
    scene, _, _ = tuned()
    assert columns(reconstructions.numbers(scene)) == [
        "original",
        "stage 1",
        "before fine-tuning",
        "after fine-tuning",
        "PCA-3 of the pixels",
    ]


def test_each_column_holds_the_networks_own_output():
    scene, x, before = tuned()
    numbers, rows = reconstructions.numbers(scene), scene.probe.rows
    with torch.no_grad():
        after = scene.stack(x).numpy()
    np.testing.assert_array_equal(column(numbers, "original"), x[rows])
    np.testing.assert_array_equal(column(numbers, "before fine-tuning"), before[rows])
    np.testing.assert_array_equal(column(numbers, "after fine-tuning"), after[rows])
    train = scene.probe._data.train.x.numpy() / np.float32(255)
    by_pca = fit_pca(train, 3).rebuild(x.numpy(), 3)
    np.testing.assert_allclose(column(numbers, "PCA-3 of the pixels"), by_pca[rows], atol=1e-5)


def test_an_earlier_stage_is_shown_by_itself():
    scene = tiny_scene()
    with torch.no_grad():
        alone = scene.stack[0](scene.probe.images).numpy()
    scene.remember()
    numbers = reconstructions.numbers(scene)
    np.testing.assert_array_equal(column(numbers, "stage 1"), alone[scene.probe.rows])


def test_a_stage_is_shown_through_the_decoders_below_it():
    scene = tiny_scene("stage2")
    numbers = reconstructions.numbers(scene)
    stack, x = scene.stack, scene.probe.images
    by_hand = stack[0].decode(stack[1](stack[0].encode(x)))[scene.probe.rows]
    np.testing.assert_array_equal(column(numbers, "stages 1 to 2"), by_hand.detach())


def test_noise_is_shown_and_what_is_made_of_it():
    scene = tiny_scene(recipe=NOISY)
    numbers = reconstructions.numbers(scene)
    x = scene.probe.images
    noisy = corrupted(scene.module, x, "picture")
    np.testing.assert_array_equal(column(numbers, "corrupted"), noisy[scene.probe.rows])
    restored = scene.stack(noisy)[scene.probe.rows].detach()
    np.testing.assert_array_equal(column(numbers, "restored from it"), restored)


def test_the_error_is_over_all_images_and_stands_above_its_column():
    scene, x, _ = tuned()
    numbers = reconstructions.numbers(scene)
    with torch.no_grad():
        sse = (scene.stack(x) - x).square().sum(dim=1).mean().item()
    at = columns(numbers).index("after fine-tuning")
    assert numbers["sse"][at] == pytest.approx(sse, rel=1e-6)
    words = [text.get_text() for text in reconstructions.draw(numbers).texts]
    assert f"after\nfine-tuning\nSSE {sse:.2f}" in words


def test_what_is_drawn_are_make_grids_of_the_models_own_output():
    scene, x, _ = tuned()
    numbers = reconstructions.numbers(scene)
    (image,) = [a for a in reconstructions.draw(numbers).artists if isinstance(a, BboxImage)]
    drawn = np.asarray(image.get_array())
    with torch.no_grad():
        output = scene.stack(x)[scene.probe.rows].view(-1, 1, 4, 3)
    own = make_grid(output, nrow=1, padding=1, pad_value=1)[0].numpy()
    gap = (drawn.shape[1] - 5 * own.shape[1]) // 4
    left = columns(numbers).index("after fine-tuning") * (own.shape[1] + gap)
    np.testing.assert_array_equal(drawn[:, left : left + own.shape[1]], own)


def test_a_row_for_each_class_in_order():
    numbers = reconstructions.numbers(tiny_scene())
    assert numbers["classes"].tolist() == [0, 1, 2]
    words = [text.get_text() for text in reconstructions.draw(numbers).texts]
    assert {"0", "1", "2"} <= set(words)


def test_without_training_there_is_just_the_stack():
    scene = tiny_scene()
    assert columns(reconstructions.numbers(scene)) == [
        "original",
        "the stack",
        "PCA-3 of the pixels",
    ]


def test_a_table_shows_values_in_the_users_units():
    scene = table_scene()
    made = reconstructions.numbers(scene)
    assert made["names"].tolist() == ["a", "b", "colour"], "what does not vary is left out"
    table = scene.probe.table
    assert table is not None
    x = scene.probe.images[:6]
    given, rebuilt = (table.inverse(each) for each in (x, scene.stack(x).detach()))
    assert made["values"][:, 0, 0].tolist() == [f"{a:.0f}" for a in given[:, 0]]
    colours = [["blue", "red"][int(k)] for k in rebuilt[:, 2]]
    assert made["values"][:, 1, 2].tolist() == colours
    gaps = is_missing(x[:, 1]).numpy()
    assert 0 < gaps.sum() < len(gaps)
    assert ((made["values"][:, 0, 1] == "–") == gaps).all()
    assert not made["off"][gaps, 1].any(), "what is missing is not rebuilt wrongly"
    np.testing.assert_array_equal(made["off"][:, 2], given[:, 2] != rebuilt[:, 2])
    errors = scene.stack.errors(scene.stack(x), x).sum(dim=1).detach()
    np.testing.assert_allclose(made["errors"], errors, rtol=1e-5)


def test_what_is_drawn_of_a_table_are_its_names_and_values():
    made = reconstructions.numbers(table_scene())
    figure = reconstructions.draw(made)
    check_words("a table", figure)
    words = [text.get_text() for text in figure.texts]
    assert {"a", "b", "colour", "sample 1", "original", "rebuilt"} <= set(words)
    assert not any("class" in each for each in words)
    assert words.count("–") == (made["values"] == "–").sum()


def test_rows_of_a_table_with_labels_are_called_by_their_class():
    figure = reconstructions.draw(reconstructions.numbers(table_scene(label="kind")))
    words = [text.get_text() for text in figure.texts]
    assert "class x" in words
    assert "class y" in words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (37.0, "37"),
        (2019.0, "2019"),
        (43929.65, "43,930"),
        (-0.01759, "−0.01759"),
        (0.0, "0"),
        (6.25e8, "6.25e+08"),
        (None, "–"),
        ("Ulm", "Ulm"),
        (12.5, "12.5"),
    ],
)
def test_values_read_as_people_write_them(value, words):
    assert reconstructions._text(value) == words


def test_images_without_labels_are_of_no_class():
    scene = tiny_scene()
    scene.probe.labelled = False
    words = [t.get_text() for t in reconstructions.draw(reconstructions.numbers(scene)).texts]
    assert not {"class", "0"} & set(words)
