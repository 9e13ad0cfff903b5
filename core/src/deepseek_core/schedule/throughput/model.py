"""A stream problem as numbers: groups of stages that go together, loads by resource.

Resources are the devices (seconds / slots) and, last, the host's cores (core-seconds / cores).
The period of an assignment is its largest load.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

from deepseek_core.contracts.errors import NoDevice
from deepseek_core.schedule.throughput.problem import Link, StreamProblem, StreamStage

Assignment = Sequence[int]
"""Device index of each group."""

_NO_LINK = Link()


class Transfer:
    """What group `a` sends to `b` and back: tensors and bytes of each direction."""

    __slots__ = ("a", "b", "back", "back_bytes", "there", "there_bytes")

    def __init__(self, a: int, b: int) -> None:
        self.a, self.b = a, b
        self.there = self.back = 0  # tensors from `a` to `b`, and from `b` to `a`
        self.there_bytes = self.back_bytes = 0.0


class Model:
    """Loads of groups on devices and of transfers between them."""

    def __init__(self, problem: StreamProblem) -> None:
        self.problem = problem
        # by group: its stages, which go to one device together
        self.members = _groups(problem.stages)
        self.n, self.m = len(self.members), len(problem.devices)  # numbers of groups and of devices
        self.resources = self.m + 1  # number of loads: the devices, and last the host's cores
        # by group: bytes that it keeps on its device
        self.mem = [sum(s.mem_bytes for s in stages) for stages in self.members]
        self.room = [device.mem_bytes for device in problem.devices]  # by device: bytes of memory
        # whether any device has a limit of memory
        self.limited = any(room < math.inf for room in self.room)
        # by group: whether its batches may go to different devices
        self.stateless = [all(s.stateless for s in stages) for stages in self.members]
        # [group][device]: load of the device, of the host
        self.cost: list[list[tuple[float, float] | None]] = []
        # by group: devices that run it and have the memory
        self.allowed: list[tuple[int, ...]] = []
        for index, stages in enumerate(self.members):
            row = [self._cost(stages, j) for j in range(self.m)]
            fits = [j for j in range(self.m) if row[j] and self.mem[index] <= self.room[j]]
            if not fits:
                raise _nowhere(stages)
            self.cost.append(row)
            self.allowed.append(tuple(fits))
        # [from][to], as `_between` gives them
        self._link = [[self._between(a, b) for b in range(self.m)] for a in range(self.m)]
        self.transfers = self._transfers()
        self.touching = _by_group(self.transfers, self.n)  # by group: its transfers

    def _cost(self, stages: Sequence[StreamStage], j: int) -> tuple[float, float] | None:
        """Load on the device and on the host, or None where a stage can't run."""
        device = self.problem.devices[j]
        if any(device.id not in stage.seconds for stage in stages):
            return None
        seconds = sum(stage.seconds[device.id] for stage in stages)
        return seconds / device.slots, seconds * device.host_threads / self.problem.host_cores

    def _between(self, a: int, b: int) -> tuple[float, float, float, float] | None:
        """Sender's and receiver's load of a transfer: by tensor and by byte."""
        here, there = self.problem.devices[a], self.problem.devices[b]
        if here.mem_node == there.mem_node:
            return None
        link = self.problem.links.get((here.mem_node, there.mem_node), _NO_LINK)
        out, into = link.at_sender / here.slots, link.at_receiver / there.slots
        byte_s = 1.0 / link.bytes_per_s
        return link.latency_s * out, byte_s * out, link.latency_s * into, byte_s * into

    def _transfers(self) -> list[Transfer]:
        group = {s.name: g for g, stages in enumerate(self.members) for s in stages}
        found: dict[tuple[int, int], Transfer] = {}
        for edge in self.problem.edges:
            a, b = group[edge.source], group[edge.target]
            if a == b:
                continue
            pair = (a, b) if a < b else (b, a)
            transfer = found.setdefault(pair, Transfer(*pair))
            if a < b:
                transfer.there += 1
                transfer.there_bytes += edge.nbytes
            else:
                transfer.back += 1
                transfer.back_bytes += edge.nbytes
        return list(found.values())

    def transfer_loads(self, t: Transfer, da: int, db: int) -> tuple[float, float]:
        """Loads on the devices of `a` and of `b`."""
        at_a = at_b = 0.0
        if t.there:
            link = self._link[da][db]
            if link is not None:
                at_a += t.there * link[0] + t.there_bytes * link[1]
                at_b += t.there * link[2] + t.there_bytes * link[3]
        if t.back:
            link = self._link[db][da]
            if link is not None:
                at_b += t.back * link[0] + t.back_bytes * link[1]
                at_a += t.back * link[2] + t.back_bytes * link[3]
        return at_a, at_b

    def loads(self, assignment: Assignment) -> list[float]:
        """Load of every resource."""
        loads = [0.0] * self.resources
        for g, d in enumerate(assignment):
            cost = self.cost[g][d]
            assert cost is not None
            loads[d] += cost[0]
            loads[-1] += cost[1]
        for t in self.transfers:
            da, db = assignment[t.a], assignment[t.b]
            if da != db:
                at_a, at_b = self.transfer_loads(t, da, db)
                loads[da] += at_a
                loads[db] += at_b
        return loads

    def merged(self, labels: Sequence[int]) -> Model:
        """The same problem with groups of one label (0, 1, ...) as one."""
        coarse = copy.copy(self)
        coarse.n = max(labels) + 1
        parts: list[list[int]] = [[] for _ in range(coarse.n)]
        for g, label in enumerate(labels):
            parts[label].append(g)
        coarse.members = [[s for g in part for s in self.members[g]] for part in parts]
        coarse.mem = [sum(self.mem[g] for g in part) for part in parts]
        coarse.stateless = [all(self.stateless[g] for g in part) for part in parts]
        coarse.cost = [[_added([self.cost[g][j] for g in p]) for j in range(self.m)] for p in parts]
        coarse.allowed = [
            tuple(
                j
                for j in range(self.m)
                if coarse.cost[label][j] is not None and coarse.mem[label] <= self.room[j]
            )
            for label in range(coarse.n)
        ]
        coarse.transfers = _relabeled(self.transfers, labels)
        coarse.touching = _by_group(coarse.transfers, coarse.n)
        return coarse

    def fits(self, assignment: Assignment) -> bool:
        """Whether no device holds more than its memory."""
        used = [0.0] * self.m
        for g, d in enumerate(assignment):
            used[d] += self.mem[g]
        return all(used[d] <= self.room[d] for d in range(self.m))

    def twins(self) -> list[int]:
        """For each device the first one that is the same in every respect."""
        first: list[int] = []
        for j in range(self.m):
            same = (i for i in range(j) if first[i] == i and self._alike(i, j))
            first.append(next(same, j))
        return first

    def _alike(self, i: int, j: int) -> bool:
        if self.room[i] != self.room[j] or self._link[i][j] != self._link[j][i]:
            return False
        if any(row[i] != row[j] for row in self.cost):
            return False
        others = (k for k in range(self.m) if k not in (i, j))
        return all(
            self._link[i][k] == self._link[j][k] and self._link[k][i] == self._link[k][j]
            for k in others
        )


