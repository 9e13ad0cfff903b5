"""Every kind of picture becomes the colors that it shows."""

import struct

import numpy as np
import pytest
from picture_files import (
    OWN_GRAY,
    OWN_RGBA,
    chunk,
    oriented,
    random_pixels,
    read,
    read_one,
    save,
    wanted,
    write_png,
    write_tiff,
)
from PIL import Image

from deepseek_core.cli.pictures.option_values import Range

PIXELS = random_pixels(6, 9, 3)
OWN_FLOAT = wanted(1, "H", "W", 1, batch_axis=None, dtype="float64")


def read_failing(folder, **options):
    """The errors, beside a picture that can be read."""
    save(folder, np.zeros((2, 2), np.uint8), "zz.png")
    return [p.error for p in read(folder, OWN_FLOAT, **options) if p.error]


# What a viewer does with the stored pixels (EXIF 2.32, table 4)
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("number", [*TURNS, 0, 9])
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_pictures_are_turned_as_exif_says(tmp_path, suffix, number):
    options = {"lossless": True} if suffix == "webp" else {}
    save(tmp_path, PIXELS, f"a.{suffix}", exif=oriented(number), **options)
    np.testing.assert_array_equal(read_one(tmp_path), TURNS.get(number, TURNS[1])(PIXELS))


def test_deep_pictures_are_turned_too(tmp_path):
    deep = np.arange(54, dtype=np.uint16).reshape(6, 9) * 1000
    save(tmp_path, deep, exif=oriented(6))
    gray = read_one(tmp_path, OWN_FLOAT)[..., 0]
    np.testing.assert_allclose(gray, np.rot90(deep, -1) / 65535, atol=1e-6)


def test_the_size_of_a_turned_picture_is_that_of_the_upright_one(tmp_path):
    save(tmp_path, PIXELS, "a.png", exif=oriented(6))
    save(tmp_path, np.rot90(PIXELS), "b.tif")
    save(tmp_path, PIXELS, "c.tif", exif=oriented(8))
    shapes = {p.array.shape for p in read(tmp_path, wanted("n", "H", "W", 3))}
    assert shapes == {(9, 6, 3)}


def test_an_orientation_after_the_pixels_counts(tmp_path):
    rows = [row.tobytes() for row in PIXELS]
    late = chunk(b"eXIf", oriented(3).tobytes().removeprefix(b"Exif\0\0"))
    write_png(tmp_path / "a.png", (9, 6), (8, 2), rows, after=late)
    np.testing.assert_array_equal(read_one(tmp_path), PIXELS[::-1, ::-1])


def test_damaged_exif_data_does_not_cost_the_picture(tmp_path):
    save(tmp_path, PIXELS, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    np.testing.assert_array_equal(read_one(tmp_path), PIXELS)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB"])
def test_every_mode_has_colors(tmp_path, mode):
    image = Image.new("RGB", (4, 3), (255, 255, 255))
    image = image.convert(mode) if mode != "LAB" else Image.new("LAB", (4, 3), (255, 128, 128))
    save(tmp_path, image, "a.jpg" if mode == "YCbCr" else "a.tif")
    assert (read_one(tmp_path) >= 254).all()
    assert (read_one(tmp_path, OWN_GRAY) >= 254).all()
    assert read_one(tmp_path, OWN_RGBA).shape == (3, 4, 4)


def test_gray_weighs_the_colors(tmp_path):
    save(tmp_path, np.eye(3, dtype=np.uint8)[None] * 255)
    assert read_one(tmp_path, OWN_GRAY)[0, :, 0].tolist() == [76, 150, 29]


HALF = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [10, 20, 30, 128]]], np.uint8)


