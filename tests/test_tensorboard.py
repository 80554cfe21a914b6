"""A run's story as TensorBoard and a browser tell it: both are real ones."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from board import addresses_asked, browsing, images_of, serving
from helpers import fit, read

from sae.callbacks.metrics_csv import read_metrics
from sae.cli.command import main
from sae.data import DigitsDataModule
from sae.pictures.gallery import captions, ours

OF_PHASES = [picture for picture in ours() if picture.of_phases]
# Those of a variational code, and of a classifier.
OF_OTHERS = {"samples", "confusion"}

NAME = "digits/version_0"
PHASES = ("stage1", "stage2", "finetune")


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Path:
    """A run that has everything to show, its folder given whole."""
    before, folder = Path.cwd(), tmp_path_factory.mktemp("story")
    os.chdir(folder)
    try:
        noisy = ["--finetune.corruption", '{"kind": "masking", "level": 0.3}']
        noisy += ["--pretrain.corruption", '{"kind": "masking", "level": 0.3}']
        options = ["--pretrain.sparsity", '{"rho": 0.1}', "--finetune.patience", "9"]
        run = fit(*noisy, *options, "--model.sizes", "[784, 12, 2]", "--pictures_every", "1",
                  "--projector=true").resolve()  # fmt: skip
    finally:
        os.chdir(before)
    return run


@pytest.fixture(scope="module")
def board(story):
    with serving(story.parents[1]) as served:
        yield served


# What TensorBoard reads back


def test_the_phases_lie_side_by_side_and_the_run_as_a_whole_before_them(board):
    runs = board.ask("scalars/tags")
    assert set(runs) == {NAME, *(f"{NAME}/{phase}" for phase in PHASES)}
    for phase in PHASES:
        heads = {tag.split("/")[0] for tag in runs[f"{NAME}/{phase}"]}
        assert heads == {phase, "path"}
    assert {tag.split("/")[0] for tag in runs[NAME]} == {"test", "val"}


def test_the_whole_path_is_one_tag_on_one_axis(board, story):
    metrics = read_metrics(story / "metrics.csv")
    steps = []
    for phase in PHASES:
        tag = "path/val/image_sse"
        curve = board.ask("scalars/scalars", run=f"{NAME}/{phase}", tag=tag)
        steps += [step for _, step, _ in curve]
        wanted = [row["val/image_sse"] for (name, _), row in metrics.items() if name == phase]
        assert [value for _, _, value in curve] == pytest.approx(wanted, rel=1e-5)
    assert steps == [1, 2, 3, 4, 5, 6]


def test_the_charts_are_laid_out_in_the_order_of_the_run(board):
    layout = board.ask("custom_scalars/layout")
    titles = [category["title"].split(" ")[0] for category in layout["category"]]
    assert titles == ["the", "stage", "stage", "fine-tune", "test"]
    asked = [
        tag
        for category in layout["category"]
        for chart in category["chart"]
        for tag in chart["multiline"]["tag"]
    ]
    there = {tag for tags in board.ask("scalars/tags").values() for tag in tags}
    assert set(asked) <= there


def test_every_picture_is_there_and_slides_where_it_should(board):
    tags = {}
    for run, found in board.ask("images/tags").items():
        tags |= {tag: (run, info) for tag, info in found.items()}
    everywhere = {picture.name for picture in OF_PHASES} - OF_OTHERS
    on_codes = everywhere - {"denoising"}
    wanted = {f"stage1/{name}" for name in everywhere} | {f"stage2/{name}" for name in on_codes}
    wanted |= {f"finetune/{picture.name}" for picture in ours() if picture.name not in OF_OTHERS}
    assert set(tags) == wanted | {"path/losses", "test/scatter"}
    for phase, steps in (("stage1", [20, 40]), ("finetune", [20, 40])):
        run = f"{NAME}/{phase}"
        shown = board.ask("images/images", run=run, tag=f"{phase}/codes", sample="0")
        assert [image["step"] for image in shown] == steps


def test_the_last_image_is_the_file(board, story):
    run, tag = f"{NAME}/finetune", "finetune/reconstructions"
    shown = board.ask("images/images", run=run, tag=tag, sample="0")[-1]
    content = board.raw(f"images/individualImage?{shown['query']}")
    assert content == (story / "finetune" / "reconstructions.png").read_bytes()


def test_config_and_summary_are_on_the_text_tab(board, story):
    texts = {
        tag.split("/")[0]: board.ask("text/text", run=NAME, tag=tag)[-1]["text"]
        for tag in board.ask("text/tags")[NAME]
    }
    assert set(texts) == {"config", "summary"}
    assert "linear_code: false" in texts["config"]
    assert f"{read(story, 'summary.json')['test']['sse']:.2f}" in texts["summary"]


def test_hyperparameters_stand_beside_the_test_figures(board, story):
    request = {"experimentName": "", "startIndex": 0, "sliceSize": 9, "colParams": []}
    request |= {"allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_RUNNING"]}
    experiment = board.ask("hparams/experiment", post={"experimentName": ""})
    names = {info["name"] for info in experiment["hparamInfos"]}
    assert {"model.sizes", "pretrain.lr", "finetune.epochs", "seed_everything"} <= names
    columns = [{"metric": info["name"]} for info in experiment["metricInfos"]]
    groups = board.ask("hparams/session_groups", post=request | {"colParams": columns})
    (group,) = groups["sessionGroups"]
    assert group["hparams"]["model.sizes"] == "[784, 12, 2]"
    found = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
    summary = read(story, "summary.json")
    for name, value in summary["test"].items():
        assert found[f"test/{name}"] == pytest.approx(value, rel=1e-4)
    assert found["val/sse"] == pytest.approx(summary["val"]["sse"], rel=1e-4)


def test_the_projector_loads_codes_classes_and_images(board, story):
    assert board.ask("projector/runs") == [NAME]
    (tensor,) = board.ask("projector/info", run=NAME)["embeddings"]
    n, units = tensor["tensorShape"]
    assert units == 2
    name = {"run": NAME, "name": tensor["tensorName"]}
    codes = np.frombuffer(board.raw("projector/tensor", **name), dtype="<f4").reshape(n, units)
    shown = np.genfromtxt(story / "finetune" / "codes.csv", delimiter=",", names=True)
    np.testing.assert_allclose(codes, np.column_stack([shown["h0"], shown["h1"]]), rtol=1e-4)
    head, *rows = board.raw("projector/metadata", **name).decode().splitlines()
    assert head.split("\t") == ["class", "image"], "a header of one column is taken for data"
    labels = shown["label"].astype(int)
    assert rows == [f"{label}\t{k}" for k, label in enumerate(labels)]
    sprite = PIL.Image.open(io.BytesIO(board.raw("projector/sprite_image", **name)))
    width, height = tensor["sprite"]["singleImageDim"]
    assert (width, height) == (28, 28)
    data = DigitsDataModule()
    data.setup()
    across = sprite.width // width
    for k in (0, 1, n - 1):
        row, column = divmod(k, across)
        tile = np.asarray(sprite.convert("L"))[28 * row :, 28 * column :][:28, :28]
        wanted = data.val.x[k].reshape(28, 28).numpy().astype(int)
        np.testing.assert_allclose(tile.astype(int), wanted, atol=2)


# What a browser shows


def test_a_browser_shows_the_pictures_of_tensorboard(board, story, tmp_path):
    with browsing(tmp_path) as browser:
        browser.get(f"{board.url}/?tagFilter=finetune#timeseries")
        shown = images_of(browser, 4)
        assert all(image["spread"] > 5 for image in shown), "blank"
        sizes = {(image["width"], image["height"]) for image in shown}
        files = {PIL.Image.open(path).size for path in (story / "finetune").glob("*.png")}
        assert sizes <= files


def test_a_browser_shows_the_report_and_asks_for_nothing_else(story, tmp_path, capsys):
    main(["report", "--run", str(story)])
    page = story / "report.html"
    assert capsys.readouterr().out.startswith("report: ")
    with browsing(tmp_path) as browser:
        browser.get(page.as_uri())
        pictures = list(story.rglob("*.png"))
        pictures = [path for path in pictures if path.name != "sprite.png"]
        shown = images_of(browser, len(pictures))
        assert len(shown) == len(pictures)
        assert all(image["spread"] > 5 for image in shown), "blank"
        assert browser.title == "digits/version_0 · sae"
        asked = [u for u in addresses_asked(browser) if not u.startswith(("data:", "chrome:"))]
        assert asked == [page.as_uri()], "it must need nothing but itself"
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(wide) == 0
        browser.set_window_size(420, 900)
        assert browser.execute_script(wide) == 0, "on a phone"


# The report itself


def test_the_report_tells_the_story_in_order(story, capsys):
    main(["report", "--run", str(story)])
    page = (story / "report.html").read_text(encoding="utf-8")
    heads = [part.split("</h2>")[0].split(">")[1] for part in page.split("<h2")[1:]]
    assert heads[:2] == ["Figures", "Health"]
    titles = [phase["title"] for phase in read(story, "manifest.json")["phases"]]
    assert heads[2:] == [*titles, "Config", "Surroundings"]
    summary = read(story, "summary.json")
    assert f"<td>{summary['test']['sse']:.2f}</td>" in page
    assert f"<td>{100 * summary['health']['stage1']['saturated']:.1f}%</td>" in page
    assert "linear_code: false" in page
    for caption in (words for name, words in captions().items() if name not in OF_OTHERS):
        assert caption.replace("&", "&amp;").replace("'", "&#39;") in page


def test_the_report_holds_the_very_pictures(story, capsys):
    import base64

    main(["report", "--run", str(story)])
    page = (story / "report.html").read_text(encoding="utf-8")
    held = {
        base64.b64decode(part.split('"')[0]) for part in page.split("data:image/png;base64,")[1:]
    }
    files = [path for path in story.rglob("*.png") if path.name != "sprite.png"]
    assert held == {path.read_bytes() for path in files}


def test_nothing_in_a_run_can_put_code_into_its_report(story, tmp_path, capsys):
    import shutil

    copy = shutil.copytree(story, tmp_path / "version_<b>0")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["phases"][0]["warnings"] = ["<script>alert(1)</script>"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    (copy / "config.yaml").write_text("name: </pre><script>alert(2)</script>")
    main(["report", "--run", str(copy)])
    page = (copy / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;script&gt;alert(2)" in page