def _by_group(transfers: Sequence[Transfer], n: int) -> list[list[Transfer]]:
    touching: list[list[Transfer]] = [[] for _ in range(n)]
    for transfer in transfers:
        touching[transfer.a].append(transfer)
        touching[transfer.b].append(transfer)
    return touching


def _added(costs: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    device = host = 0.0
    for cost in costs:
        if cost is None:
            return None
        device += cost[0]
        host += cost[1]
    return device, host


def _relabeled(transfers: Sequence[Transfer], labels: Sequence[int]) -> list[Transfer]:
    found: dict[tuple[int, int], Transfer] = {}
    for t in transfers:
        a, b = labels[t.a], labels[t.b]
        if a == b:
            continue
        same = a < b
        pair = (a, b) if same else (b, a)
        new = found.setdefault(pair, Transfer(*pair))
        new.there += t.there if same else t.back
        new.there_bytes += t.there_bytes if same else t.back_bytes
        new.back += t.back if same else t.there
        new.back_bytes += t.back_bytes if same else t.there_bytes
    return list(found.values())


def _groups(stages: Sequence[StreamStage]) -> list[list[StreamStage]]:
    groups: dict[str | int, list[StreamStage]] = {}
    for index, stage in enumerate(stages):
        groups.setdefault(index if stage.together is None else stage.together, []).append(stage)
    return list(groups.values())


def _nowhere(stages: Sequence[StreamStage]) -> NoDevice:
    names = ", ".join(stage.name for stage in stages[:5])
    return NoDevice(
        f"no device can hold and run the stages that must go together: {names}",
        refusals={},
        remedy="give a larger device, or let them go apart",
    )
