"""Pictures of files: formats that differ become equal levels, damage becomes a sentence."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL", reason="pictures are read by Pillow")

from PIL import Image

from deepseek_apps.defects.decoder import Decoder
from deepseek_apps.defects.reading import read_mask, read_picture, size_of
from deepseek_core import errors

LEVELS = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10)


def test_gray_becomes_three_colors_where_three_are_wanted(tmp_path: Path) -> None:
    Image.fromarray(LEVELS).save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png", 3) == LEVELS[..., None]).all()
    assert (read_picture(tmp_path / "a.png", 1)[..., 0] == LEVELS).all()


def test_colors_become_their_luminance_where_gray_is_wanted(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3), (100, 200, 50)).save(tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png", 1)
    assert found.shape == (3, 4, 1)
    assert abs(int(found[0, 0, 0]) - (0.299 * 100 + 0.587 * 200 + 0.114 * 50)) <= 1


def test_sixteen_bits_of_gray_keep_the_upper_eight(tmp_path: Path) -> None:
    Image.fromarray(LEVELS.astype(np.uint16) << 8 | 17).save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png", 1)[..., 0] == LEVELS).all()


def test_transparent_pixels_lie_on_black(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 3), (200, 200, 200, 0)).save(tmp_path / "a.png")
    assert not read_picture(tmp_path / "a.png", 3).any()


def test_a_palette_is_read_as_its_colors(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3), (255, 0, 0)).convert("P").save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", 3)[0, 0].tolist() == [255, 0, 0]


def test_a_picture_on_its_side_stands_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(LEVELS).save(tmp_path / "a.png", exif=exif)
    assert read_picture(tmp_path / "a.png", 1).shape == (10, 12, 1)
    assert size_of(tmp_path / "a.png") == (10, 12)


def test_floats_are_refused_as_nobody_knows_their_range(tmp_path: Path) -> None:
    Image.fromarray(LEVELS.astype(np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(errors.InputError, match=r"nobody says the range"):
        read_picture(tmp_path / "a.tiff", 1)


@pytest.mark.parametrize("kept", [0, 1, 20, 60, 90])
def test_a_truncated_file_is_told_by_its_name(tmp_path: Path, kept: int) -> None:
    whole = tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8)).save(whole)
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(errors.InputError, match=r"cut.png: "):
        read_picture(cut, 1)


@pytest.mark.parametrize("content", [b"no picture", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n"])
def test_what_is_no_picture_is_told_by_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(
        errors.InputError, match=r"a.png: is damaged, or not in a format that is read"
    ):
        read_picture(tmp_path / "a.png", 1)


def test_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(errors.InputError, match=r"is not a regular file"):
        read_picture(tmp_path / "a.png", 1)


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(errors.InputError, match=path.name):
            read_picture(path, 1)


def test_a_mask_of_ones_counts_as_one_of_full_levels(tmp_path: Path) -> None:
    mask = LEVELS > 100
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "ones.png")
    Image.fromarray(mask * np.uint8(255)).save(tmp_path / "full.png")
    assert (read_mask(tmp_path / "ones.png") == mask).all()
    assert (read_mask(tmp_path / "full.png") == mask).all()


def test_a_decoder_that_hangs_is_left_behind_and_the_next_picture_is_read(tmp_path: Path) -> None:
    import threading

    asked = threading.Event()

    def read(file: Path) -> str:
        if file.name == "hangs":
            asked.wait(5)
        return file.name

    with Decoder(read, limit_s=0.05) as decode:
        assert decode(tmp_path / "a") == "a"
        with pytest.raises(errors.InputError, match=r"hangs: was not decoded within 0.05 s"):
            decode(tmp_path / "hangs")
        assert decode(tmp_path / "b") == "b"
    asked.set()


def test_a_decoder_passes_on_what_reading_raises(tmp_path: Path) -> None:
    with (
        Decoder(lambda file: read_picture(file, 1), limit_s=5.0) as decode,
        pytest.raises(errors.InputError, match=r"none.png"),
    ):
        decode(tmp_path / "none.png")
