"""Networks compute what their papers say, and members share a batch and nothing else."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from deepseek_apps.ctr.network import recipe
from deepseek_apps.ctr.network.crosses import CrossLayers, fm_term
from deepseek_apps.ctr.network.samples import NO_FOLD, Samples, read_samples, write_samples
from deepseek_apps.ctr.network.training import best_step, recipe_of, sizes_of
from deepseek_apps.ctr.options import Options
from deepseek_core import errors

SIZES = {
    "seed": 3, "members": 3, "rows": 20, "fields": 4, "numbers": 2, "width": 5,
    "cross_layers": 2, "hidden": [6, 4], "dropout": 0.0, "l2": 0.01,
}  # fmt: skip


def samples(rows: int = 60) -> Samples:
    random = np.random.default_rng(0)
    return Samples(
        ids=random.integers(0, 5, (rows, 4)) + np.arange(4) * 5,
        numbers=random.normal(size=(rows, 2)).astype(np.float32),
        target=random.integers(0, 2, rows),
        fold=np.concatenate((np.arange(rows - 12) % 3, np.full(12, NO_FOLD))),
        rows=20,
        fingerprint="f",
    )


def test_the_fm_term_is_the_sum_over_pairs() -> None:
    rows = torch.randn(2, 7, 4, 5, dtype=torch.float64)
    pairs = sum(
        (rows[:, :, i] * rows[:, :, j]).sum(2) for i, j in itertools.combinations(range(4), 2)
    )
    torch.testing.assert_close(fm_term(rows), pairs)


def test_a_cross_layer_is_that_of_dcn_v2() -> None:
    crosses = CrossLayers(2, 6, 2, torch.Generator().manual_seed(0))
    start = torch.randn(2, 9, 6)
    x = start
    for layer in crosses.layers:
        product = torch.stack([x[k] @ layer.weight[k] + layer.bias[k] for k in range(2)])
        x = start * product + x
    torch.testing.assert_close(crosses(start), x)


@pytest.mark.parametrize("kind", ["fm", "dcn"])
def test_a_member_learns_nothing_from_its_fold(kind: str) -> None:
    model = recipe.make_model(kind, **SIZES)
    data = recipe.Rows(samples().part(fitted=True))
    of_fold_1 = [row for row in range(len(data)) if data.fold[row] == 1]
    total, count = recipe.loss(model, data.gather(of_fold_1))
    total.backward()
    assert count == 2 * len(of_fold_1)
    for param in model.parameters():
        assert not param.grad[1].any()
        assert param.grad[0].isfinite().all()
    assert model.table.weight.grad[0].any()


@pytest.mark.parametrize("kind", ["fm", "dcn"])
def test_rows_that_no_sample_of_the_batch_has_are_left_alone(kind: str) -> None:
    model = recipe.make_model(kind, **SIZES)
    data = recipe.Rows(samples())
    used = data.ids[:4].unique()
    total, _ = recipe.loss(model, data.gather([0, 1, 2, 3]))
    total.backward()
    moved = model.table.weight.grad.abs().sum(dim=(0, 2)).nonzero()[:, 0]
    assert set(moved.tolist()) <= set(used.tolist())


def test_a_penalty_is_on_the_rows_of_the_batch() -> None:
    data = recipe.Rows(samples())
    batch = data.gather(range(8))
    plain, _ = recipe.loss(recipe.make_model("fm", **{**SIZES, "l2": 0.0}), batch)
    held, _ = recipe.loss(recipe.make_model("fm", **SIZES), batch)
    assert held > plain


def test_rows_of_no_fold_count_for_all_members() -> None:
    data = recipe.Rows(samples().part(fitted=False))
    _, count = recipe.loss(recipe.make_model("fm", **SIZES), data.gather(range(12)))
    assert count == 36


def test_samples_come_back_as_they_were_written(tmp_path: Path) -> None:
    path, given = tmp_path / "samples.npz", samples()
    write_samples(given, path)
    found = read_samples(path)
    np.testing.assert_array_equal(found.ids, given.ids)
    assert (found.rows, found.fingerprint) == (20, "f")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no archive at all"])
def test_a_damaged_file_of_samples_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "samples.npz"
    path.write_bytes(content)
    with pytest.raises(errors.ArtifactError, match=r"samples\.npz"):
        read_samples(path)


def test_a_data_set_smaller_than_a_batch_is_one_batch(tmp_path: Path) -> None:
    given = samples()
    tables = recipe_of("fm", tmp_path / "fm", given, Options(target="y", batch=512, epochs=3), 0)
    assert tables["train"] == {"steps": 3, "batch": 48, "seed": 0}
    assert tables["checkpoint"]["every"] == tables["evaluate"]["every"] == 1


def test_sizes_are_those_that_make_model_takes() -> None:
    model = recipe.make_model("dcn", **sizes_of(samples(), Options(target="y"), 0))
    logits, penalties = model(torch.from_numpy(samples().ids), torch.from_numpy(samples().numbers))
    assert logits.shape == penalties.shape == (60, 3)


def test_the_best_step_is_that_of_the_least_validation_loss(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    lines = [(5, 0.4), (10, 0.2), (15, 0.3)]
    log.write_text(
        "".join(f'{{"kind": "evaluation", "step": {s}, "log_loss": {v}}}\n' for s, v in lines)
    )
    assert best_step(log) == 10
    log.write_text('{"kind": "step", "step": 1}\n')
    with pytest.raises(errors.ArtifactError, match="no evaluation"):
        best_step(log)
