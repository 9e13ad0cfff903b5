"""Preparing: leaks are told, bad pictures named, nothing half-written, parts kept together."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="pictures are resampled by it")
pytest.importorskip("PIL", reason="pictures are read by Pillow")

from PIL import Image

from deepseek_apps.defects import alike
from deepseek_apps.defects.kept import Kept
from deepseek_apps.defects.options import Options
from deepseek_apps.defects.preparing import prepare
from deepseek_core import applications, errors

Parts = Callable[..., Path]
SMALL = Options(size=48, folds=3)


def context_in(folder: Path) -> applications.ApplicationContext:
    return applications.ApplicationContext(folder=folder / "work")


def test_each_part_has_all_classes_and_masks_follow(parts: Parts, tmp_path: Path) -> None:
    card = prepare(parts(tmp_path / "a", good=9, spot=6, line=6), SMALL, context_in(tmp_path))
    kept = Kept(context_in(tmp_path).data)
    assert card.parts == {"train": 7, "validation": 7, "test": 7}
    assert card.warnings == ()
    assert kept.classes == ("good", "line", "spot")
    assert (kept.masks.any((1, 2)) == (kept.classes_of > 0)).all()
    for part in card.parts:
        assert set(kept.classes_of[kept.rows(part)]) == {0, 1, 2}
    spot = int(np.flatnonzero(kept.classes_of == 2)[0])
    inside, outside = kept.pictures[spot][kept.masks[spot]], kept.pictures[spot][~kept.masks[spot]]
    assert inside.mean() > outside.mean() + 50


def test_real_boards_are_kept_together_by_their_groups(
    boards: Callable[..., Path], tmp_path: Path
) -> None:
    prepare(boards(tmp_path / "a", each=30), Options(size=64, folds=3), context_in(tmp_path))
    kept = Kept(context_in(tmp_path).data)
    sides: dict[str, set[str]] = {}
    for group, part in zip(kept.items.groups, kept.items.parts, strict=True):
        sides.setdefault(group, set()).add(part)
    assert all(len(found) == 1 for found in sides.values())


def test_a_picture_that_is_there_twice_stays_on_one_side_and_is_told(
    parts: Parts, tmp_path: Path
) -> None:
    folder = parts(tmp_path / "a", good=9, spot=6)
    with Image.open(folder / "good" / "000.png") as picture:
        picture.save(folder / "good" / "copy.bmp")
    card = prepare(folder, SMALL, context_in(tmp_path))
    items = Kept(context_in(tmp_path).data).items
    place = [items.parts[items.names.index(f"good/{name}")] for name in ("000.png", "copy.bmp")]
    assert place[0] == place[1]
    assert any("1 pictures are there twice" in warning for warning in card.warnings)


def test_one_picture_in_two_classes_is_told(parts: Parts, tmp_path: Path) -> None:
    folder = parts(tmp_path / "a", good=9, spot=6, masks=False)
    shutil.copy(folder / "good" / "000.png", folder / "spot" / "wrong.png")
    card = prepare(folder, SMALL, context_in(tmp_path))
    assert any("equal pictures lie in several classes" in warning for warning in card.warnings)


def test_the_same_part_in_other_light_on_both_sides_is_told(parts: Parts, tmp_path: Path) -> None:
    folder = parts(tmp_path / "a", good=9, spot=6, masks=False)
    rng = np.random.default_rng(0)
    for file in sorted((folder / "good").iterdir()):
        with Image.open(file) as picture:
            levels = np.asarray(picture) * 0.8 + 20 + rng.normal(0, 1, picture.size[::-1])
        lit = Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
        lit.save(file.with_name(f"lit{file.name}"))
    card = prepare(folder, SMALL, context_in(tmp_path))
    assert any("look like one that is trained with" in warning for warning in card.warnings)
    named = prepare(folder, Options(size=48, folds=3, group_by=r"/(?:lit)?(\d+)"),
                    applications.ApplicationContext(folder=tmp_path / "named"))  # fmt: skip
    assert not any("look like" in warning for warning in named.warnings)


def test_flat_pictures_are_not_taken_for_one_part() -> None:
    flat = np.stack([alike.texture_of(np.full((48, 48, 1), level, np.uint8)) for level in (9, 90)])
    assert alike.alike_pairs(flat, np.array([0]), np.array([1])) == []


def test_few_damaged_pictures_are_left_out_by_name_and_many_refused(
    parts: Parts, tmp_path: Path
) -> None:
    folder = parts(tmp_path / "a", good=24, spot=6)
    (folder / "good" / "003.png").write_bytes(b"damaged")
    card = prepare(folder, SMALL, context_in(tmp_path))
    assert sum(card.parts.values()) == 29
    assert any("1 pictures can't be read" in w and "003.png" in w for w in card.warnings)
    (folder / "good" / "004.png").write_bytes(b"damaged")
    with pytest.raises(errors.InputError, match=r"2 of 30 pictures can't be read"):
        prepare(folder, SMALL, context_in(tmp_path))
    assert sum(card.parts.values()) == len(Kept(context_in(tmp_path).data).items.names)


def test_a_mask_of_another_size_is_refused_and_nothing_stays(parts: Parts, tmp_path: Path) -> None:
    folder = parts(tmp_path / "a", good=6, spot=6)
    Image.new("L", (20, 30), 255).save(folder / "masks" / "spot" / "002.png")
    with pytest.raises(
        errors.InputError, match=r"is of 30 x 20 px, its picture spot/002.png of 48 x 48"
    ):
        prepare(folder, SMALL, context_in(tmp_path))
    assert list((tmp_path / "work").iterdir()) == []


def test_a_mask_that_marks_a_good_part_is_refused(parts: Parts, tmp_path: Path) -> None:
    folder = parts(tmp_path / "a", good=6, spot=6)
    (folder / "masks" / "good").mkdir()
    Image.new("L", (48, 48), 255).save(folder / "masks" / "good" / "002.png")
    with pytest.raises(errors.InputError, match=r"good/002.png is good, and its mask"):
        prepare(folder, SMALL, context_in(tmp_path))


def test_an_empty_mask_counts_as_none_and_is_told(parts: Parts, tmp_path: Path) -> None:
    folder = parts(tmp_path / "a", good=6, spot=6)
    Image.new("L", (48, 48), 0).save(folder / "masks" / "spot" / "002.png")
    card = prepare(folder, SMALL, context_in(tmp_path))
    assert any("1 masks mark nothing" in warning for warning in card.warnings)
    kept = Kept(context_in(tmp_path).data)
    assert not kept.has_mask[kept.items.names.index("spot/002.png")]


def test_a_class_that_some_part_would_lack_is_told(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(
        errors.InputError, match=r"none of the 2 pictures of class 'spot' falls into"
    ):
        prepare(parts(tmp_path / "a", good=9, spot=2), SMALL, context_in(tmp_path))


def test_gray_and_colors_mixed_are_kept_in_color(parts: Parts, tmp_path: Path) -> None:
    folder = parts(tmp_path / "a", good=6, spot=6)
    assert prepare(folder, SMALL, context_in(tmp_path)).notes[1].endswith("gray")
    Image.new("RGB", (48, 48), (200, 10, 10)).save(folder / "good" / "red.png")
    prepare(folder, SMALL, context_in(tmp_path))
    kept = Kept(context_in(tmp_path).data)
    assert kept.colors == 3
    assert kept.channels.shape[-1] == 4


def test_pictures_of_other_sizes_and_proportions_become_one_size(
    parts: Parts, tmp_path: Path
) -> None:
    folder = parts(tmp_path / "a", good=6, spot=6, masks=False)
    for file in folder.rglob("*.png"):
        with Image.open(file) as picture:
            wide = picture.resize((160, 80))
        wide.save(file)
    Image.new("L", (10, 10), 100).save(folder / "good" / "other.png")
    prepare(folder, SMALL, context_in(tmp_path))
    assert Kept(context_in(tmp_path).data).size == (32, 64)


def test_data_of_several_runs_mixed_are_refused(parts: Parts, tmp_path: Path) -> None:
    prepare(parts(tmp_path / "a", good=6, spot=6), SMALL, context_in(tmp_path))
    data = context_in(tmp_path).data
    np.save(data / "masks.npy", np.zeros((3, 48, 48), bool))
    with pytest.raises(errors.InputError, match=r"do not fit"):
        Kept(data)
    (data / "items.json").write_text("{", encoding="utf-8")
    with pytest.raises(errors.InputError, match=r"can't be read"):
        Kept(data)
