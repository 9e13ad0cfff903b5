"""Where to cut a graph of nodes: pure, over numbers and labels.

Nodes are numbered in a topological order. Each has a label (the set of devices that run it); a
stage is a run of nodes of one label in some topological order, so stages never form a cycle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import attrs

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
    return min((_cut_from(label, labels, needs) for label in begins), key=len)


@attrs.define
class _State:
    """How far a cut has come: per node what it still waits for, per label what is ready."""

    labels: Sequence[Label]
    readers: dict[int, list[int]]
    missing: dict[int, int]
    ready: dict[Label, list[int]]


def _cut_from(
    label: Label, labels: Sequence[Label], needs: Sequence[Sequence[int]]
) -> list[list[int]]:
    state = _begin(labels, needs)
    stages: list[list[int]] = []
    while state.ready:
        stages.append(_take(label, state))
        label = _next_label(state)
    return stages


def _begin(labels: Sequence[Label], needs: Sequence[Sequence[int]]) -> _State:
    readers: dict[int, list[int]] = defaultdict(list)
    ready: dict[Label, list[int]] = defaultdict(list)
    for node, needed in enumerate(needs):
        for maker in set(needed):
            readers[maker].append(node)
        if not needed:
            ready[labels[node]].append(node)
    missing = {node: len(set(needed)) for node, needed in enumerate(needs)}
    return _State(labels, readers, missing, ready)


def _run(label: Label, state: _State) -> tuple[list[int], dict[int, int]]:
    """The nodes that can run one after another, and what their readers then wait for."""
    waiting, nodes = list(state.ready[label]), list[int]()
    missing: dict[int, int] = {}
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        for reader in state.readers.get(node, ()):
            missing[reader] = missing.get(reader, state.missing[reader]) - 1
            if not missing[reader] and state.labels[reader] == label:
                waiting.append(reader)
    # Ascending numbers are a topological order.
    return sorted(nodes), missing


def _take(label: Label, state: _State) -> list[int]:
    nodes, missing = _run(label, state)
    state.missing.update(missing)
    del state.ready[label]
    for reader, count in missing.items():
        if not count and state.labels[reader] != label:
            state.ready.setdefault(state.labels[reader], []).append(reader)
    return nodes


def _next_label(state: _State) -> Label:
    """The ready label that runs longest; the earliest node's at a tie."""
    if len(state.ready) < 2:
        return next(iter(state.ready), None)
    return max(
        state.ready, key=lambda label: (len(_run(label, state)[0]), -min(state.ready[label]))
    )
