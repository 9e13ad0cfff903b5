"""Pictures of files for plugins: formats that differ become equal levels, damage a sentence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL", reason="pictures are read by Pillow")

from PIL import Image

from deepseek_core import console, errors

LEVELS = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10)


def test_gray_becomes_three_colors_where_three_are_wanted(tmp_path: Path) -> None:
    Image.fromarray(LEVELS).save(tmp_path / "a.png")
    assert (console.read_picture(tmp_path / "a.png", 3) == LEVELS[..., None]).all()
    assert (console.read_picture(tmp_path / "a.png", 1)[..., 0] == LEVELS).all()


def test_colors_become_their_luminance_where_gray_is_wanted(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3), (100, 200, 50)).save(tmp_path / "a.png")
    found = console.read_picture(tmp_path / "a.png", 1)
    assert found.shape == (3, 4, 1)
    assert abs(int(found[0, 0, 0]) - (0.299 * 100 + 0.587 * 200 + 0.114 * 50)) <= 1


@pytest.mark.parametrize("name", ["a.png", "a.pgm", "a.tif"])
def test_sixteen_bits_of_gray_keep_the_upper_eight(tmp_path: Path, name: str) -> None:
    Image.fromarray(LEVELS.astype(np.uint16) << 8 | 17).save(tmp_path / name)
    assert (console.read_picture(tmp_path / name, 1)[..., 0] == LEVELS).all()


@pytest.mark.parametrize(
    ("mode", "color", "more"),
    [
        ("RGBA", (200, 200, 200, 0), {}),
        ("LA", (200, 0), {}),
        ("RGB", (200, 10, 30), {"transparency": (200, 10, 30)}),
        ("L", 200, {"transparency": 200}),
    ],
)
def test_transparent_pixels_lie_on_black(tmp_path: Path, mode: str, color: Any, more: Any) -> None:
    Image.new(mode, (4, 3), color).save(tmp_path / "a.png", **more)
    assert not console.read_picture(tmp_path / "a.png", 3).any()


def test_a_palette_is_read_as_its_colors(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3), (255, 0, 0)).convert("P").save(tmp_path / "a.png")
    assert console.read_picture(tmp_path / "a.png", 3)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 7, 8])
def test_a_picture_on_its_side_stands_upright(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(LEVELS).save(tmp_path / name, exif=exif)
    upright = (10, 12) if orientation > 4 else (12, 10)
    assert console.read_picture(tmp_path / name, 1).shape == (*upright, 1)
    assert console.picture_size(tmp_path / name) == upright


def test_floats_count_from_0_to_1_and_others_are_refused(tmp_path: Path) -> None:
    shares = LEVELS.astype(np.float32) / 255
    Image.fromarray(shares).save(tmp_path / "shares.tiff")
    assert (console.read_picture(tmp_path / "shares.tiff", 1)[..., 0] == LEVELS).all()
    Image.fromarray(LEVELS.astype(np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(errors.InputError, match=r"has values from 0 to 119, outside 0..1"):
        console.read_picture(tmp_path / "a.tiff", 1)


def test_deep_gray_is_the_same_in_three_colors(tmp_path: Path) -> None:
    Image.fromarray(LEVELS.astype(np.uint16) << 8 | 255).save(tmp_path / "a.png")
    assert (console.read_picture(tmp_path / "a.png", 3) == LEVELS[..., None]).all()


@pytest.mark.parametrize("kept", [0, 1, 20, 60, 90])
def test_a_truncated_file_is_told_by_its_name(tmp_path: Path, kept: int) -> None:
    whole = tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8)).save(whole)
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(errors.InputError, match=r"cut.png: "):
        console.read_picture(cut, 1)


@pytest.mark.parametrize("content", [b"no picture", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n"])
def test_what_is_no_picture_is_told_by_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(
        errors.InputError, match=r"a.png: is damaged, or not in a format that is read"
    ):
        console.read_picture(tmp_path / "a.png", 1)


def test_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(errors.InputError, match=r"is not a regular file"):
        console.read_picture(tmp_path / "a.png", 1)


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(errors.InputError, match=path.name):
            console.read_picture(path, 1)
