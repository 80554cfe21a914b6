from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from helpers import tiny_data, tiny_model, tiny_stack
from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib import image as plt_image
from matplotlib import pyplot as plt
from matplotlib.collections import PathCollection
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchvision.utils import make_grid

from sae.callbacks import LatentScatter, ReconstructionPictures, first_of_each_class, pictures
from sae.callbacks.picture import render
from sae.corruption import Corruption
from sae.modules import Stage
from sae.recipe import Recipe

SHAPE = (4, 3)


def images(n=5) -> torch.Tensor:
    return torch.rand(n, 12, generator=torch.Generator().manual_seed(0))


def reconstruction_axes(module, n=5):
    callback = ReconstructionPictures(images(n), SHAPE, "title", "folder")
    return callback.draw(module.eval()).axes


def test_the_rows_are_make_grids_of_the_models_own_output():
    model, x = tiny_model(), images()
    original, rebuilt = reconstruction_axes(model)
    for axis, row in ((original, x), (rebuilt, model(x))):
        grid = make_grid(row.detach().view(5, 1, *SHAPE).clamp(0, 1), nrow=5, padding=1)
        shown = np.asarray(axis.images[0].get_array())
        np.testing.assert_array_equal(shown, grid.permute(1, 2, 0).numpy())
    sse = (model(x) - x).square().sum(dim=1).mean().item()
    assert rebuilt.get_ylabel() == f"reconstruction\nSSE {sse:.2f}"


def test_a_denoising_stage_shows_what_it_was_given():
    stage = Stage(tiny_stack(), 1, Recipe(corruption=Corruption("gaussian", 0.3)))
    labels = [axis.get_ylabel().split("\n")[0] for axis in reconstruction_axes(stage)]
    assert labels == ["original", "corrupted", "reconstruction"]


def scatter(module, n=40):
    labels = torch.arange(n) % 4
    callback = LatentScatter(images(n), labels, "title", "folder")
    figure = callback.draw(module.eval())
    dots = next(c for c in figure.axes[0].collections if isinstance(c, PathCollection))
    return figure, dots, labels


def test_two_dimensional_codes_are_shown_as_they_are():
    model = tiny_model(sizes=[12, 6, 2])
    figure, dots, labels = scatter(model)
    np.testing.assert_allclose(dots.get_offsets(), model.encode(images(40)).detach(), rtol=1e-6)
    np.testing.assert_array_equal(dots.get_array(), labels)
    assert figure.axes[0].get_xlabel() == "h[0]"


def test_larger_codes_go_through_pca():
    model = tiny_model(sizes=[12, 6])
    figure, dots, _ = scatter(model)
    codes = model.encode(images(40)).detach().numpy()
    centred = codes - codes.mean(axis=0)
    _, _, v = np.linalg.svd(centred)
    expected = np.abs(centred @ v[:2].T)
    np.testing.assert_allclose(np.abs(dots.get_offsets()), expected, atol=1e-5)
    assert figure.axes[0].get_xlabel().startswith("PC1 of the code (")


def test_one_dimensional_codes_are_shown_over_their_label():
    model = tiny_model(sizes=[12, 1])
    _, dots, labels = scatter(model)
    np.testing.assert_array_equal(np.asarray(dots.get_offsets())[:, 1], labels)


def test_the_colour_bar_names_the_classes():
    figure, _, _ = scatter(tiny_model())
    bar = figure.axes[1]
    assert bar.get_ylabel() == "label"
    assert [tick.get_text() for tick in bar.get_yticklabels()] == ["0", "1", "2", "3"]


def test_pictures_are_drawn_in_eval_mode_and_the_mode_comes_back(tmp_path):
    seen = []

    class Watch(ReconstructionPictures):
        def draw(self, module):
            seen.append((module.training, torch.is_grad_enabled()))
            return super().draw(module)

    model = tiny_model().train()
    callback = Watch(images(), SHAPE, "title", tmp_path)
    trainer = Trainer(logger=False, enable_checkpointing=False)
    callback.on_fit_end(trainer, model)
    assert seen == [(False, False)]
    assert model.training


def fit(tmp_path, every, logger=True, epochs=4):
    stage = Stage(tiny_stack(), 0, Recipe(lr=0.01))
    board = TensorBoardLogger(tmp_path, name="", version="stage1") if logger else False
    data = tiny_data()
    callbacks = pictures("stage 1/2", data, tmp_path / "pictures", every)
    trainer = Trainer(
        max_epochs=epochs,
        logger=board,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(stage, data.train_dataloader(), data.val_dataloader())
    return tmp_path


@pytest.mark.parametrize(("every", "steps"), [(0, [20]), (1, [5, 10, 15, 20]), (2, [10, 20])])
def test_they_go_into_tensorboard_and_the_last_into_the_folder(tmp_path, every, steps):
    fit(tmp_path, every)
    board = EventAccumulator(str(tmp_path / "stage1"), size_guidance={"images": 0}).Reload()
    assert sorted(board.Tags()["images"]) == ["stage1/codes", "stage1/reconstructions"]
    for tag in board.Tags()["images"]:
        assert [event.step for event in board.Images(tag)] == steps
        last = board.Images(tag)[-1]
        png = plt_image.imread(tmp_path / "pictures" / f"{tag.split('/')[1]}.png")
        assert png.shape[:2] == (last.height, last.width)
        assert png[..., :3].std() > 0.01, "blank"


def test_without_tensorboard_there_are_still_pngs(tmp_path):
    fit(tmp_path, 1, logger=False)
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["codes.png", "codes_2d.csv", "reconstructions.png"]


def test_the_points_are_written_beside_the_scatter(tmp_path):
    fit(tmp_path, 0)
    lines = (tmp_path / "pictures" / "codes_2d.csv").read_text().splitlines()
    assert lines[0] == "PC1,PC2,label"
    assert len(lines) == 1 + 16


def test_no_figure_is_left_open(tmp_path):
    before = plt.get_fignums()
    fit(tmp_path, 1)
    gc.collect()
    assert plt.get_fignums() == before


def test_render_gives_the_pixels_of_the_figure():
    pixels = render(ReconstructionPictures(images(), SHAPE, "t", "f").draw(tiny_model().eval()))
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3


def test_the_probe_holds_each_class_once_in_order():
    labels = torch.tensor([2, 0, 2, 1, 0])
    assert first_of_each_class(labels).tolist() == [1, 3, 0]


def test_pictures_name_the_data(tmp_path):
    for callback in pictures("stage 1/2 12→6", tiny_data(), tmp_path, 5):
        assert callback.title == "stage 1/2 12→6\ntiny, validation images"


def test_the_probe_is_not_of_the_test_images(tmp_path):
    """Contract 5."""
    data = tiny_data()
    shown = pictures("t", data, tmp_path, 5)[1].images
    assert torch.equal(shown, data.val.x.float() / 255)
