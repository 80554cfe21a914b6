from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from drawn import array, check_words, images, words_at
from helpers import fit, read
from matplotlib.colors import to_rgb

from sae.callbacks.phase_pictures import write
from sae.pictures import scatter
from sae.pictures.numbers import load
from sae.pictures.style import CLASSES, render

RNG = np.random.default_rng(0)
# In the README: what draws the same from the numbers beside the picture.
LINES = """
import matplotlib.pyplot as plt, numpy as np
codes = np.load("lightning_logs/visualize/version_0/scatter.npz")
plt.scatter(*codes["points"].T, c=codes["labels"], cmap=plt.get_cmap("tab10", 10), s=4)
plt.colorbar(label="class", ticks=range(10)), plt.clim(-0.5, 9.5)
plt.axis(np.percentile(codes["points"], [2, 98], axis=0).T.ravel())
plt.savefig("my_scatter.png")
"""


def made(n: int = 300, units: int = 2, classes: int = 10, **options):
    codes = RNG.normal(size=(n, units)).astype(np.float32)
    labels = np.arange(n) % classes if classes else None
    return codes, labels, scatter.numbers(codes, labels, options.pop("of", n), **options)


def colours_of(figure) -> np.ndarray:
    (points,) = figure.axes[0].collections
    return points.get_facecolors()[:, :3]


def test_a_code_of_two_units_is_shown_as_it_is():
    codes, labels, numbers = made()
    np.testing.assert_array_equal(numbers["points"], codes)
    np.testing.assert_array_equal(numbers["labels"], labels)
    assert numbers["axes"].tolist() == [
        "first unit of the code, h[0]",
        "second unit of the code, h[1]",
    ]
    assert str(numbers["title"]) == "Codes of all 300 test images"


def test_a_wider_code_is_shown_by_its_principal_components_and_the_axes_say_so():
    codes, _, numbers = made(units=5)
    centred = codes - codes.mean(axis=0)
    _, values, v = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(numbers["points"]), np.abs(centred @ v[:2].T), atol=1e-4)
    share = 100 * values[0] ** 2 / np.square(values).sum()
    assert numbers["axes"][0] == (
        f"first principal component of the code ({share:.0f} % of variance)"
    )


def test_every_point_has_the_colour_of_its_class_in_the_bar():
    codes, labels, numbers = made()
    figure = scatter.draw(numbers)
    (points,) = figure.axes[0].collections
    places = np.asarray(points.get_offsets())
    for code, name in zip(codes[:20], labels, strict=False):
        at = np.flatnonzero((places == code).all(axis=1))
        np.testing.assert_allclose(colours_of(figure)[at[0]], to_rgb(CLASSES[name]), atol=1e-6)
    (bar,) = images(figure)
    np.testing.assert_array_equal(array(bar)[:, 0], np.arange(10)[::-1])
    np.testing.assert_allclose(bar.to_rgba(array(bar))[0, 0, :3], to_rgb(CLASSES[9]))
    words = words_at(figure)
    heights = [words[str(k)][1] for k in range(10)]
    assert heights == sorted(heights), "0 stands at the bottom"
    assert not figure.legends
    assert figure.axes[0].get_legend() is None


def test_no_class_is_drawn_over_all_others():
    """The points are mixed, in an order that is always the same."""
    _, _, numbers = made()
    numbers["labels"] = np.sort(numbers["labels"])
    colours = colours_of(scatter.draw(numbers))
    assert len(np.unique(colours[-60:], axis=0)) == 10
    np.testing.assert_array_equal(colours, colours_of(scatter.draw(numbers)))


def test_classes_have_their_names_and_their_order():
    _, labels, numbers = made(classes=3, names=["owl", "cat", "a long name of a class"])
    assert numbers["classes"].tolist() == ["owl", "cat", "a long name of a class"]
    np.testing.assert_array_equal(numbers["labels"], labels)
    words = words_at(scatter.draw(numbers))
    assert words["owl"][1] < words["cat"][1] < words["a long na…"][1]
    codes = RNG.normal(size=(6, 2))
    other = scatter.numbers(codes, np.array([7, -2, 7, 40, -2, 7]), 6)
    assert other["classes"].tolist() == [-2, 7, 40]
    assert other["labels"].tolist() == [1, 0, 1, 2, 0, 1]


@pytest.mark.parametrize("classes", [0, 1, 2, 12, 20, 21, 300])
def test_a_bar_for_as_many_classes_as_can_be_told_apart(classes):
    _, _, numbers = made(n=600, classes=classes)
    figure = scatter.draw(numbers)
    assert len(images(figure)) == (0 < classes <= 20)
    assert ("class" in words_at(figure)) == (0 < classes <= 20)
    assert ("classes)" in str(numbers["subtitle"])) == (classes > 20)
    assert len(np.unique(colours_of(figure), axis=0)) == (max(1, min(classes, 256)))
    check_words(f"{classes} classes", figure)
    assert (numbers["labels"] == -1).all() == (classes == 0)


