"""The user's folder: what it must hold, masks beside it, and how parts are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deepseek_apps.defects.folder import read_folder
from deepseek_core import errors

Parts = Callable[..., Path]


def test_classes_are_good_and_the_others_by_name(parts: Parts, tmp_path: Path) -> None:
    folder = read_folder(parts(tmp_path, spot=2, line=3, good=4))
    assert folder.classes == ("good", "line", "spot")
    assert [item.label for item in folder.items] == [0] * 4 + [1] * 3 + [2] * 2
    assert all(item.mask is not None for item in folder.items if item.label)


def test_other_files_are_counted_and_hidden_ones_are_not(parts: Parts, tmp_path: Path) -> None:
    parts(tmp_path, good=2, spot=2)
    (tmp_path / "good" / "notes.txt").write_text("x", encoding="utf-8")
    (tmp_path / "good" / ".hidden.png").write_text("x", encoding="utf-8")
    folder = read_folder(tmp_path)
    assert folder.left_out == 1
    assert len(folder.items) == 4


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({}, "no pictures of good parts"),
        ({"spot": 3}, "no pictures of good parts"),
        ({"good": 3}, "no pictures of defects"),
    ],
)
def test_one_class_is_not_enough(
    parts: Parts, tmp_path: Path, counts: dict[str, int], told: str
) -> None:
    with pytest.raises(errors.InputError, match=told) as refused:
        read_folder(parts(tmp_path, **counts))
    assert refused.value.remedy


def test_a_rule_names_the_part_of_each_picture(parts: Parts, tmp_path: Path) -> None:
    parts(tmp_path, good=3, spot=2)
    with pytest.raises(
        errors.InputError, match=r"names no part in 1 pictures, such as good/002.png"
    ):
        read_folder(tmp_path, r"/(00[01])")
    found = read_folder(tmp_path, r"/0(0)").items
    assert {item.group for item in found} == {"rule:0"}


def test_groups_of_a_file_must_name_every_picture_once(parts: Parts, tmp_path: Path) -> None:
    parts(tmp_path, good=2, spot=1)
    file = tmp_path / "groups.csv"
    file.write_text("picture,group\ngood/000.png,a\ngood/001.png,a\n", encoding="utf-8")
    with pytest.raises(errors.InputError, match=r"does not name 1 pictures, such as spot/000.png"):
        read_folder(tmp_path)
    file.write_text(file.read_text(encoding="utf-8") + "spot/000.png,b\n", encoding="utf-8")
    assert [item.group for item in read_folder(tmp_path).items] == ["csv:a", "csv:a", "csv:b"]
    file.write_text(file.read_text(encoding="utf-8") + "spot/000.png,c\n", encoding="utf-8")
    with pytest.raises(errors.InputError, match=r"line 5: spot/000.png is in 'b' and in 'c'"):
        read_folder(tmp_path)


def test_a_second_mask_is_refused(parts: Parts, tmp_path: Path) -> None:
    parts(tmp_path, good=1, spot=1)
    (tmp_path / "masks" / "spot" / "000.bmp").write_bytes(b"x")
    with pytest.raises(errors.InputError, match=r"spot/000.png has 2 masks"):
        read_folder(tmp_path)