@pytest.mark.parametrize(
    ("background", "colors"),
    [
        ({}, [(10, 20, 30), (255, 255, 255), (132, 137, 142)]),
        ({"background": (0, 0, 200)}, [(10, 20, 30), (0, 0, 200), (5, 10, 115)]),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_the_background_shows_through(tmp_path, suffix, background, colors):
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    save(tmp_path, HALF, f"a.{suffix}", **options)
    shown = read_one(tmp_path, **background)[0]
    assert np.abs(shown - np.array(colors)).max() <= 1


def test_a_model_that_takes_alpha_gets_it(tmp_path):
    save(tmp_path, HALF)
    np.testing.assert_array_equal(read_one(tmp_path, OWN_RGBA), HALF)


def test_opaque_pictures_have_full_alpha(tmp_path):
    save(tmp_path, np.full((2, 2), 7, np.uint8), "a.png")
    save(tmp_path, np.full((2, 2), 257, np.uint16), "b.png")
    a, b = read(tmp_path, OWN_RGBA)
    assert a.array[0, 0].tolist() == [7, 7, 7, 255]
    assert b.array[0, 0].tolist() == [1, 1, 1, 255]


def test_a_transparent_palette_entry_shows_the_background(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 200, 0])
    image.putpixel((1, 0), 1)
    save(tmp_path, image, "a.png", transparency=0)
    save(tmp_path, image, "b.gif", transparency=0)
    for picture in read(tmp_path):
        assert picture.array[0].tolist() == [[255, 255, 255], [0, 200, 0]]


@pytest.mark.parametrize(
    ("kind", "row", "key", "gray"),
    [
        ((1, 0), b"\x40", (1,), [0, 255]),
        ((2, 0), b"\x60", (1,), [255, 170]),
        ((4, 0), b"\x7a", (7,), [255, 170]),
        ((8, 0), b"\x07\x08", (7,), [255, 8]),
        ((16, 0), b"\x12\x34\x56\x56", (0x1234,), [255, 86]),
        ((8, 2), b"\x07\x07\x07\x08\x08\x08", (7, 7, 7), [255, 8]),
        ((16, 2), b"\x12\x34" * 3 + b"\x56\x56" * 3, (0x1234,) * 3, [255, 86]),
    ],
)
def test_the_transparent_color_of_a_png_counts_at_every_depth(tmp_path, kind, row, key, gray):
    key = chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))
    write_png(tmp_path / "a.png", (2, 1), kind, [row], before=key)
    assert read_one(tmp_path, OWN_GRAY)[0, :, 0].tolist() == gray


def test_of_several_frames_the_first_is_read(tmp_path):
    frames = [Image.new("L", (3, 3), color) for color in (50, 100, 200)]
    for suffix in ("gif", "tif", "webp", "png"):
        options = {"lossless": True} if suffix == "webp" else {}
        save(tmp_path, frames[0], f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    assert [int(p.array[0, 0, 0]) for p in read(tmp_path)] == [50] * 4


def test_16_bits_of_gray_are_kept(tmp_path):
    deep = np.array([[0, 1, 256, 4660, 65535]], np.uint16)
    save(tmp_path, deep, "a.png")
    save(tmp_path, deep, "b.tif")
    write_tiff(tmp_path / "c.tif", 65535 - deep, t262=0)  # white is zero
    (tmp_path / "d.pgm").write_bytes(b"P5 5 1 65535 " + deep.astype(">u2").tobytes())
    for picture in read(tmp_path, OWN_FLOAT):
        np.testing.assert_allclose(picture.array[0, :, 0], deep[0] / 65535, atol=1e-9)


def test_12_bits_are_scaled_by_their_own_range(tmp_path):
    packed = np.frombuffer(bytes([0xFF, 0xF8, 0x00]), np.uint8)[None]  # 4095, 2048
    write_tiff(tmp_path / "a.tif", packed, t256=2, t258=12)
    gray = read_one(tmp_path, OWN_FLOAT)[0, :, 0]
    assert gray == pytest.approx([1, 2048 / 4095])


def test_a_source_range_says_what_16_bits_hold(tmp_path):
    save(tmp_path, np.array([[0, 2048, 4095]], np.uint16))
    gray = read_one(tmp_path, OWN_FLOAT, source_range=Range(0, 4095))
    assert gray[0, :, 0] == pytest.approx([0, 2048 / 4095, 1])
    (error,) = read_failing(tmp_path, source_range=Range(0, 4000))
    assert error.startswith("has values from 0 to 4095, outside 0..4000 -> ")


def test_16_bits_become_bytes_by_rounding(tmp_path):
    deep = np.array([[0, 128, 129, 65535]], np.uint16)
    save(tmp_path, deep)
    assert read_one(tmp_path, OWN_GRAY)[0, :, 0].tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.0, 1.5], "has values from 0 to 1.5, outside 0..1"),
        ([-0.1, 1.0], "has values from -0.1 to 1, outside 0..1"),
        ([0.0, np.nan], "not finite"),
        ([0.0, np.inf], "not finite"),
    ],
)
def test_floats_outside_0_to_1_are_not_guessed_at(tmp_path, values, words):
    save(tmp_path, np.array([values], np.float32), "a.tif")
    (error,) = read_failing(tmp_path)
    assert words in error


