"""What is inside the graph: resampling as Pillow has it, contrast, scores of views, maps."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the network is one of torch")
pytest.importorskip("PIL", reason="Pillow is what resampling is compared with")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deepseek_apps.defects.deployed import AS_IT_IS, After, Before, Scored, Views
from deepseek_apps.defects.losses import inspection_loss
from deepseek_apps.defects.maps import box_of, write_map
from deepseek_apps.defects.network import make
from deepseek_apps.defects.options import Options
from deepseek_apps.defects.picture import Resampled, contrasted
from deepseek_core import errors

FOUR = Options(flips="both").views


@given(st.integers(5, 90), st.integers(5, 90), st.sampled_from([1, 3]))
@settings(max_examples=25, deadline=None)
def test_resampling_is_that_of_pillow(height: int, width: int, colors: int) -> None:
    levels = np.random.default_rng(height * width).integers(0, 256, (height, width, colors))
    picture = levels.astype(np.uint8)
    found = Resampled((32, 48))(torch.from_numpy(picture))[0].permute(1, 2, 0).numpy()
    for color in range(colors):
        image = Image.fromarray(picture[..., color]).resize((48, 32), Image.Resampling.BILINEAR)
        assert np.abs(found[..., color] - np.asarray(image)).max() < 1.1  # it rounds, twice


def test_what_lies_outside_the_crop_has_no_weight() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (80, 60, 1), np.uint8)
    inside = picture[20:60, 15:45]
    cropped = Resampled((32, 32), (0.25, 0.25, 0.75, 0.75))(torch.from_numpy(picture.copy()))
    alone = Resampled((32, 32))(torch.from_numpy(inside.copy()))
    assert (cropped - alone)[..., 2:-2, 2:-2].abs().max() < 1e-3


def test_another_lamp_changes_little() -> None:
    levels = torch.rand(1, 1, 48, 48) * 120 + 40
    one, other = contrasted(levels), contrasted(levels * 0.7 + 20)
    assert (one - other).abs().max() < 0.25 * one.abs().max()


@pytest.mark.parametrize("kind", ["plain", "depthwise"])
def test_four_views_answer_alike_for_a_part_and_its_mirror(kind: str) -> None:
    torch.manual_seed(0)
    scored = Scored(make(kind, channels=2, classes=3, width=4).eval(), FOUR).eval()
    x = torch.randn(2, 2, 32, 48)
    with torch.inference_mode():
        maps, score, classes = scored(x)
        mirrored, other_score, other_classes = scored(x.flip(2))
    torch.testing.assert_close(mirrored.flip(1), maps)
    torch.testing.assert_close(other_score, score)
    torch.testing.assert_close(other_classes, classes)


@pytest.mark.parametrize("views", [AS_IT_IS, Options(flips="horizontal").views, FOUR])
def test_the_parts_of_the_graph_say_what_the_whole_says(views: Views) -> None:
    torch.manual_seed(0)
    network = make("plain", channels=2, classes=3, width=4).eval()
    picture = torch.randint(0, 256, (50, 40, 1), dtype=torch.uint8)
    with torch.inference_mode():
        map_, score, classes = After(views)(
            *network(Before((32, 32), (0, 0, 1, 1), views)(picture))
        )
        x = contrasted(Resampled((32, 32))(picture))
        maps, scores, all_classes = Scored(network, views)(x)
    torch.testing.assert_close(map_, maps[0])
    torch.testing.assert_close(score, scores)
    torch.testing.assert_close(classes, all_classes[0])


def test_a_part_that_has_no_mirror_is_looked_at_as_it_is() -> None:
    assert Options(flips="none").views == Options(mirrored=False).views == AS_IT_IS
    assert Options(flips="vertical").views == ((), (2,))


def batch_of(label: int, *, masked: bool, spot: bool) -> dict[str, torch.Tensor]:
    mask = torch.zeros(1, 32, 32)
    if spot:
        mask[0, 8:16, 8:16] = 1
    return {
        "mask": mask, "masked": torch.tensor([float(masked)]), "label": torch.tensor([label]),
    }  # fmt: skip


def gradient(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    cells = torch.zeros(1, 3, 8, 8, requires_grad=True)
    inspection_loss(cells, torch.zeros(1, 3), batch).backward()
    return -cells.grad[0]  # where the loss wants each cell to go


def test_with_a_mask_its_cells_are_pushed_to_the_class_and_others_to_good() -> None:
    wanted = gradient(batch_of(2, masked=True, spot=True))
    assert (wanted[2, 2:4, 2:4] > 0).all()
    assert (wanted[0, 4:, :] > 0).all()
    assert (wanted[2, 4:, :] < 0).all()


def test_without_a_mask_any_cell_may_show_the_defect() -> None:
    wanted = gradient(batch_of(2, masked=False, spot=False))
    assert (wanted[2] > 0).all()
    assert (wanted[1] == 0).all()


def test_a_good_part_needs_no_mask() -> None:
    for masked in (True, False):
        wanted = gradient(batch_of(0, masked=masked, spot=False))
        assert (wanted[0] > 0).all()
        assert (wanted[1:] < 0).all()


def test_a_box_is_told_in_pixels_of_the_camera() -> None:
    suspicious = np.full((8, 8), 0.1, np.float32)
    suspicious[2:4, 5] = 0.9
    suspicious[7, 0] = 0.8  # another place, which does not touch
    assert box_of(suspicious, (800, 400), (0, 0, 1, 1)) == [200, 250, 400, 300]
    assert box_of(suspicious, (800, 400), (0.5, 0, 1, 1)) == [500, 250, 600, 300]


def test_a_map_is_a_picture_and_a_folder_that_is_a_file_is_told(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    made = write_map(np.array([[0.0, 1.0]]), folder / "maps" / "a.png")
    with Image.open(made) as picture:
        assert np.asarray(picture).tolist() == [[0, 255]]
    with pytest.raises(errors.WriteError, match=r"can't be made"):
        write_map(np.zeros((2, 2)), made / "b.png")
