"""The example of magnetic tiles, on tiles drawn here: the real ones must not lie in this tree."""

import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from process import forget_modules, one_thread

torch = pytest.importorskip("torch")

from deepseek_core import compression, errors  # noqa: E402 (after the skip)

EXAMPLE = Path(__file__).parents[2] / "examples" / "compression"
GOOD, EACH = 60, 12  # tiles without a defect, and of each of two kinds of them


@pytest.fixture(autouse=True)
def example(monkeypatch, tmp_path):
    """Its modules by their own names, and a folder of tiles that are read without being named."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.setenv("DEEPSEEK_DATA", str(tmp_path))
    monkeypatch.delenv("TILES_FOLD", raising=False)
    save(tmp_path)
    with one_thread():
        yield tmp_path
    forget_modules(EXAMPLE)


def drawn():
    """Textures, some with a dark spot; tiles 0 and 1 are one good surface in two lights, and the
    first defect is shown three times."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [GOOD, EACH, EACH]).astype(np.uint8)
    x = rng.normal(120, 12, (len(y), 96, 96))
    masks = np.zeros(x.shape, bool)
    for row in np.flatnonzero(y):
        top, left = rng.integers(8, 80, 2)
        masks[row, top : top + 6 * y[row], left : left + 6] = True
    x[1] = x[0] * 0.7
    for row in (GOOD + 1, GOOD + 2):  # in other light, and of another texture
        masks[row] = masks[GOOD]
    x[masks] -= 60
    return {
        "x": x.clip(0, 255).astype(np.uint8),
        "y": y,
        "mask_packed": np.packbits(masks.reshape(len(y), -1), axis=1),
    }


def save(folder, **changes):
    """Write the file, with arrays changed; one that is None is left out."""
    arrays = {**drawn(), **changes}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    np.savez(folder / "magnetic_tile_96.npz", **arrays)


# Folds


def test_folds_are_disjoint_stratified_and_always_the_same():
    import tile_data

    x, kinds, masks = tile_data.read()
    surfaces = tile_data.surfaces_of(x, masks)
    folds = tile_data.folds_of(kinds, surfaces)
    for kind in range(3):
        counts = np.bincount(folds[kinds == kind], minlength=tile_data.FOLDS)
        assert counts.max() - counts.min() <= 3
    np.testing.assert_array_equal(folds, tile_data.folds_of(kinds, surfaces))
    assert (folds != tile_data.folds_of(kinds, surfaces, seed=1)).any()
    parts = tile_data.parts(2)
    assert sum(map(len, parts.values())) == len(x)
    pictures = [{tile.tobytes() for tile in part.x} for part in parts.values()]
    assert not (pictures[0] & pictures[1] or pictures[1] & pictures[2] or pictures[0] & pictures[2])
    tests = [tile_data.parts(fold)["test"] for fold in range(tile_data.FOLDS)]
    assert sum(part.defects.sum() for part in tests) == 2 * EACH


def test_one_surface_in_two_lights_lies_in_one_fold():
    import tile_data

    x, kinds, masks = tile_data.read()
    surfaces = tile_data.surfaces_of(x, masks)
    folds = tile_data.folds_of(kinds, surfaces)
    assert surfaces[0] == surfaces[1] != surfaces[2]
    assert len(set(surfaces[GOOD : GOOD + 3])) == 1
    assert folds[0] == folds[1]
    assert len(set(folds[GOOD : GOOD + 3])) == 1


def test_tiles_whose_mask_says_otherwise_are_left_out(example):
    import tile_data

    packed = drawn()["mask_packed"]
    packed[[0, GOOD]] = packed[[GOOD, 0]]
    save(example, mask_packed=packed)
    assert len(tile_data.read()[0]) == GOOD + 2 * EACH - 2


# Samples


def test_tiles_are_upscaled_and_vary_by_the_seed_alone():
    import tiles

    train, judged = tiles.train(), tiles.test()
    assert isinstance(train, compression.Samples)
    (whole,) = judged.batches(100)
    x = whole.inputs["x"]
    assert (x.shape, x.dtype) == ((len(judged), *tiles.SHAPE[1:]), np.float32)
    assert (whole.labels.shape, whole.labels.dtype) == ((len(judged), 14, 14), np.int64)
    np.testing.assert_array_equal(tiles.defects(whole.labels), judged.defects)
    assert abs(x[:, 0].mean()) < 0.05
    again = next(judged.batches(100, seed=3)).inputs["x"]
    np.testing.assert_array_equal(np.sort(again.sum((1, 2, 3))), np.sort(x.sum((1, 2, 3))))
    one, other, third = (next(train.batches(9, seed=s)).inputs["x"] for s in (1, 1, 2))
    np.testing.assert_array_equal(one, other)
    assert (one != third).any()


