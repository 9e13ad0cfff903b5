"""Which parts of a model are worth giving to another device: pure, over numbers.

Every border costs a call and a transfer, so a device that could run scattered pieces of a model
that another one takes whole gets none of them. What it may get is measured before it is used;
this only bounds what there is to measure, and how long a plan is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from deepseek_onnx.partition import cut

_MOST_REGIONS: Final = 4
_LEAST_SHARE: Final = 0.1  # of the model's work


def worthwhile(
    able: Collection[int],
    needs: Sequence[Sequence[int]],
    work: Sequence[float],
    special: Collection[int],
) -> set[int]:
    """Select the nodes, among those a device can run, in regions that may be worth a border.

    A region is a run of such nodes in some topological order. It counts where it does a tenth of
    the model's `work` (one number a node), or holds a `special` node: an operator of a domain of
    its own, for which the device has a kernel that nobody else has. The largest four are kept.
    """
    labels = [i in able for i in range(len(work))]
    regions = [group for group in cut(labels, needs) if labels[group[0]]]
    least = _LEAST_SHARE * sum(work)
    sized = sorted(((sum(work[i] for i in r), -r[0], r) for r in regions), reverse=True)
    kept = [r for done, _, r in sized if done >= least or not set(special).isdisjoint(r)]
    return {i for region in kept[:_MOST_REGIONS] for i in region}
