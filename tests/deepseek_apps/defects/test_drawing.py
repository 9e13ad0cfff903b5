"""Draws to train with: the same for the same number, in balance, with the defect in view."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="data are prepared by it")

from deepseek_apps.defects import drawing
from deepseek_apps.defects.drawing import CLOSE_SHARE, Draws, Variation
from deepseek_apps.defects.kept import Kept
from deepseek_apps.defects.options import Options
from deepseek_apps.defects.preparing import prepare
from deepseek_core import applications, errors


def kept_of(source: Path, folder: Path) -> Kept:
    context = applications.ApplicationContext(folder=folder)
    prepare(source, Options(size=64, folds=3), context)
    return Kept(context.data)


def draws(kept: Kept, length: int = 200, seed: int = 0) -> Draws:
    return Draws(kept, kept.rows("train"), length, seed, Variation())


@pytest.fixture
def kept(parts: Callable[..., Path], tmp_path: Path) -> Kept:
    return kept_of(parts(tmp_path / "a", good=12, spot=6, line=3), tmp_path / "work")


def test_a_draw_hangs_on_its_number_and_the_seed_alone(kept: Kept) -> None:
    one, other = draws(kept), draws(kept)
    for number in (150, 3, 7):
        assert (one[number]["x"] == other[number]["x"]).all()
    assert (one[3]["x"] != draws(kept, seed=1)[3]["x"]).any()


def test_classes_are_in_balance_however_rare(kept: Kept) -> None:
    found = np.bincount([draws(kept)[number]["label"] for number in range(200)], minlength=3)
    assert 60 <= found[0] <= 100
    assert min(found[1:]) >= 40  # lines are a seventh of the data


def test_early_draws_are_close_views_that_show_the_defect(kept: Kept) -> None:
    made = draws(kept)
    for number in range(0, 200, 5):
        draw = made[number]
        side = 32 if number < CLOSE_SHARE * 200 else 64
        assert draw["x"].shape == (2, side, side)
        assert draw["mask"].shape == (side, side)
        assert draw["mask"].any() == (draw["label"] > 0)


def test_a_batch_has_one_size_where_close_views_end(kept: Kept) -> None:
    end = int(CLOSE_SHARE * 200)
    sizes = {draw["x"].shape for draw in draws(kept).__getitems__(list(range(end - 3, end + 3)))}
    assert sizes == {(2, 32, 32)}


def test_uneven_light_leaves_local_contrast_and_a_blur_leaves_the_light(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(shaded: float, blurred: float) -> np.ndarray:
        monkeypatch.setattr(drawing, "_SHADED", shaded)
        monkeypatch.setattr(drawing, "_BLURRED", blurred)
        return np.asarray(draws(kept)[190]["x"])

    plain, shaded, blurred = drawn(0, 0), drawn(1, 0), drawn(0, 1)
    assert (plain[-1] == shaded[-1]).all()
    apart = shaded[0] - plain[0]
    assert apart.std() > 0.05
    assert np.abs(np.diff(apart, n=3, axis=0)).max() < 1e-4  # of the second degree
    assert blurred.mean((1, 2)) == pytest.approx(plain.mean((1, 2)), abs=0.02)
    assert blurred[-1].std() < 0.95 * plain[-1].std()
    assert (blurred[:, 32, 32] > plain.min()).all()


def test_without_masks_all_views_are_whole(parts: Callable[..., Path], tmp_path: Path) -> None:
    source = parts(tmp_path / "a", good=6, spot=6, masks=False)
    made = draws(kept_of(source, tmp_path / "work"))
    assert made[0]["x"].shape == (2, 64, 64)
    assert all(made[number]["masked"] == 0 for number in range(5))


def test_fewer_pictures_than_a_batch_are_drawn_again(
    parts: Callable[..., Path], tmp_path: Path
) -> None:
    kept = kept_of(parts(tmp_path / "a", good=3, spot=3), tmp_path / "work")
    assert len(kept.rows("train")) == 2
    assert len(draws(kept, length=64).__getitems__(list(range(64)))) == 64


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 8}, {"fold": 5}, {"folds": 2}, {"recall": 0.0}, {"crop": "0.5,0,0.5,1"},
        {"crop": "0,0,1"}, {"crop": "a,b,c,d"}, {"crop": "nan,0,1,1"},
        {"group_by": "("}, {"group_by": "part"}, {"batch": 1},
        {"learning_rate": 0.0},
    ],
)  # fmt: skip
def test_an_option_out_of_its_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(errors.ConfigError) as refused:
        Options(**wrong)
    assert refused.value.remedy
