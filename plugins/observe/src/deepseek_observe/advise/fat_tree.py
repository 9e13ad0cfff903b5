"""Fat trees: how many ports there are below and above, and what that leaves of the bandwidth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import attrs

from deepseek_core import errors
from deepseek_observe.advise.advice import Advice, Kind

_SOURCE: Final = "Al-Fares, Loukissas, Vahdat, SIGCOMM 2008; Leiserson 1985"
_RAILS: Final = "NCCL user guide, NCCL_CROSS_NIC; NVIDIA, DGX SuperPOD reference architecture"


def _row(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Tier:
    """`switches` of one tier, each with `down` and `up` links of so many bits a second.

    Raises:
        InputError: a figure that can't be.
    """

    name: str
    switches: int
    down: int
    down_bits_per_s: float
    up: int = 0
    up_bits_per_s: float = 0.0

    def __attrs_post_init__(self) -> None:
        for name, least in (("switches", 1), ("down", 1), ("up", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**24:
                raise errors.InputError(
                    f"{name} of the tier {self.name!r} is {value!r}",
                    remedy=f"give a whole number of {least} or more",
                )
        for name in ("down_bits_per_s", "up_bits_per_s"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not 0 <= value < 1e18
            ):
                raise errors.InputError(
                    f"{name} of the tier {self.name!r} is {value!r}", remedy="give it as 100e9"
                )
        if self.down_bits_per_s <= 0 or (self.up > 0) != (self.up_bits_per_s > 0):
            raise errors.InputError(
                f"the tier {self.name!r} has links without a rate, or a rate without links",
                remedy="give down_bits_per_s, and up with up_bits_per_s but for the last tier",
            )

    @property
    def below(self) -> float:
        """Bits a second that may come from below, at one switch."""
        return self.down * self.down_bits_per_s

    @property
    def above(self) -> float:
        """Bits a second that may go up, at one switch."""
        return self.up * self.up_bits_per_s

    @property
    def oversubscription(self) -> float | None:
        """Below over above: 1 is enough, 4 is a quarter; None at the top."""
        return self.below / self.above if self.up else None


@attrs.frozen(kw_only=True)
class FatTree:
    """Tiers from the hosts up; `rails` are trees beside each other, one for each adapter.

    Raises:
        InputError: no tier, or tiers whose links do not meet.
    """

    tiers: tuple[Tier, ...] = attrs.field(converter=_row)
    rails: int = 1

    def __attrs_post_init__(self) -> None:
        if not self.tiers or self.tiers[-1].up:
            raise errors.InputError(
                "a fat tree ends in a tier without uplinks", remedy="leave up out of the last tier"
            )
        for low, high in zip(self.tiers, self.tiers[1:], strict=False):
            sent, taken = low.switches * low.up, high.switches * high.down
            if sent != taken or low.up_bits_per_s != high.down_bits_per_s:
                raise errors.InputError(
                    f"{low.name} sends {sent} links of {low.up_bits_per_s / 1e9:g} Gbit/s up, and "
                    f"{high.name} takes {taken} of {high.down_bits_per_s / 1e9:g}",
                    remedy="give switches, links and rates of both tiers so that they meet",
                )

    @property
    def ports(self) -> int:
        """Ports for hosts, of one rail."""
        return self.tiers[0].switches * self.tiers[0].down

    @property
    def oversubscription(self) -> float:
        """The worst of all ways up: what ports may send over what passes every tier."""
        worst = 1.0
        for tier in self.tiers[:-1]:
            passes = tier.switches * tier.above / self.ports
            worst = max(worst, self.tiers[0].down_bits_per_s / passes)
        return worst

    @property
    def bisection_bits_per_s(self) -> float:
        """What one half of the hosts can send to the other, in one direction, of all rails."""
        half = self.ports * self.tiers[0].down_bits_per_s / 2
        return half / self.oversubscription * self.rails

    def per_port_bits_per_s(self) -> float:
        """What each port has, if all send through the top at once."""
        return self.tiers[0].down_bits_per_s / self.oversubscription


def k_port(
    ports: int,
    *,
    host_bits_per_s: float,
    edge_bits_per_s: float | None = None,
    core_bits_per_s: float | None = None,
    rails: int = 1,
) -> FatTree:
    """The three-level tree of equal switches with `ports`: k^3/4 hosts, (k/2)^2 cores.

    `edge_bits_per_s` is the rate between edge and aggregation, `core_bits_per_s` between
    aggregation and core; that of the hosts where not given.

    Raises:
        InputError: an odd number of ports, or none.
    """
    if isinstance(ports, bool) or not isinstance(ports, int) or ports < 2 or ports % 2:
        raise errors.InputError(
            f"a switch of {ports!r} ports", remedy="give an even number of ports, as 64"
        )
    if ports > 1024:
        raise errors.InputError(
            f"a switch of {ports} ports", remedy="give the ports of one switch, 1024 at most"
        )
    half = ports // 2
    edge = host_bits_per_s if edge_bits_per_s is None else edge_bits_per_s
    core = edge if core_bits_per_s is None else core_bits_per_s
    return FatTree(
        tiers=(
            Tier(name="edge", switches=ports * half, down=half, down_bits_per_s=host_bits_per_s,
                 up=half, up_bits_per_s=edge),
            Tier(name="aggregation", switches=ports * half, down=half, down_bits_per_s=edge,
                 up=half, up_bits_per_s=core),
            Tier(name="core", switches=half * half, down=ports, down_bits_per_s=core),
        ),
        rails=rails,
    )  # fmt: skip


def advise_tree(tree: FatTree, adapter_bits_per_s: float | None = None) -> list[Advice]:
    """What a tree means for a training: each tier's figure, what bounds it, rails and queues."""
    told = [
        Advice(
            rule="fat-tree", kind=Kind.FACT, source=_SOURCE, what=_tiers(tree),
            why=f"{tree.ports:,} ports for hosts{_rails(tree)}; if all send through the top at "
            f"once, each has {_rate(tree.per_port_bits_per_s())} of its "
            f"{_rate(tree.tiers[0].down_bits_per_s)}; bisection "
            f"{tree.bisection_bits_per_s / 1e12:.3g} Tbit/s",
        )
    ]  # fmt: skip
    for tier in tree.tiers[:-1]:
        told.extend(_of_tier(tree, tier))
    told.extend(_of_adapter(tree, adapter_bits_per_s))
    told.extend(_of_rails(tree))
    return told


