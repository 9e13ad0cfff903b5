"""The routes of a placement as graphs to run: neighbors on one device joined into one stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

import attrs

from deepseek_core.contracts.errors import DeepSeekError
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Stage
from deepseek_core.runtime.residents import Border, borders, reads_of
from deepseek_core.schedule.joined import unit_name, units

MayRun = Callable[[Stage, str], bool]
"""Whether a device may be given this stage."""

Holds = Sequence[tuple[str, str]]


@attrs.frozen(kw_only=True, eq=False)
class Route:
    """A graph whose stages run as they are, and the device of each.

    `parts` maps each of them to the stages of the user's graph that it stands for, `followers` to
    those that wait for its end, `waits` to how many it waits for, `order` to its place. Mostly
    they wait because they read what it makes; some are held back, as `Placement.holds` says.
    `borders` says where the outputs of each are read, `reads` how often each tensor is.
    `decision` numbers the placement that it comes from: a later one takes its place.
    """

    graph: Graph
    devices: Mapping[str, str]
    parts: Mapping[str, tuple[str, ...]]
    followers: Mapping[str, tuple[Stage, ...]]
    waits: Mapping[str, int]
    order: Mapping[str, int]
    borders: Mapping[str, Border]
    reads: Mapping[str, int]
    decision: int
    is_chain: bool

    def ran_on(self) -> dict[str, str]:
        """Stage of the user's graph -> device, if all goes as planned."""
        return {part: self.devices[name] for name, parts in self.parts.items() for part in parts}


def routes_of(
    graph: Graph,
    routes: Iterable[tuple[Mapping[str, str], float]],
    may_run: MayRun,
    decision: int,
    order: Sequence[str] = (),
    *,
    holds: Holds = (),
) -> tuple[Route, ...]:
    """A route for each that a placement has, in its order."""
    return tuple(
        route_of(graph, devices, may_run, decision, order, holds=holds)
        for devices, _share in routes
    )


def part_of(graph: Graph, names: Sequence[str]) -> Graph:
    """Some stages of a graph as a graph of their own, which makes all that is read of them."""
    return attrs.evolve(
        graph,
        stages=[stage for stage in graph.stages if stage.name in names],
        outputs=graph.wanted_of(names),
        declared_inputs=None,
    )


def route_of(
    graph: Graph,
    devices: Mapping[str, str],
    may_run: MayRun,
    decision: int,
    order: Sequence[str] = (),
    *,
    holds: Holds = (),
) -> Route:
    """A graph as it runs with its stages on these devices; `order`, `holds` as in `Placement`."""
    stages: list[Stage] = []
    parts: dict[str, tuple[str, ...]] = {}
    for group in units([stage.name for stage in graph.stages], devices):
        for made, names in _joined(graph, group, devices[group[0]], may_run):
            stages.append(made)
            parts[made.name] = names
    # The frontend knows the stages of its own graph, not what became of them here.
    cut = attrs.evolve(graph, stages=stages, fuse=None)
    after = _held({stage.name: cut.predecessors(stage) for stage in cut.stages}, parts, holds)
    placed = {name: devices[names[0]] for name, names in parts.items()}
    return Route(
        graph=cut,
        devices=placed,
        borders=borders(cut, placed),
        reads=reads_of(cut),
        parts=parts,
        followers={name: tuple(s for s in cut.stages if name in after[s.name]) for name in after},
        waits={name: len(before) for name, before in after.items()},
        order=_order(parts, order or [stage.name for stage in graph.stages]),
        decision=decision,
        is_chain=_is_chain(cut),
    )


def _held(
    after: dict[str, tuple[str, ...]], parts: Mapping[str, tuple[str, ...]], holds: Holds
) -> dict[str, tuple[str, ...]]:
    """What each stage waits for, holds included.

    Stages that were joined run as one: if by that a hold waits for itself, none counts.
    """
    unit = {name: made for made, names in parts.items() for name in names}
    held = {made: list(before) for made, before in after.items()}
    for first, then in holds:
        source, target = unit[first], unit[then]
        if source != target and source not in held[target]:
            held[target].append(source)
    try:
        tuple(TopologicalSorter(held).static_order())
    except CycleError:
        return after
    return {made: tuple(before) for made, before in held.items()}


def _order(parts: Mapping[str, Sequence[str]], order: Sequence[str]) -> dict[str, int]:
    """The place of each stage that stands for others: that of the first of them."""
    position = {name: index for index, name in enumerate(order)}
    return {made: min(position[name] for name in names) for made, names in parts.items()}


def _joined(
    graph: Graph, group: tuple[str, ...], device_id: str, may_run: MayRun
) -> list[tuple[Stage, tuple[str, ...]]]:
    """A group as one stage where frontend and device agree, else its stages one by one."""
    if len(group) > 1 and graph.fuse is not None:
        try:
            made = graph.fused(group)
        except DeepSeekError:
            made = None
        if made is not None and may_run(made, device_id):
            return [(attrs.evolve(made, name=unit_name(group)), group)]
    return [(graph.stage(name), (name,)) for name in group]


def _is_chain(graph: Graph) -> bool:
    """Whether no two stages could run at once."""
    previous: str | None = None
    for stage in graph.stages:
        if previous is not None and previous not in graph.predecessors(stage):
            return False
        previous = stage.name
    return True
