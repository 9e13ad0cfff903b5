"""Layers cut into stages: no cut has a faster slowest stage."""

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from deepseek_parallel.planning.cut import cut

COSTS = st.integers(1, 4).flatmap(
    lambda stages: st.integers(stages, 8).flatmap(
        lambda layers: st.lists(
            st.lists(st.floats(0, 1e3), min_size=layers, max_size=layers),
            min_size=stages, max_size=stages,
        )
    )
)  # fmt: skip


def slowest(costs, counts):
    ends = [sum(counts[:stage]) for stage in range(len(counts) + 1)]
    return max(sum(row[a:b]) for row, (a, b) in zip(costs, pairwise(ends), strict=True))


@given(costs=COSTS)
def test_no_other_cut_is_faster(costs):
    layers, stages = len(costs[0]), len(costs)
    counts = cut(costs)
    assert sum(counts) == layers and min(counts) >= 1 and len(counts) == stages
    others = (
        [b - a for a, b in pairwise((0, *borders, layers))]
        for borders in combinations(range(1, layers), stages - 1)
    )
    best = min(slowest(costs, other) for other in others)
    assert slowest(costs, counts) <= best * (1 + 1e-9) + 1e-9


def test_a_stage_leaves_layers_that_the_next_one_would_be_slow_with():
    costs = [[0.0] * 8, [0.0] * 6 + [1.0, 0.0], [0.0] * 8]
    assert slowest(costs, cut(costs)) == 0


def test_a_faster_stage_gets_more_layers():
    assert cut([[1.0] * 12, [0.5] * 12]) == [4, 8]
    assert cut([[1.0] * 30] * 4) in (
        [8, 8, 8, 6],
        [8, 8, 7, 7],
        [8, 7, 8, 7],
        [7, 8, 8, 7],
        [7, 7, 8, 8],
    )
