"""Plans of strategies: which mesh, and why another does not fit."""

import attrs
import pytest
import split_models as models

from deepseek_core import errors, training
from deepseek_parallel.errors import MeshMismatch
from deepseek_parallel.planning.cluster import GPUS, Cluster
from deepseek_parallel.planning.estimate import Problem
from deepseek_parallel.planning.model import MODELS
from deepseek_parallel.planning.search import search
from deepseek_parallel.planning.stack import stack_profile
from deepseek_parallel.planning.training import ASSUMED, Training

LAYER = training.Layer(
    name="block", flops=6e9, parameters=2_000_000, output_nbytes=1e5, kept_nbytes=1e6,
    split={"block.up": "column", "block.down": "row"}, split_share=0.9, split_parameters=1_900_000,
    summed_nbytes=2e5, widths=(8,),
)  # fmt: skip
WHOLE = training.Layer(name="head", flops=1e9, parameters=500_000, output_nbytes=1e3)
PROFILE = training.Profile(layers=[*[LAYER] * 6, WHOLE], batch=64)


def plan(name, profile=PROFILE, cluster=None, **options):
    return training.open_strategy(name, options).plan(profile, cluster or models.cluster(4))


@pytest.mark.parametrize("name", models.KINDS)
def test_equal_questions_get_equal_plans_of_plain_data(name):
    one, other = plan(name), plan(name)
    assert one == other
    assert one.evidence == "model"
    assert one.options["layers"] == [layer.name for layer in PROFILE.layers]


def test_no_mesh_of_a_hybrid_is_slower_than_one_axis():
    """A hybrid may be any of them."""
    hybrid = plan("hybrid").step_s
    assert all(hybrid <= plan(name).step_s for name in ("ddp", "tp", "pp"))


def test_shards_take_less_memory_and_more_bytes_than_replicas():
    replicas, shards = plan("ddp", micro=4), plan("fsdp", micro=4)
    assert shards.memory_nbytes < 0.6 * replicas.memory_nbytes
    assert shards.wire_nbytes == pytest.approx(1.5 * replicas.wire_nbytes)


def test_slow_ranks_get_fewer_microbatches_and_fewer_layers():
    (group,) = models.cluster(2).groups
    two = training.Cluster(groups=[group, attrs.evolve(group, name="slow", speed=0.5)])
    shares = plan("ddp", cluster=two, micro=1).shares
    assert sum(shares) == 64 and shares[0] == shares[1] > 1.5 * shares[2] == 1.5 * shares[3]
    cut = plan("pp", cluster=two, micro=4, schedule="1f1b").cut
    assert sum(cut[:2]) > sum(cut[2:])


def test_a_pipeline_of_chunks_gets_multiples_of_its_stages():
    made = plan("hybrid", dp=2, pp=2, tp=1, micro=4, schedule="interleaved")
    assert [share % 2 for share in made.shares] == [0, 0]
    assert len(made.cut) == 4


@pytest.mark.parametrize(
    ("name", "dimension", "profile", "ranks"),
    [
        ("pp", "layers", PROFILE, 8),
        ("tp", "tp", PROFILE, 3),
        ("tp", "tp", training.Profile(layers=[WHOLE] * 3, batch=64), 2),
        ("ddp", "batch", attrs.evolve(PROFILE, batch=3), 4),
        (
            "ddp",
            "memory",
            attrs.evolve(PROFILE, layers=[attrs.evolve(LAYER, parameters=10**10)]),
            2,
        ),
    ],
)
def test_what_does_not_fit_is_told_by_its_dimension(name, dimension, profile, ranks):
    with pytest.raises(MeshMismatch) as caught:
        plan(name, profile, models.cluster(ranks))
    assert caught.value.dimension == dimension
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("field", "value"),
    [("flops", -1.0), ("flops", float("nan")), ("parameters", -3), ("split_share", 1.5),
     ("split_parameters", 3_000_000), ("kept_nbytes", float("inf"))],
)  # fmt: skip
def test_a_layer_that_can_not_be_is_refused(field, value):
    with pytest.raises(errors.InputError, match="the layer 'block'"):
        attrs.evolve(LAYER, **{field: value})


@pytest.mark.parametrize(("field", "value"), [("layers", []), ("batch", 0), ("batch", 2.5)])
def test_a_profile_that_can_not_be_is_refused(field, value):
    with pytest.raises(errors.InputError):
        attrs.evolve(PROFILE, **{field: value})


def test_a_described_transformer_is_planned_as_the_planner_does():
    cluster = Cluster(groups=(attrs.evolve(GPUS["a100-80g"], nodes=2),))
    problem = Problem(
        model=MODELS["22b"], cluster=cluster, training=Training(batch=64), assumed=ASSUMED
    )
    profile = stack_profile(problem)
    assert profile.parameters == pytest.approx(MODELS["22b"].parameters, rel=0.02)
    ranking = training.ranked(profile, cluster)
    first = search(problem).fitting[0]
    hybrid = next(one for one in ranking.plans if one.strategy == "hybrid")
    assert hybrid.step_s == first.seconds.total
    assert hybrid.memory_nbytes == first.memory.total
    assert "bytes a GPU" in ranking.refusals["ddp"]
    assert [one.step_s for one in ranking.plans] == sorted(one.step_s for one in ranking.plans)
