"""The simulator keeps count of everything, repeats itself, and shows what each rule is for."""

import random

import attrs
import pytest

from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.schedule.online import records as r
from deepseek_core.schedule.online.rules import POLICIES, Rules
from deepseek_core.schedule.online.simulator import simulate

REALTIME, OFFLINE = LatencyClass.REALTIME, LatencyClass.OFFLINE
COSTS_MS = {"convolve": (20, 4, 6, 9), "match": (8, 9, 3, 14), "multiply": (10, 5, 12, 7)}


def devices(scale=1.3, sigma=0.3):
    return [
        r.OnlineDevice(
            id=f"device{j}",
            costs={
                name: r.RunCost(fixed_s=row[j] * scale * 2e-4, item_s=row[j] * scale * 1e-4,
                                sigma=sigma)
                for name, row in COSTS_MS.items()
            },
        )
        for j in range(4)
    ]  # fmt: skip


def arrivals(realtime_per_s, offline_per_s, seconds, seed=0, deadline_s=0.04):
    rng = random.Random(seed)
    at_s, rate = 0.0, realtime_per_s + offline_per_s
    number = 0
    while (at_s := at_s + rng.expovariate(rate)) < seconds:
        number += 1
        urgent = rng.random() * rate < realtime_per_s
        yield r.TaskArrived(
            time_s=at_s,
            task_id=number,
            operator=rng.choice(sorted(COSTS_MS)),
            items=8 if urgent else 48,
            latency=REALTIME if urgent else OFFLINE,
            deadline_s=at_s + deadline_s if urgent else float("inf"),
        )


def run(rules, realtime_per_s=300, offline_per_s=12, seconds=15, **more):
    return simulate(
        devices(), arrivals(realtime_per_s, offline_per_s, seconds), rules=rules, **more
    )


@pytest.mark.parametrize("name", POLICIES)
def test_nothing_is_lost_under_any_policy(name):
    outcome = run(POLICIES[name], 500, 30, 5)
    assert outcome.unfinished == 0
    for row in outcome.classes.values():
        assert row.arrived == row.refused + row.dropped + row.failed + row.finished
        assert len(row.latency_s) == row.finished
    assert outcome.classes[OFFLINE].finished == outcome.classes[OFFLINE].arrived
    assert outcome.classes[OFFLINE].items == 48 * outcome.classes[OFFLINE].arrived


def test_the_same_seed_gives_the_same_run():
    first, again, other = (run(Rules(), seconds=3, seed=s) for s in (1, 1, 2))
    assert attrs.asdict(first) == attrs.asdict(again)
    assert attrs.asdict(first) != attrs.asdict(other)


def test_ours_keeps_deadlines_that_its_rivals_miss():
    shares = {n: run(rules).classes[REALTIME].on_time_share for n, rules in POLICIES.items()}
    assert shares["deepseek"] >= 0.995
    assert all(shares["deepseek"] > shares[n] for n in shares if n != "deepseek")


def test_chunks_are_what_makes_priority_safe():
    whole = attrs.evolve(Rules(), chunk_s=float("inf"), admission_z=None)
    cut = attrs.evolve(whole, chunk_s=0.01)
    p99 = [run(rules).classes[REALTIME].quantiles_s([0.99])[0] for rules in (cut, whole)]
    assert p99[0] < 0.75 * p99[1]


def test_overload_is_refused_not_made_late():
    row = run(Rules(), 600, 0, 10).classes[REALTIME]
    assert row.refused > 0.05 * row.arrived
    assert row.broken_share < 0.03
    assert row.quantiles_s([0.98])[0] <= 0.04


def test_a_lost_device_takes_nothing_with_it():
    lost = r.DeviceLost(time_s=3.0, device_id="device1")
    back = r.DeviceJoined(time_s=6.0, device=devices()[1])
    plain = list(arrivals(150, 6, 9))
    events = sorted([*plain, lost, back], key=lambda e: e.time_s)
    outcome = simulate(devices(), events)
    assert outcome.unfinished == 0
    assert outcome.classes[OFFLINE].finished == outcome.classes[OFFLINE].arrived
    assert outcome.classes[REALTIME].on_time_share > 0.9


def test_without_scatter_a_lone_task_takes_its_estimate():
    task = r.TaskArrived(time_s=1.0, task_id=1, operator="match", items=10, latency=REALTIME)
    outcome = simulate(devices(scale=1.0), [task], sigma=0.0)
    assert list(outcome.classes[REALTIME].latency_s) == [pytest.approx(3 * 2e-4 + 30e-4)]
    assert outcome.seconds == pytest.approx(1.0036)
    assert outcome.busy_s == {"device2": pytest.approx(0.0036)}


def test_memory_does_not_grow_with_the_tasks_that_ended():
    outcome = run(Rules(), 100, 0, 60)
    assert outcome.classes[REALTIME].finished > 5000
    assert len(outcome.waiting) <= 2048
    assert outcome.classes[REALTIME].latency_s.itemsize == 8


def test_time_that_goes_backwards_is_named():
    tasks = [r.TaskArrived(time_s=t, task_id=i, operator="match") for i, t in enumerate((2.0, 1.0))]
    with pytest.raises(InputError, match="time went backwards"):
        simulate(devices(), tasks)
