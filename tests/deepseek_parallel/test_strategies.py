"""Strategies on real processes: each mesh and schedule equals one process."""

import functools

import pytest
import rank_processes as group
import split_models as models

BOUND = 1e-5
MESHES = [  # dp, tp, pp
    (2, 2, 1, None),
    *((*sizes, name) for sizes in ((2, 1, 2), (1, 2, 2), (2, 2, 2))
      for name in ("1f1b", "interleaved", "zero_bubble")),
]  # fmt: skip


@functools.cache
def one_process(**options):
    return models.alone(**options)


def assert_equal(found, wanted):
    for rank in found:
        assert rank is not None, "a rank ended without a word"
        for (loss, norm), (wanted_loss, wanted_norm) in zip(rank, wanted, strict=True):
            assert loss == pytest.approx(wanted_loss, abs=BOUND)
            assert norm == pytest.approx(wanted_norm, rel=1e-4)


def run(plan, **given):
    return group.run(
        functools.partial(models.trained, **given),
        plan.mesh.num_ranks,
        plan,
        patience_s=models.CALM_S,
    )


@pytest.mark.parametrize(("dp", "tp", "pp", "schedule"), MESHES)
def test_a_mesh_equals_one_process(dp, tp, pp, schedule):
    """Over 20 steps of SGD, to 1e-5 in loss; Adam would hide a gradient of the wrong scale."""
    plan = models.plan(
        "hybrid",
        dp * tp * pp,
        dp=dp,
        tp=tp,
        pp=pp,
        micro=models.BATCH // dp // 4,
        schedule=schedule,
    )
    assert dict(plan.mesh.sizes) == {"pp": pp, "dp": dp, "tp": tp}
    assert bool(plan.options.get("split")) == (tp > 1)
    assert len(plan.cut) == (pp if schedule in (None, "1f1b") else 2 * pp)
    assert_equal(run(plan), one_process())
    assert one_process()[-1][0] < 0.8 * one_process()[0][0]
