"""Resize rules: where the pixels of a picture go."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_files import random_pixels, read, read_one, save, wanted
from PIL import Image

from deepseek_core.cli.pictures.layout import layout_of
from deepseek_core.cli.pictures.options import PictureOptions
from deepseek_core.cli.pictures.reading import open_pictures
from deepseek_core.cli.pictures.sizes import fit
from deepseek_core.contracts.errors import ArtifactError, TensorMismatch

SIDES = st.integers(1, 5000)


def fitted(own, height="H", width="W", **options):
    options = PictureOptions(**options)
    return fit(own, layout_of(wanted("n", 3, height, width), options), options)


@given(height=SIDES, width=SIDES, tall=st.integers(5, 600), wide=st.integers(5, 600))
@pytest.mark.parametrize("rule", ["stretch", "crop", "pad", "pad-corner"])
def test_every_size_becomes_what_the_model_takes(rule, height, width, tall, wide):
    found = fitted((height, width), tall, wide, resize=rule)
    left, upper, right, lower = found.box
    assert found.canvas == (tall, wide)
    assert 0 <= left < right <= width
    assert 0 <= upper < lower <= height
    assert all(
        side + corner <= whole
        for side, corner, whole in zip(found.size, found.corner, found.canvas, strict=True)
    )


@given(height=SIDES, width=SIDES, multiple=st.integers(1, 64))
@pytest.mark.parametrize("rule", ["stretch", "crop", "pad", "pad-corner"])
def test_free_sides_become_multiples_and_keep_the_scale(rule, height, width, multiple):
    found = fitted((height, width), size_multiple=multiple, resize=rule)
    assert [side % multiple for side in found.canvas] == [0, 0]
    if rule.startswith("pad"):
        assert found.size == (height, width)
    if rule == "crop" and min(height, width) >= multiple:
        left, upper, right, lower = found.box
        assert (lower - upper, right - left) == pytest.approx(found.size)


@pytest.mark.parametrize(
    ("own", "box"),
    [
        ((224, 448), (112, 0, 336, 224)),
        ((448, 224), (0, 112, 224, 336)),
        ((224, 224), (0, 0, 224, 224)),
    ],
)
def test_crop_takes_the_center(own, box):
    assert fitted(own, 224, 224, resize="crop").box == box


def test_crop_equals_resizing_the_shorter_side_and_cutting_the_center(tmp_path):
    pixels = random_pixels(300, 401, 3)
    save(tmp_path, pixels)
    cut = read_one(tmp_path, wanted("n", 224, 224, 3), resize="crop", crop_fraction=0.875)
    small = Image.fromarray(pixels).resize((int(256 * 401 / 300), 256), Image.Resampling.BILINEAR)
    left, top = round((small.width - 224) / 2), 16
    whole = np.asarray(small, int)[top : top + 224, left : left + 224]
    assert np.abs(cut - whole).max() <= 1


def test_pad_centers_the_picture_on_the_color(tmp_path):
    save(tmp_path, np.full((10, 20, 3), 200, np.uint8))
    padded = read_one(tmp_path, wanted("n", 40, 40, 3), resize="pad", pad_color=(114, 0, 7))
    assert (padded[10:30] == 200).all()
    assert (padded[[0, 9, 30, 39]] == (114, 0, 7)).all()
    corner = read_one(tmp_path, wanted("n", 40, 40, 3), resize="pad-corner")
    assert (corner[:20] == 200).all()
    assert (corner[20:] == 0).all()


def test_none_refuses_other_sizes_by_name(tmp_path):
    save(tmp_path, np.zeros((8, 8, 3), np.uint8), "fits.png")
    save(tmp_path, np.zeros((9, 8, 3), np.uint8), "other.png")
    fits, other = read(tmp_path, wanted("n", 8, 8, 3), resize="none")
    assert fits.array.shape == (8, 8, 3)
    assert other.error.startswith("is 9x8, the model takes 8x8 -> choose a rule")


def test_a_model_of_any_size_gets_each_picture_in_its_own(tmp_path):
    for name, size in (("a.png", (5, 7)), ("b.png", (90, 61))):
        save(tmp_path, random_pixels(*size, 3), name)
    wants = wanted(1, 3, "H", "W", batch_axis=None)
    assert [p.array.shape for p in read(tmp_path, wants)] == [(3, 5, 7), (3, 90, 61)]
    rounded = read(tmp_path, wants, size_multiple=32)
    assert [p.array.shape for p in rounded] == [(3, 32, 32), (3, 96, 64)]


def test_pictures_of_one_batch_need_one_size(tmp_path):
    save(tmp_path, random_pixels(5, 7, 3), "a.png")
    save(tmp_path, random_pixels(5, 7, 3), "b.png")
    wants = wanted("n", 3, "H", "W")
    assert [p.array.shape for p in read(tmp_path, wants)] == [(3, 5, 7)] * 2
    save(tmp_path, random_pixels(7, 5, 3), "c.png")
    with pytest.raises(TensorMismatch, match=r"5x7 \(2\), 7x5 \(1\)") as caught:
        read(tmp_path, wants)
    assert "--size HxW" in caught.value.remedy
    assert [p.array.shape for p in read(tmp_path, wants, size=(6, 9))] == [(3, 6, 9)] * 3


def test_a_picture_that_changes_meanwhile_does_not_break_its_batch(tmp_path):
    save(tmp_path, random_pixels(5, 7, 3))
    pictures = open_pictures(tmp_path, wanted("n", 3, "H", "W"), PictureOptions())
    save(tmp_path, random_pixels(6, 7, 3), "b.png")
    (tmp_path / "b.png").replace(tmp_path / "a.png")
    with pytest.raises(ArtifactError, match="is 6x7 and does not fit in with the others"):
        list(pictures)


def test_a_side_that_the_model_fixes_scales_the_other():
    assert fitted((100, 300), 48).canvas == (48, 144)
    assert fitted((100, 300), 48, size_multiple=32, resize="pad").canvas == (48, 160)
    assert fitted((100, 300), 48, size_multiple=32, resize="pad").size == (48, 144)
    assert fitted((100, 300), "H", 150).canvas == (50, 150)


def test_one_symbol_for_both_sides_takes_squares():
    assert fitted((9, 9), "S", "S").canvas == (9, 9)
    with pytest.raises(ArtifactError, match="would be 9x8, the model takes squares"):
        fitted((9, 8), "S", "S")


def test_a_result_that_would_not_fit_in_memory_is_refused():
    with pytest.raises(ArtifactError, match="more than 89,478,485 pixels"):
        fitted((1, 80_000_000), 48)
    assert fitted((1, 80_000_000), 224, 224, resize="crop").canvas == (224, 224)


@pytest.mark.parametrize("own", [(1, 30_000), (30_000, 1)])
@pytest.mark.parametrize("rule", ["stretch", "crop", "pad", "pad-corner"])
def test_very_long_pictures_are_read(tmp_path, own, rule):
    save(tmp_path, random_pixels(*own))
    assert read_one(tmp_path, wanted("n", 32, 32, 3), resize=rule).shape == (32, 32, 3)


@pytest.mark.parametrize("rule", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("how", ["bilinear", "bicubic", "lanczos", "box", "nearest"])
def test_every_interpolation_leaves_a_plain_color_as_it_is(tmp_path, rule, how):
    save(tmp_path, np.full((50, 70, 3), (10, 20, 250), np.uint8))
    wants = wanted("n", 32, 32, 3)
    resized = read_one(tmp_path, wants, resize=rule, interpolation=how)
    assert (resized[16] == (10, 20, 250)).all()


def test_without_antialiasing_bilinear_samples_four_neighbors(tmp_path):
    pixels = random_pixels(64, 96, 3)
    save(tmp_path, pixels)
    sampled = read_one(tmp_path, wanted("n", 8, 8, 3), antialias=False)
    rows, columns = np.arange(8) * 8 + 3.5, np.arange(8) * 12 + 5.5  # between two pixels each
    corners = [
        pixels[np.ix_((rows + dy).astype(int), (columns + dx).astype(int))].astype(int)
        for dy in (0, 1)
        for dx in (0, 1)
    ]
    assert np.abs(sampled - sum(corners) / 4).max() < 1