def test_masks_move_with_their_tiles():
    import tile_data

    rng = np.random.default_rng(0)
    masks = np.zeros((40, 96, 96), bool)
    masks[:, 40:56, 20:40] = True
    x, moved = tile_data.drawn(np.where(masks, 5.0, 0.0).astype(np.float32), masks, rng)
    for tile, mask in zip(x, moved, strict=True):
        assert tile[mask].min() > tile[~mask].max()
    assert len({mask.tobytes() for mask in moved}) > 30


def test_means_of_squares_are_those_of_a_loop():
    import tile_data

    x = np.random.default_rng(0).normal(size=(2, 9, 11)).astype(np.float32)
    found = tile_data.smoothed(x, 2)
    for row, column in ((0, 0), (4, 5), (8, 3)):
        window = x[:, max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
        np.testing.assert_allclose(found[:, row, column], window.mean((1, 2)), atol=1e-6)


# Threshold and metric


def outputs_of(scores):
    """What a network gives whose tiles have these scores, each at one cell."""
    outputs = np.zeros((len(scores), 2, 14, 14), np.float32)
    outputs[:, 0] = 50
    outputs[:, :, 3, 4] = np.stack([np.zeros(len(scores)), scores], 1)
    return outputs


def labels_of(defects):
    labels = np.zeros((len(defects), 14, 14), np.int64)
    labels[:, 7, 7] = defects
    return labels


def test_the_threshold_lets_five_percent_of_good_tiles_be_stopped():
    import tiles

    scores, defects = np.arange(120.0), np.arange(120) % 6 == 5
    outputs, labels = outputs_of(scores), labels_of(defects)
    at = tiles.threshold(outputs, labels)
    assert tiles.false_alarms(outputs, labels, at).sum() == 5  # of 100
    hits = tiles.recall(outputs, labels, at)
    assert hits.count() == 20
    assert hits.compressed().tolist() == (scores[defects] > at).tolist()
    assert tiles.recall(outputs, labels, -1).mean() == 1


def test_equal_scores_catch_nothing_and_stop_nothing():
    import tiles

    outputs, labels = outputs_of(np.full(40, 3.0)), labels_of(np.arange(40) < 8)
    at = tiles.threshold(outputs, labels)
    assert tiles.recall(outputs, labels, at).mean() == 0
    assert tiles.false_alarms(outputs, labels, at).mean() == 0


def test_no_threshold_without_good_tiles_or_numbers():
    import tiles

    outputs = outputs_of(np.arange(10.0))
    for given, defects in ((outputs, np.ones(10)), (outputs * np.nan, np.zeros(10))):
        with pytest.raises(errors.InputError, match="no threshold") as caught:
            tiles.threshold(given, labels_of(defects))
        assert caught.value.remedy


def test_a_tile_whose_score_is_no_number_is_not_caught():
    import tiles

    outputs = outputs_of(np.array([9.0, np.nan]))
    assert tiles.recall(outputs, labels_of([1, 1]), 0.0).tolist() == [True, False]


def test_the_loss_learns_from_cells_and_from_whole_tiles():
    import tiles

    labels = torch.from_numpy(labels_of([0, 1]))
    right, wrong = torch.zeros(2, 2, 14, 14), torch.zeros(2, 2, 14, 14)
    right[:, 0] = wrong[:, 0] = 20.0
    right[1, 1, 7, 7], wrong[0, 1, 7, 7] = 40.0, 40.0
    outputs = right.clone().requires_grad_()
    assert tiles.loss(outputs, labels) < 0.01 < tiles.loss(wrong, labels)
    tiles.loss(outputs, labels).backward()


# What is wrong


def test_a_folder_that_is_not_named_or_has_no_tiles(monkeypatch, tmp_path):
    import tile_data

    monkeypatch.delenv("DEEPSEEK_DATA")
    with pytest.raises(errors.ConfigError, match=r"where magnetic_tile_96\.npz lies") as caught:
        tile_data.parts()
    assert caught.value.remedy == "export DEEPSEEK_DATA=FOLDER"
    with pytest.raises(errors.ArtifactError, match="no such file"):
        tile_data.parts(0, tmp_path / "none")


@pytest.mark.parametrize("damage", ["cut", "text", "members", "bytes"])
def test_damaged_files(example, damage):
    import tile_data

    path = example / "magnetic_tile_96.npz"
    content = path.read_bytes()
    if damage == "members":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("x.npy", b"\x93NUMPY")
    else:
        middle = len(content) // 2
        other = content[:middle] + b"\0" * 400 + content[middle + 400 :]
        path.write_bytes({"cut": content[:middle], "text": b"x,y\n", "bytes": other}[damage])
    with pytest.raises(errors.ArtifactError) as caught:
        tile_data.read()
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mask_packed": None}, "mask_packed is none"),
        ({"x": None}, "x is none"),
        ({"y": np.uint8(1)}, "is uint8"),
        ({"x": np.zeros((84, 64, 64), np.uint8)}, r"x is uint8 \[84, 64, 64\]"),
        ({"x": np.zeros((84, 96, 96), np.float32)}, "x is float32"),
        ({"y": np.zeros(84, np.uint8)}, "0 tiles have one"),
        (
            {"y": np.ones(84, np.uint8), "mask_packed": np.full((84, 1152), 255, np.uint8)},
            "0 tiles are free of defects",
        ),
    ],
)
def test_files_of_other_arrays_or_one_sort(example, changes, said):
    import tile_data

    save(example, **changes)
    with pytest.raises(errors.InputError, match=said) as caught:
        tile_data.read()
    assert caught.value.remedy


