from __future__ import annotations

import io

import numpy as np
import pytest
from image_files import GREY, GREY16, HEIGHT, RAMP, WIDTH, cut, lying, png16, rgb
from PIL import Image

from sae.data.image_files import DamagedError, Look, about, find_images, read_image
from sae.errors import InputError

IN_COLOUR, IN_GREY = Look(HEIGHT, WIDTH, True), Look(HEIGHT, WIDTH, False)
DEEP = Look(HEIGHT, WIDTH, False, bits=16)


def off(image: np.ndarray) -> float:
    """How far a picture is from the ramp, in shares of white."""
    ramp = RAMP[..., None] if image.ndim == 3 else RAMP
    return float(np.abs(image / np.iinfo(image.dtype).max - ramp).max())


def write_rgb(path):
    rgb().save(path)


WRITERS = {  # name: how it is written, colours, bits, and how far off it may be
    "grey.png": (lambda path: Image.fromarray(GREY).save(path), False, 8, 0.003),
    "grey.jpg": (lambda path: Image.fromarray(GREY).save(path, quality=95), False, 8, 0.02),
    "rgb.PNG": (lambda path: rgb().save(path, "png"), True, 8, 0.003),
    "rgb.webp": (lambda path: rgb().save(path, lossless=True), True, 8, 0.003),
    "cmyk.jpg": (lambda path: rgb().convert("CMYK").save(path, quality=95), True, 8, 0.02),
    "cmyk.tif": (lambda path: rgb().convert("CMYK").save(path), True, 8, 0.003),
    "grey_palette.png": (
        lambda path: Image.fromarray(GREY).convert("P").save(path), False, 8, 0.003,
    ),
    "palette.gif": (lambda path: rgb().convert("P").save(path), False, 8, 0.2),  # dithered
    "grey16.png": (lambda path: Image.fromarray(GREY16).save(path), False, 16, 1e-5),
    "grey16.tif": (lambda path: Image.fromarray(GREY16).save(path), False, 16, 1e-5),
    "rgb16.png": (
        lambda path: png16(path, np.repeat(GREY16[..., None], 3, axis=2)), True, 16, 1e-5,
    ),
    "opaque16.png": (
        lambda path: png16(path, np.dstack([GREY16, np.full_like(GREY16, 65535)])), False, 16, 1e-5,
    ),
    "opaque.png": (lambda path: rgb().convert("RGBA").save(path), True, 8, 0.003),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_each_kind_of_file_shows_the_same_ramp(name, tmp_path):
    write, colours, bits, allowed = WRITERS[name]
    path = tmp_path / name
    write(path)
    header = about(path)
    assert (header.height, header.width) == (HEIGHT, WIDTH)
    assert (header.colours, header.bits, header.lost) == (colours, bits, False)
    for look in (IN_COLOUR, IN_GREY, Look(HEIGHT, WIDTH, True, 16), DEEP):
        image = read_image(path, look)
        assert image.shape == look.shape
        assert image.dtype == (np.uint8 if look.bits == 8 else np.uint16)
        assert off(image) <= max(allowed, 0.003 if bits == 8 or look.bits == 8 else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png"])
def test_a_photo_is_turned_upright(name, orientation, tmp_path):
    lying(tmp_path / name, orientation)
    header = about(tmp_path / name)
    assert (header.height, header.width) == (HEIGHT, WIDTH)
    assert off(read_image(tmp_path / name, IN_COLOUR)) < 0.02


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bits_are_turned_upright_too(orientation, tmp_path):
    path = tmp_path / "x.png"
    plane = np.random.default_rng(0).integers(0, 65536, (2, 3)).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(plane).save(path, exif=exif)
    shown = np.random.default_rng(0).integers(0, 256, (2, 3)).astype(np.uint8)
    upright = io.BytesIO()
    Image.fromarray(shown).save(upright, "png", exif=exif)
    (tmp_path / "y.png").write_bytes(upright.getvalue())
    header = about(path)
    look = Look(header.height, header.width, False, 16)
    turned = read_image(tmp_path / "y.png", Look(header.height, header.width, False))
    deep = read_image(path, look)
    places = {int(v): k for k, v in np.ndenumerate(shown)}
    assert len(places) == 6
    assert np.array_equal(deep, np.vectorize(lambda v: plane[places[int(v)]])(turned))


def test_what_is_transparent_shows_white(tmp_path):
    image = np.zeros((2, 2, 4), np.uint8)
    image[0, 0] = [200, 0, 0, 255]
    image[0, 1] = [0, 0, 0, 51]  # a fifth of black on white
    Image.fromarray(image).save(tmp_path / "x.png")
    seen = read_image(tmp_path / "x.png", Look(2, 2, True))
    assert seen[0, 0].tolist() == [200, 0, 0]
    assert seen[0, 1].tolist() == [204, 204, 204]
    assert seen[1].tolist() == [[255] * 3] * 2
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "p.png", transparency=0)
    assert read_image(tmp_path / "p.png", Look(1, 2, True)).tolist() == [[[255] * 3, [40, 50, 60]]]
    png16(tmp_path / "d.png", np.array([[[1000, 0], [1000, 65535]]]))
    assert read_image(tmp_path / "d.png", Look(1, 2, False, 16)).tolist() == [[65535, 1000]]


def test_grey_of_colours_is_the_same_with_8_and_with_16_bits(tmp_path):
    colours = np.array([[[200, 0, 0], [0, 200, 0], [0, 0, 200]]], np.uint8)
    Image.fromarray(colours).save(tmp_path / "x.png")
    png16(tmp_path / "y.png", colours.astype(np.uint16) * 257)
    assert read_image(tmp_path / "x.png", Look(1, 3, False)).tolist() == [[60, 117, 23]]
    deep = read_image(tmp_path / "y.png", Look(1, 3, False, 16)) / 257
    assert deep[0] == pytest.approx([59.8, 117.4, 22.8], abs=0.01)


@pytest.mark.parametrize("look", [Look(12, 16, True), Look(12, 16, False, 16)])
@pytest.mark.parametrize("name", ["rgb.PNG", "rgb16.png"])
def test_another_size_keeps_the_ramp(name, look, tmp_path):
    WRITERS[name][0](tmp_path / name)
    image = read_image(tmp_path / name, look)
    wanted = RAMP.reshape(12, 2, 16, 2).mean(axis=(1, 3))
    share = image / np.iinfo(image.dtype).max
    assert np.abs(share - (wanted[..., None] if share.ndim == 3 else wanted)).max() < 0.02


def test_cropped_an_image_keeps_its_proportions_and_loses_its_sides(tmp_path):
    write_rgb(tmp_path / "x.png")
    stretched = read_image(tmp_path / "x.png", Look(24, 24, False))
    cropped = read_image(tmp_path / "x.png", Look(24, 24, False, crop=True))
    assert np.array_equal(cropped, GREY[:, 4:28])
    assert (stretched[:, 0] < cropped[:, 0]).all()


def test_a_large_photo_is_decoded_at_a_fraction_and_looks_the_same(tmp_path):
    rgb().resize((640, 480), Image.Resampling.BICUBIC).save(tmp_path / "x.jpg", quality=95)
    assert off(read_image(tmp_path / "x.jpg", IN_COLOUR)) < 0.03


def test_one_pixel(tmp_path):
    Image.new("L", (1, 1), 7).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png", Look(1, 1, False)).tolist() == [[7]]


def test_colours_of_16_bits_that_pillow_cannot_read_are_reported(tmp_path):
    pixels = np.repeat(GREY16[..., None], 3, axis=2).astype(">u2")
    (tmp_path / "x.ppm").write_bytes(b"P6 32 24 65535\n" + pixels.tobytes())
    header = about(tmp_path / "x.ppm")
    assert (header.bits, header.lost, header.kind) == (8, True, "RGB, 16 bits")
    assert off(read_image(tmp_path / "x.ppm", IN_COLOUR)) < 0.005


def test_a_film_says_that_it_holds_more(tmp_path):
    frames = [Image.new("L", (4, 4), k * 90) for k in range(3)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert about(tmp_path / "x.gif").more
    assert read_image(tmp_path / "x.gif", Look(4, 4, False)).max() == 0


@pytest.fixture
def broken(tmp_path):
    write_rgb(tmp_path / "good.png")
    cut(tmp_path / "good.png", tmp_path / "cut.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("no image")
    rgb().save(tmp_path / "good.jpg")
    cut(tmp_path / "good.jpg", tmp_path / "cut.jpg")
    Image.fromarray(RAMP.astype(np.float32)).save(tmp_path / "floats.tif")
    Image.fromarray((RAMP * 10**6).astype(np.int32)).save(tmp_path / "large.tif")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cut.png", "truncated"),
        ("cut.jpg", "truncated"),
        ("empty.png", "no bytes"),
        ("text.jpg", "not an image, despite its name"),
        ("floats.tif", "type float"),
        ("large.tif", "numbers from 0 to 1e\\+06, beyond 16 bits"),
    ],
)
def test_what_is_no_whole_image_says_why(name, reason, broken):
    with pytest.raises(DamagedError, match=reason):
        read_image(broken / name, IN_COLOUR)
    if name in ("empty.png", "text.jpg", "floats.tif"):
        with pytest.raises(DamagedError, match=reason):
            about(broken / name)


def test_the_images_of_a_folder(tmp_path):
    for name in ("b/2.png", "a/1.PNG", "a/deep/3.jpeg", "0.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for name in (".DS_Store", "a/Thumbs.db", "notes.txt", "b/table.csv", "a/._1.png"):
        (tmp_path / name).write_bytes(b"x")
    for name in (".ipynb_checkpoints", "__MACOSX", "nothing"):
        (tmp_path / name).mkdir()
    (tmp_path / "__MACOSX" / "1.png").write_bytes(b"x")
    found = find_images(tmp_path)
    names = [str(path.relative_to(tmp_path)) for path in found.paths]
    assert names == ["0.png", "a/1.PNG", "a/deep/3.jpeg", "b/2.png"]
    assert found.classes == [None, "a", "a", "b"]
    assert (found.hidden, found.foreign, found.empty) == (5, 2, ["nothing"])
    line = "5 hidden and 2 foreign files skipped; 1 folder without images (nothing)"
    assert found.passed_over() == line


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"expected a folder with images .*, found an empty folder"
    ):
        find_images(tmp_path)
    (tmp_path / "x.txt").touch()
    with pytest.raises(InputError, match="found 1 other files"):
        find_images(tmp_path)
    with pytest.raises(InputError, match="expected a folder of images, found a file"):
        find_images(tmp_path / "x.txt")
    with pytest.raises(InputError, match="expected a folder of images, found none"):
        find_images(tmp_path / "none")


def test_without_a_decoder_of_16_bits_in_colour_this_is_reported(tmp_path, monkeypatch):
    png16(tmp_path / "x.png", np.repeat(GREY16[..., None], 3, axis=2))
    monkeypatch.setattr("sae.data.image_files._decode_16_bits", lambda: None)
    header = about(tmp_path / "x.png")
    assert (header.bits, header.lost) == (8, True)
    assert off(read_image(tmp_path / "x.png", IN_COLOUR)) < 0.005
