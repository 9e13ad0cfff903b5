"""Strategies of all plugins, ranked by the step that each plans."""

import attrs
import pytest

from deepseek_core import Mesh, Strategy, errors, training
from deepseek_core.schedule.strategies import contradiction, rank

LAYER = training.Layer(name="block", flops=1e9, parameters=1000, output_nbytes=64.0)
PROFILE = training.Profile(layers=[LAYER] * 3, batch=8)
LINK = training.Link(bytes_per_s=1e9, latency_s=1e-5)
CLUSTER = training.Cluster(
    groups=[
        training.Group(
            name="cores", nodes=1, gpus_per_node=2, flops_per_s={"fp32": 1e10}, memory_nbytes=1e9,
            memory_bytes_per_s=1e10, inside=LINK, between=LINK,
        )
    ]
)  # fmt: skip
PLAN = training.TrainingPlan(
    strategy="one", mesh=Mesh(sizes={"dp": 2}), cut=[3], shares=[1, 1], micro=4,
    step_s=2.0, memory_nbytes=9.0, wire_nbytes=0.0,
)  # fmt: skip


def planner(**changes):
    return lambda profile, cluster: attrs.evolve(PLAN, **changes)


def refuses(profile, cluster):
    raise errors.InputError("no pairs")


def test_the_soonest_step_comes_first_and_then_the_least_memory():
    three_axes = Mesh(sizes={"pp": 1, "dp": 2, "tp": 1})
    planners = {
        "slow": planner(strategy="slow", step_s=3.0),
        "any": planner(strategy="any", mesh=three_axes),
        "one": planner(),
        "lean": planner(strategy="lean", memory_nbytes=8.0),
        "none": refuses,
    }
    ranking = rank(planners, PROFILE, CLUSTER)
    assert [plan.strategy for plan in ranking.plans] == ["lean", "one", "any", "slow"]
    assert ranking.refusals == {"none": "no pairs"}


WRONG = {
    "4 ranks for a cluster of 2": {"mesh": Mesh(sizes={"dp": 4})},
    "stages of [2] layers for a model of 3": {"cut": [2]},
    "stages of [3, 0] layers": {"cut": [3, 0]},
    "[1, 2] microbatches of 4 for a batch of 8": {"shares": [1, 2]},
    "[2, 0] microbatches": {"shares": [2, 0]},
    "nan s": {"step_s": float("nan")},
    "0.0 s": {"step_s": 0.0},
    "-1.0 bytes a rank": {"memory_nbytes": -1.0},
}


@pytest.mark.parametrize("says", WRONG)
def test_a_plan_of_something_else_is_a_refusal(says):
    assert contradiction(PLAN, PROFILE, CLUSTER) is None
    ranking = rank({"odd": planner(**WRONG[says]), "one": planner()}, PROFILE, CLUSTER)
    assert [plan.strategy for plan in ranking.plans] == ["one"]
    assert says in ranking.refusals["odd"]


def test_a_strategy_that_makes_no_plans_says_so():
    class Silent(Strategy):
        def mesh(self, num_ranks):
            return Mesh(sizes={"dp": num_ranks})

        def held_by(self, rank, tensor, mesh):
            return ()

    for ask in (lambda: Silent().plan(PROFILE, CLUSTER), lambda: Silent().apply(PLAN, None)):
        with pytest.raises(errors.InputError, match="Silent") as caught:
            ask()
        assert caught.value.remedy