def test_floats_are_taken_as_they_are(tmp_path):
    floats = np.array([[0, 0.25, 1]], np.float32)
    save(tmp_path, floats, "a.tif")
    np.testing.assert_array_equal(read_one(tmp_path, OWN_FLOAT)[..., 0], floats)
    wide = np.array([[-1000, 0, 1000]], np.float32)
    save(tmp_path, wide, "a.tif")
    spread = read_one(tmp_path, OWN_FLOAT, source_range=Range(-1000, 1000))
    assert spread[0, :, 0].tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(("dtype", "form"), [("int16", 2), ("int32", 2), ("uint32", 1)])
def test_signed_and_32_bit_integers_need_a_source_range(tmp_path, dtype, form):
    stored = np.array([[0, 1000, 2000]], dtype)
    write_tiff(tmp_path / "a.tif", stored, t339=form)
    (error,) = read_failing(tmp_path)
    assert error.startswith("has signed or 32-bit integers")
    (tmp_path / "zz.png").unlink()
    gray = read_one(tmp_path, OWN_FLOAT, source_range=Range(0, 2000))
    assert gray[0, :, 0].tolist() == [0, 0.5, 1]


def test_large_unsigned_integers_do_not_turn_negative(tmp_path):
    write_tiff(tmp_path / "a.tif", np.array([[0, 2**31, 2**32 - 256]], np.uint32), t339=1)
    gray = read_one(tmp_path, OWN_FLOAT, source_range=Range(0, 2**32))
    assert gray[0, :, 0] == pytest.approx([0, 0.5, 1])


def test_signed_bytes_are_refused(tmp_path):
    write_tiff(tmp_path / "a.tif", np.array([[-1, 1]], np.int8), t339=2)
    (error,) = read_failing(tmp_path)
    assert "signed 8-bit" in error


def test_deep_pictures_are_resized_and_padded_in_their_own_range(tmp_path):
    save(tmp_path, np.full((8, 16), 30000, np.uint16))
    wants = wanted("n", 16, 16, 3, dtype="float32")
    padded = read_one(tmp_path, wants, resize="pad", pad_color=(255, 255, 255))
    np.testing.assert_allclose(padded[8], 30000 / 65535, rtol=1e-6)
    assert (padded[0] == 1).all()


def test_overshoot_of_bicubic_stays_in_range(tmp_path):
    edge = np.zeros((32, 32), np.uint16)
    edge[:, 16:] = 65535
    save(tmp_path, edge)
    wants = wanted("n", 48, 48, 1, dtype="float32")
    sharp = read_one(tmp_path, wants, interpolation="bicubic")
    assert (sharp.min(), sharp.max()) == (0, 1)
