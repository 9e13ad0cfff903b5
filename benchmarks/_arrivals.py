"""Arrivals for the online scheduler: plain, in bursts, of heavy-tailed sizes, on failing devices.

Four devices, three operators; a realtime task has 8 items and 40 ms, an offline one six times
the items. Loads are shares of what an LP of fractional shares says the devices can do at best.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from typing import Any

from deepseek_core import LatencyClass
from deepseek_core.schedule.online import records as r

# Milliseconds of a realtime task of 8 items on each of the 4 devices; no device is best at all.
COSTS_MS = {"convolve": (20, 4, 6, 9), "match": (8, 9, 3, 14), "multiply": (10, 5, 12, 7)}
SIGMA, DEADLINE_S, ITEMS, LARGER = 0.3, 0.040, 8, 6
# Scales the costs so that 400 + 30 tasks a second are a load of 1.05, and 300 + 12 one of 0.68.
SCALE = 1.4764
FIXED = 0.15  # share of a run's cost that does not grow with its items
BURST_EVERY_S, BURST_S = 5.0, 1.0
# Heavy tails: realtime items lognormal up to what a fast device does in time when it is idle,
# offline items Pareto.
TAIL_SIGMA, MOST = 0.5, 24
TAIL, LEAST_OFFLINE, MOST_OFFLINE = 1.5, 16, 20_000


def devices() -> list[r.OnlineDevice]:
    """The four devices, as they say that they are."""
    return [
        r.OnlineDevice(
            id=f"device {j}",
            costs={
                name: r.RunCost(
                    fixed_s=FIXED * row[j] * SCALE * 1e-3,
                    item_s=(1 - FIXED) * row[j] * SCALE * 1e-3 / ITEMS,
                    sigma=SIGMA,
                )
                for name, row in COSTS_MS.items()
            },
        )
        for j in range(4)
    ]


def arrivals(
    realtime: float,
    offline: float,
    *,
    seconds: float,
    seed: int,
    burst: float = 1.0,
    heavy: bool = False,
) -> Iterator[r.TaskArrived]:
    """Poisson arrivals of both classes; one second in five has `burst` times the realtime ones."""
    rng, names = random.Random(seed), sorted(COSTS_MS)
    at_s, number = 0.0, 0
    while True:
        often = realtime * (burst if at_s % BURST_EVERY_S < BURST_S else 1.0)
        at_s += rng.expovariate(often + offline)
        if at_s >= seconds:
            return
        number += 1
        urgent = rng.random() * (often + offline) < often
        items = _items(rng, urgent=urgent) if heavy else ITEMS if urgent else ITEMS * LARGER
        yield r.TaskArrived(
            time_s=at_s,
            task_id=number,
            operator=rng.choice(names),
            items=items,
            latency=LatencyClass.REALTIME if urgent else LatencyClass.OFFLINE,
            deadline_s=at_s + DEADLINE_S if urgent else math.inf,
        )


def without(
    device: int, events: Iterable[r.TaskArrived], *, seconds: float
) -> Iterator[r.OnlineEvent]:
    """The same while one of the devices is lost for the middle third of the time."""
    gone = devices()[device]
    turns: list[Any] = [
        r.DeviceLost(time_s=seconds / 3, device_id=gone.id),
        r.DeviceJoined(time_s=2 * seconds / 3, device=gone),
    ]
    for event in events:
        while turns and turns[0].time_s <= event.time_s:
            yield turns.pop(0)
        yield event


def _items(rng: random.Random, *, urgent: bool) -> int:
    if not urgent:
        return min(MOST_OFFLINE, int(LEAST_OFFLINE * rng.paretovariate(TAIL)))
    drawn = ITEMS * math.exp(rng.gauss(-(TAIL_SIGMA**2) / 2, TAIL_SIGMA))
    return min(MOST, max(1, round(drawn)))