@pytest.mark.parametrize("units", [1, 2, 3, 600])
@pytest.mark.parametrize("spread", [0, 1e-4, 1e4])
def test_words_find_room_whatever_the_codes(units, spread):
    codes = spread * RNG.normal(size=(60, units)).astype(np.float32)
    network = "784→500→400→300→200→100→50→2→50→100→200→300→400→500→784"
    numbers = scatter.numbers(
        codes, np.arange(60) % 3, 90_000, network=network, source="a long name of some data"
    )
    assert np.isfinite(numbers["points"]).all()
    assert "60 of 90,000 test images" in str(numbers["title"])
    check_words(f"{units} units", scatter.draw(numbers))


def test_a_few_points_far_out_are_counted():
    codes, labels, _ = made()
    codes = codes.clip(-1, 1)
    codes[:3] *= 1000
    figure = scatter.draw(scatter.numbers(codes, labels, 300))
    told = "3 of 300 lie further out, drawn at the edge"
    assert any(words.endswith(told) for words in words_at(figure))
    axis = figure.axes[0]
    places = np.asarray(axis.collections[0].get_offsets())
    low, high = np.array([axis.get_xlim(), axis.get_ylim()]).T
    assert len(places) == 300
    assert ((places >= low) & (places <= high)).all()
    assert np.isin(places, [*low, *high]).any(axis=1).sum() == 3


def test_a_dollar_in_a_name_is_no_formula():
    codes = RNG.normal(size=(9, 2))
    numbers = scatter.numbers(codes, np.arange(9) % 3, 9, names=["$5_$9", "$\\frac$", "c"])
    assert len(render(scatter.draw(numbers)).content) > 1000


def test_one_sample_is_drawn():
    assert scatter.draw(made(n=1, units=4)[2]).axes
    assert scatter.draw(made(n=1, units=2, classes=0)[2]).axes


def test_the_lines_of_the_readme_draw_the_same_from_the_numbers(tmp_path, monkeypatch):
    from matplotlib import pyplot as plt

    monkeypatch.chdir(tmp_path)
    codes, labels, numbers = made()
    folder = Path("lightning_logs/visualize/version_0")
    write(folder, "scatter", numbers, render(scatter.draw(numbers)))
    exec(compile(LINES, "README", "exec"), {})
    assert Path("my_scatter.png").stat().st_size > 5000
    axis, bar = plt.gcf().axes
    (points,) = axis.collections
    np.testing.assert_allclose(points.get_offsets(), codes, rtol=1e-6)
    np.testing.assert_array_equal(points.get_array(), labels)
    assert bar.get_ylim() == (-0.5, 9.5)
    shown = np.unique(points.to_rgba(points.get_array()), axis=0)
    assert len(shown) == 10, "a colour for each class"
    plt.close("all")
    for name in ("README.md", "README.zh-CN.md"):
        text = (Path(__file__).parents[2] / name).read_text(encoding="utf-8")
        if "scatter.npz" in text:
            assert all(line in text for line in LINES.strip().splitlines()), name


def test_a_run_draws_all_test_codes_and_computes_them_once(tmp_path, monkeypatch):
    from sae.training import evaluate

    asked = []
    encoded = evaluate.encoded
    monkeypatch.setattr(
        evaluate, "encoded", lambda net, loader: asked.append(len(loader.x)) or encoded(net, loader)
    )
    run = fit("--model.sizes", "[784, 8, 2]")
    numbers, summary = load(run / "scatter.npz"), read(run, "summary.json")
    assert (run / "scatter.png").exists()
    n = len(numbers["points"])
    assert asked.count(n) == 1
    assert numbers["labels"].shape == (n,)
    assert numbers["classes"].tolist() == list(range(10))
    assert re.fullmatch(rf"Codes of all {n} test images", str(numbers["title"]))
    from sae.data import DigitsDataModule
    from sae.run.model import load_run

    data = DigitsDataModule()
    data.setup()
    assert n == len(data.test)
    np.testing.assert_array_equal(numbers["labels"], data.test.y)
    wanted = load_run(run).encode(data.test.x).numpy()
    np.testing.assert_allclose(numbers["points"], wanted, rtol=1e-3, atol=1e-5)
    assert "knn_accuracy" in summary["test"]


def test_without_pictures_there_is_none():
    run = fit("--pictures_every", "-1")
    assert not list(run.glob("scatter.*"))
    assert "knn_accuracy" in read(run, "summary.json")["test"]