@pytest.mark.parametrize("fold", ["5", "-1", "two", ""])
def test_folds_that_are_none(monkeypatch, fold):
    import tiles

    monkeypatch.setenv("TILES_FOLD", fold)
    with pytest.raises(errors.ConfigError) as caught:
        tiles.test()
    assert "0 to 4" in caught.value.remedy


def test_weights_that_are_missing_damaged_or_of_another_network(tmp_path):
    import tiles
    import weights

    path = tmp_path / "tiles.npz"
    weights.save_weights(tiles.trained(), path)
    whole = path.read_bytes()
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(tmp_path / "less.npz", **{n: a for n, a in arrays.items() if n != "head.bias"})
    np.savez(tmp_path / "other.npz", **{**arrays, "head.bias": np.zeros(3)})
    np.savez(tmp_path / "more.npz", **{**arrays, "tail.bias": np.zeros(3)})
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    for name, said in (
        ("none", "no such file"),
        ("cut", "can't be read"),
        ("less", r"differs in head\.bias"),
        ("other", r"differs in head\.bias"),
        ("more", r"differs in tail\.bias"),
    ):
        with pytest.raises(errors.ArtifactError, match=said) as caught:
            tiles.trained(str(tmp_path / f"{name}.npz"))
        assert caught.value.remedy == f"python {EXAMPLE / 'train_tiles.py'}"


# The recipe and the script


def test_the_script_trains_and_the_recipe_takes_its_weights(monkeypatch, tmp_path, capsys):
    import tiles
    import train_tiles

    from deepseek_compress.recipe.job import Job
    from deepseek_compress.recipe.plan import outlook

    weights = tmp_path / "tiles.npz"
    words = ["train_tiles.py", "--epochs", "0.01", "--weights", str(weights)]
    monkeypatch.setattr(sys, "argv", words)
    train_tiles.main()
    assert re.search(r"recall [\d.]+% .* of \d test tiles", capsys.readouterr().out)
    learned, fresh = tiles.trained(str(weights)), tiles.trained()
    assert not torch.equal(learned.head.weight, fresh.head.weight)
    recipe = tmp_path / "tiles.toml"
    text = (EXAMPLE / "tiles.toml").read_text().replace("data/tiles.npz", "tiles.npz")
    recipe.write_text(text.replace("tiles.py:", f"{EXAMPLE}/tiles.py:"))
    with Job.read(recipe) as job:
        found = outlook(job, lambda *_: None)
    before, after = found.plans[0].before, found.plans[0].after
    assert (before.parameters, before.macs) == (393_602, 210_174_720)
    assert before.macs / 2 * 0.98 < after.macs <= before.macs / 2
    assert found.verdict[0].outcome == "holds"
    assert job.recipe.budget.metric.name == "recall"
