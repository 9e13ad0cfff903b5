"""A cluster as a plan of a training sees it: equal ranks in groups, and the links between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from deepseek_core.contracts.errors import InputError

_MOST_GPUS: Final = 65_536
_LEAST: Final = 1e-12
_MOST: Final = 1e24
"""Figures beyond these are of no machine, and their quotients of no use."""


@attrs.frozen(kw_only=True)
class Link:
    """What one GPU sends at once: `bytes_per_s` in one direction, and `latency_s` of a message."""

    bytes_per_s: float
    latency_s: float

    def __attrs_post_init__(self) -> None:
        check_figure(self.bytes_per_s, "a link's bytes_per_s", least=_LEAST)
        check_figure(self.latency_s, "a link's latency_s")


@attrs.frozen(kw_only=True)
class Group:
    """`nodes` equal nodes of equal GPUs, or of other processors that hold a rank each.

    `flops_per_s` is the peak of dense matrix products by dtype. `inside` links the GPUs of a node;
    `between` is one GPU's share of the network between nodes. `speed` is what was measured as a
    share of what these figures promise: 0.8 for a GPU that takes 1.25 times as long.

    Raises:
        InputError: a figure that can't be.
    """

    name: str
    nodes: int
    gpus_per_node: int
    flops_per_s: Mapping[str, float]
    memory_nbytes: float
    memory_bytes_per_s: float
    inside: Link
    between: Link
    speed: float = 1.0

    def __attrs_post_init__(self) -> None:
        of = f"of the group {self.name!r}"
        for name in ("nodes", "gpus_per_node"):
            check_whole(getattr(self, name), f"{name} {of}")
        for name in ("memory_nbytes", "memory_bytes_per_s", "speed"):
            check_figure(getattr(self, name), f"{name} {of}", least=_LEAST)
        for dtype, rate in self.flops_per_s.items():
            check_figure(rate, f"flops_per_s.{dtype} {of}", least=_LEAST)

    @property
    def num_gpus(self) -> int:
        """All its GPUs."""
        return self.nodes * self.gpus_per_node

    def peak(self, dtype: str) -> float:
        """Operations in a second at most.

        Raises:
            InputError: the group says nothing of this dtype.
        """
        if dtype not in self.flops_per_s:
            known = ", ".join(self.flops_per_s) or "none"
            raise InputError(
                f"the group {self.name!r} gives no flops_per_s for {dtype}",
                remedy=f"use a dtype that it has ({known}), or add its figure to the cluster",
            )
        return self.flops_per_s[dtype]


@attrs.frozen(kw_only=True)
class Cluster:
    """Groups in the order in which ranks are counted; each GPU holds one rank.

    Raises:
        InputError: no group, or more GPUs than plans are made for.
    """

    groups: tuple[Group, ...]

    def __attrs_post_init__(self) -> None:
        if not self.groups:
            raise InputError("the cluster has no group", remedy="add a [[group]]")
        check_whole(self.world, "the cluster's number of GPUs", _MOST_GPUS)

    @property
    def world(self) -> int:
        """All GPUs."""
        return sum(group.num_gpus for group in self.groups)


def check_whole(value: object, what: str, most: int = 2**31) -> int:
    """A whole number from 1 to `most`, beyond which a search would not end.

    Raises:
        InputError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(
            f"{what} is {value!r}, not a whole number of 1 or more",
            remedy=f"give {what} as a whole number, as 8",
        )
    if value > most:
        raise InputError(
            f"{what} is {value}, and plans are made up to {most:,}",
            remedy=f"give {what} of {most} or less",
        )
    return value


def check_figure(value: object, what: str, *, least: float = 0.0) -> float:
    """A number from `least` to 1e24.

    Raises:
        InputError: it is none.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= _MOST:  # type: ignore[operator]
        raise InputError(
            f"{what} is {value!r}, not a number from {least:g} to {_MOST:g}",
            remedy=f"give {what} as a number in its unit, as 5e-6 or 3e9",
        )
    return float(value)  # type: ignore[arg-type]
