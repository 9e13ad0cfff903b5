"""Where to cut a graph of nodes: pure, over numbers and labels.

Nodes are numbered in a topological order. Each has a label (the set of devices that run it); a
stage is a run of nodes of one label in some topological order, so stages never form a cycle.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

Label = Hashable


def cut(labels: Sequence[Label], needs: Sequence[Sequence[int]]) -> list[list[int]]:
    """Group nodes into as few stages of one label as this greedy order finds.

    `needs[i]` lists the nodes, all smaller than i, whose outputs node i reads. Stages come in an
    order in which each reads only from earlier ones, and nodes ascend within a stage. A label is
    followed until none of its nodes is ready; each label that can begin is tried as the first.
    """
    if not labels:
        return []
    begins = dict.fromkeys(label for label, needed in zip(labels, needs, strict=True) if not needed)
    return min((_from(label, labels, needs) for label in begins), key=len)


def _from(label: Label, labels: Sequence[Label], needs: Sequence[Sequence[int]]) -> list[list[int]]:
    left = set(range(len(labels)))
    stages: list[list[int]] = []
    while left:
        stage = _exhaust(label, labels, needs, left)
        if stage:
            stages.append(stage)
        if left:
            label = _next_label(labels, needs, left)
    return stages


def _exhaust(
    label: Label, labels: Sequence[Label], needs: Sequence[Sequence[int]], left: set[int]
) -> list[int]:
    """Take every node of a label that can run without one of another label running first."""
    taken: list[int] = []
    for node in sorted(left):
        # Ascending numbers are a topological order: what a node needs was looked at before.
        if labels[node] == label and not any(need in left for need in needs[node]):
            taken.append(node)
            left.remove(node)
    return taken


def _next_label(labels: Sequence[Label], needs: Sequence[Sequence[int]], left: set[int]) -> Label:
    """The ready label that runs longest; the earliest node's at a tie."""
    ready = [node for node in sorted(left) if not any(need in left for need in needs[node])]
    candidates = dict.fromkeys(labels[node] for node in ready)
    return max(candidates, key=lambda label: len(_exhaust(label, labels, needs, set(left))))