def _of_tier(tree: FatTree, tier: Tier) -> list[Advice]:
    ratio = tier.oversubscription or 1.0
    if ratio > 1.001:
        return [
            Advice(
                rule="tier-oversubscribed", kind=Kind.WARNING, source=_SOURCE,
                what=f"{tier.name} is oversubscribed {ratio:.3g}:1: {tier.down} x "
                f"{_rate(tier.down_bits_per_s)} below, {tier.up} x {_rate(tier.up_bits_per_s)} "
                "above",
                why="collectives that cross it run at "
                f"{1 / ratio:.0%} of the ports' rate; keep replicas' groups below it, or add "
                f"{_missing(tier)} uplinks to each switch",
            )
        ]  # fmt: skip
    if ratio < 0.999:
        used = ratio
        return [
            Advice(
                rule="tier-idle", kind=Kind.FACT, source=_SOURCE,
                what=f"{tier.name} has more above than below, {ratio:.3g}:1: "
                f"{1 - used:.0%} of its {_rate(tier.up_bits_per_s)} uplinks can never be filled",
                why=f"{-(-tier.below // tier.up_bits_per_s):.0f} of {tier.up} uplinks carry all "
                "that comes from below; the slower links below it are the bound",
            )
        ]  # fmt: skip
    return []


def _of_adapter(tree: FatTree, adapter: float | None) -> list[Advice]:
    port = tree.tiers[0].down_bits_per_s
    if adapter is None or adapter <= port * 1.001:
        return []
    return [
        Advice(
            rule="adapter-faster-than-port", kind=Kind.WARNING, source="the topology and the tree",
            what=f"adapters of {_rate(adapter)} at ports of {_rate(port)}: "
            f"{adapter / port:.3g}:1 before the first switch",
            why="the port is the bound of every collective between machines",
        )
    ]  # fmt: skip


def _of_rails(tree: FatTree) -> list[Advice]:
    found = []
    if tree.rails > 1:
        found.append(
            Advice(
                rule="rails", kind=Kind.SET, source=_RAILS, variable="NCCL_CROSS_NIC",
                what=f"{tree.rails} rails: set NCCL_CROSS_NIC=0, and cable adapter i of each "
                "machine to rail i",
                why="a ring then stays on one rail and crosses no core switch; all-to-all goes "
                "over NVLink to the GPU of that rail first (PXN)",
                paste=("export NCCL_CROSS_NIC=0",),
            )
        )  # fmt: skip
    if len(tree.tiers) > 2:
        found.append(
            Advice(
                rule="queue-pairs", kind=Kind.SET, variable="NCCL_IB_QPS_PER_CONNECTION",
                source="NCCL user guide, NCCL_IB_QPS_PER_CONNECTION",
                what=f"{len(tree.tiers)} levels: try NCCL_IB_QPS_PER_CONNECTION=4 on InfiniBand "
                "or RoCE, and measure",
                why="one connection takes one way through the tree; several spread over the "
                "equal ways (unless the switches route adaptively)",
                paste=("export NCCL_IB_QPS_PER_CONNECTION=4",),
            )
        )  # fmt: skip
    return found


def _tiers(tree: FatTree) -> str:
    words = []
    for tier in tree.tiers:
        ratio = tier.oversubscription
        told = "" if ratio is None else f", {ratio:.3g}:1"
        words.append(f"{tier.name} {tier.switches:,} switches{told}")
    return f"{'; '.join(words)}; from end to end {tree.oversubscription:.3g}:1"


def _rails(tree: FatTree) -> str:
    return f" on each of {tree.rails} rails" if tree.rails > 1 else ""


def _missing(tier: Tier) -> int:
    return int(-(-tier.below // tier.up_bits_per_s)) - tier.up


def _rate(bits_per_s: float) -> str:
    return f"{bits_per_s / 1e9:.4g} Gbit/s"
