"""Masks of files, and decoders that are left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL", reason="pictures are read by Pillow")

from PIL import Image

from deepseek_apps.defects.decoder import Decoder
from deepseek_apps.defects.reading import read_mask
from deepseek_core import console, errors

LEVELS = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10)


def test_a_mask_of_ones_counts_as_one_of_full_levels(tmp_path: Path) -> None:
    mask = LEVELS > 100
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "ones.png")
    Image.fromarray(mask * np.uint8(255)).save(tmp_path / "full.png")
    assert (read_mask(tmp_path / "ones.png") == mask).all()
    assert (read_mask(tmp_path / "full.png") == mask).all()


def test_a_mask_of_several_colors_marks_all_that_is_not_black(tmp_path: Path) -> None:
    """As annotation tools write the classes of PASCAL VOC: 1 is (128, 0, 0), 4 is (0, 0, 128)."""
    classes = np.zeros((12, 10), np.uint8)
    classes[2:4, 3:6], classes[7:9, 1:3] = 1, 4
    palette = Image.fromarray(classes, mode="P")
    palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128])
    palette.save(tmp_path / "palette.png")
    palette.convert("RGB").save(tmp_path / "colors.png")
    for name in ("palette.png", "colors.png"):
        assert (read_mask(tmp_path / name) == (classes > 0)).all()


@pytest.mark.parametrize(("quality", "few"), [(60, False), (90, True), (97, True)])
def test_a_mask_that_was_compressed_marks_what_is_above_the_half(
    tmp_path: Path, quality: int, few: bool
) -> None:
    mask = np.zeros((64, 64), bool)
    mask[20:40, 12:50] = True
    Image.fromarray(mask * np.uint8(255)).save(tmp_path / "a.jpg", quality=quality)
    levels = np.unique(np.asarray(Image.open(tmp_path / "a.jpg")))
    assert len(levels) > 2
    assert (len(levels) <= 16) == few
    assert (read_mask(tmp_path / "a.jpg") == mask).all()


def test_a_mask_of_nothing_marks_nothing(tmp_path: Path) -> None:
    Image.new("L", (4, 3)).save(tmp_path / "a.png")
    assert not read_mask(tmp_path / "a.png").any()


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
        Decoder(lambda file: console.read_picture(file, 1), limit_s=5.0) as decode,
        pytest.raises(errors.InputError, match=r"none.png"),
    ):
        decode(tmp_path / "none.png")
