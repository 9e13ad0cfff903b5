"""Cuts are runs of one label in a topological order, and few."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from deepseek_onnx.partition import cut


@st.composite
def graphs(draw, labels="abc"):
    """Labels of the nodes, and for each node the earlier nodes it reads from."""
    count = draw(st.integers(1, 12))
    needs = [
        sorted(draw(st.sets(st.integers(0, i - 1), max_size=3))) if i else [] for i in range(count)
    ]
    return [draw(st.sampled_from(labels)) for _ in range(count)], needs


@given(graphs())
def test_every_node_is_in_one_stage_of_its_label(graph):
    labels, needs = graph
    stages = cut(labels, needs)
    assert sorted(node for stage in stages for node in stage) == list(range(len(labels)))
    assert all(len({labels[node] for node in stage}) == 1 for stage in stages)
    assert all(stage == sorted(stage) for stage in stages)


@given(graphs())
def test_a_stage_reads_only_from_itself_and_earlier_stages(graph):
    labels, needs = graph
    done: set[int] = set()
    for stage in cut(labels, needs):
        for node in stage:
            assert set(needs[node]) <= done
            done.add(node)


@given(graphs())
def test_neighbors_differ_and_equal_input_gives_equal_output(graph):
    labels, needs = graph
    stages = cut(labels, needs)
    assert stages == cut(labels, needs)
    assert all(labels[a[0]] != labels[b[0]] for a, b in pairwise(stages))


def fewest_stages(labels, needs):
    """By trying every order of labels: with two labels, every choice is the first one."""
    best = len(labels)
    for first in set(labels):
        left, label, count = set(range(len(labels))), first, 0
        while left:
            before = len(left)
            for node in range(len(labels)):
                if node in left and labels[node] == label and not set(needs[node]) & left:
                    left.remove(node)
            count += len(left) < before
            label = "a" if label == "b" else "b"
        best = min(best, count)
    return best


@given(graphs(labels="ab"))
def test_with_two_labels_no_order_has_fewer_stages(graph):
    assert len(cut(*graph)) == fewest_stages(*graph)


def test_branches_that_alternate_are_gathered():
    # Two chains a -> b, interleaved in the file: two stages, not four.
    assert cut("abab", [[], [0], [], [2]]) == [[0, 2], [1, 3]]


def test_no_nodes_make_no_stages():
    assert cut([], []) == []
