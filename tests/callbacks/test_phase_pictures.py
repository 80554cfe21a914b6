from __future__ import annotations

import copy
import gc
import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from helpers import tiny_data, tiny_scene, tiny_stack
from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sae.callbacks import phase_pictures as drawing
from sae.callbacks.phase_pictures import PhasePictures
from sae.pictures import reconstructions
from sae.pictures.gallery import ours
from sae.pictures.numbers import load
from sae.pictures.scene import Probe, Scene
from sae.pictures.style import render
from sae.training.recipe import Recipe
from sae.training.stage import Stage

OF_PHASES = [picture for picture in ours() if picture.of_phases]

ACTIVITY = next(picture for picture in OF_PHASES if picture.name == "activity")
AT_THE_END = {"stage1/reconstructions", "stage1/features", "stage1/activity", "stage1/codes"}


def fit(tmp_path, every, logger=True, epochs=4, n=96) -> Scene:
    stack = tiny_stack()
    stage = Stage(stack, 0, Recipe(lr=0.01))
    board = TensorBoardLogger(tmp_path, name="", version="stage1") if logger else False
    data = tiny_data(n=n)
    scene = Scene(stage, stack, Probe(data, 6), "stage 1/2 12→6")
    trainer = Trainer(
        max_epochs=epochs,
        logger=board,
        callbacks=[PhasePictures(scene, tmp_path / "pictures", every)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(stage, data.train_dataloader(), data.val_dataloader())
    return scene


def images(tmp_path) -> EventAccumulator:
    return EventAccumulator(str(tmp_path / "stage1"), size_guidance={"images": 0}).Reload()


def pixels(png: bytes | Path) -> np.ndarray:
    file = io.BytesIO(png) if isinstance(png, bytes) else png
    return np.asarray(PIL.Image.open(file).convert("RGB"))


@pytest.mark.parametrize(("every", "steps"), [(0, [20]), (1, [5, 10, 15, 20]), (2, [10, 20])])
def test_those_with_a_slider_are_drawn_while_it_trains_all_at_its_end(tmp_path, every, steps):
    fit(tmp_path, every)
    board = images(tmp_path)
    assert set(board.Tags()["images"]) == AT_THE_END
    for tag in AT_THE_END:
        slides = tag.split("/")[1] in {picture.name for picture in ours() if picture.slides}
        assert [event.step for event in board.Images(tag)] == (steps if slides else [20])


def test_the_file_is_the_last_picture_of_tensorboard(tmp_path):
    fit(tmp_path, 1)
    board = images(tmp_path)
    for tag in AT_THE_END:
        shown = board.Images(tag)[-1]
        file = tmp_path / "pictures" / f"{tag.split('/')[1]}.png"
        np.testing.assert_array_equal(pixels(file), pixels(shown.encoded_image_string))
        assert pixels(file).shape == (shown.height, shown.width, 3)
        assert pixels(file).std() > 5, "blank"


def test_the_numbers_beside_a_picture_are_those_it_shows(tmp_path):
    scene = fit(tmp_path, 0)
    folder = tmp_path / "pictures"
    for picture in OF_PHASES:
        if picture.numbers(scene) is None:  # it trains without noise, and its code has no prior
            assert picture.name in ("denoising", "samples")
            assert not (folder / f"{picture.name}.png").exists()
            continue
        drawn = render(picture.draw(load(folder / f"{picture.name}.npz")))
        assert drawn.content == (folder / f"{picture.name}.png").read_bytes()
    last = load(folder / "reconstructions.npz")
    np.testing.assert_array_equal(last["images"], reconstructions.numbers(scene)["images"])


def test_the_slider_shows_the_weights_of_its_epoch(tmp_path, monkeypatch):
    seen = []
    own = reconstructions.draw
    for_all = [
        picture if picture.name != "reconstructions" else _spy(picture, own, seen)
        for picture in OF_PHASES
    ]
    monkeypatch.setattr("sae.callbacks.phase_pictures.ours", lambda: tuple(for_all))
    fit(tmp_path, 1)
    errors = [float(numbers["sse"][1]) for numbers in seen]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1.01 * errors[-1]
    whens = [str(numbers["subtitle"]).split(" · ")[0] for numbers in seen]
    assert whens == ["after 1 epoch", "after 2 epochs", "after 3 epochs", "after 4 epochs"]


def test_what_the_units_do_is_looked_at_anew(tmp_path):
    scene = tiny_scene("stage1")
    drawing.draw([ACTIVITY], scene, tmp_path)
    before = load(tmp_path / "activity.npz")["activity"]
    with torch.no_grad():
        scene.stack[0].bias.add_(1)
    drawing.draw([ACTIVITY], scene, tmp_path)
    assert (load(tmp_path / "activity.npz")["activity"] > before).all()


def _spy(picture, draw, seen):
    def look(numbers):
        seen.append(numbers)
        return draw(numbers)

    spy = copy.copy(picture)
    spy.draw = look
    return spy


def test_before_fine_tuning_is_before_also_where_it_goes_on_from_a_checkpoint(tmp_path):
    """The Trainer reads the checkpoint after its callbacks are set up."""
    first = tiny_scene()
    before = first.stack[0].weight.detach().clone()
    data = tiny_data()

    def trainer(epochs, *callbacks):
        return Trainer(
            max_epochs=epochs,
            logger=False,
            callbacks=list(callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )

    fitted = trainer(1)
    fitted.fit(first.module, data.train_dataloader(), data.val_dataloader())
    fitted.save_checkpoint(tmp_path / "x.ckpt")
    again = tiny_scene()
    callback = PhasePictures(again, tmp_path / "pictures", 0)
    trainer(2, callback).fit(
        again.module,
        data.train_dataloader(),
        data.val_dataloader(),
        ckpt_path=tmp_path / "x.ckpt",
        weights_only=True,
    )
    assert not torch.equal(again.stack[0].weight, before)
    untouched = tiny_scene()
    np.testing.assert_array_equal(again.code_before, untouched.codes())


def test_it_is_drawn_in_eval_mode_and_the_mode_comes_back(tmp_path):
    seen = []
    scene = tiny_scene()
    scene.module.train()
    own = scene.codes
    scene.codes = lambda: (seen.append((scene.module.training, torch.is_grad_enabled())), own())[1]
    callback = PhasePictures(scene, tmp_path)
    callback.on_fit_end(Trainer(logger=False, enable_checkpointing=False), scene.module)
    assert seen
    assert set(seen) == {(False, False)}
    assert scene.module.training
    assert torch.is_grad_enabled()


def test_without_tensorboard_there_are_still_files_and_none_while_it_trains(tmp_path, monkeypatch):
    drawn = []
    own = render
    monkeypatch.setattr(
        "sae.callbacks.phase_pictures.render", lambda *args: (drawn.append(1), own(*args))[1]
    )
    fit(tmp_path, 1, logger=False)
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    stems = {tag.split("/")[1] for tag in AT_THE_END}
    assert names == {f"{stem}{end}" for stem in stems for end in (".png", ".npz")}
    assert len(drawn) == len(stems)


@pytest.mark.slow
def test_nothing_grows_over_two_hundred_epochs(tmp_path):
    """No figure is left, and the memory of the process stays where it was."""
    resident: list[int] = []
    own = PhasePictures.on_train_epoch_end

    class Watch(PhasePictures):
        def on_train_epoch_end(self, trainer, pl_module):
            own(self, trainer, pl_module)
            if trainer.current_epoch % 50 == 49:
                gc.collect()
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                resident.append(pages * 4096)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "PhasePictures", Watch)
        fit(tmp_path, 1, epochs=201)
    assert len(resident) == 4
    # A picture that is kept takes half a megabyte and more; a large process wavers by 40 MB.
    assert resident[-1] - resident[0] < 75e6, [f"{r / 1e6:.0f} MB" for r in resident]
    gc.collect()
    assert not [thing for thing in gc.get_objects() if type(thing) is Figure]


def test_a_table_begins_with_whole_numbers_where_they_are(tmp_path):
    drawing.write_table(tmp_path / "a.csv", ["label", "x"], np.array([[1234567.0, 0.5]]))
    assert (tmp_path / "a.csv").read_text().split() == ["label,x", "1234567,0.5"]
    drawing.write_table(tmp_path / "b.csv", ["x", "y"], np.array([[-1.25, 2.0], [3.0, 0.5]]))
    assert (tmp_path / "b.csv").read_text().split() == ["x,y", "-1.25,2", "3,0.5"]
