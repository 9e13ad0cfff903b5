"""Callers share the devices: who asks for little does not wait for who asks for much."""

import heapq
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core.contracts.task import LatencyClass
from deepseek_core.schedule.online import records as r
from deepseek_core.schedule.online.fair import FairShare
from deepseek_core.schedule.online.rules import Rules
from deepseek_core.schedule.online.scheduler import OnlineScheduler

REALTIME, OFFLINE = LatencyClass.REALTIME, LatencyClass.OFFLINE
BOTH = pytest.mark.parametrize("latency", [REALTIME, OFFLINE], ids=str)


class Bench:
    """Devices of an operator "a" that take exactly what they say, and what came of the tasks."""

    def __init__(self, *item_s, rules=None, fixed_s=0.0, most_items=16):
        costs = [r.RunCost(fixed_s=fixed_s, item_s=s, most_items=most_items) for s in item_s]
        self.cost = {str(i): cost for i, cost in enumerate(costs)}
        devices = [r.OnlineDevice(id=i, costs={"a": cost}) for i, cost in self.cost.items()]
        self.scheduler = OnlineScheduler(devices, rules)
        self.ends, self.ended, self.runs = [], {}, []

    def tell(self, event):
        for d in self.scheduler.handle(event):
            if isinstance(d, r.Start):
                seconds = self.cost[d.device_id].seconds(d.items)
                heapq.heappush(self.ends, (event.time_s + seconds, d.run_id, seconds))
                self.runs.append((event.time_s, seconds, d))
            elif isinstance(d, r.Finish | r.Reject | r.Drop | r.Fail):
                self.ended[d.task_id] = (event.time_s, d)

    def until(self, time_s):
        while self.ends and self.ends[0][0] <= time_s:
            end_s, run_id, seconds = heapq.heappop(self.ends)
            self.tell(r.TaskFinished(time_s=end_s, run_id=run_id, seconds=seconds))

    def ask(self, at_s, task_id, latency, caller, items=1, within_s=math.inf):
        self.until(at_s)
        event = r.TaskArrived(
            time_s=at_s, task_id=task_id, operator="a", items=items, latency=latency,
            deadline_s=at_s + within_s, caller=caller,
        )  # fmt: skip
        self.tell(event)

    def waited_s(self, task_id, since_s):
        ended_s, decision = self.ended[task_id]
        assert isinstance(decision, r.Finish)
        return ended_s - since_s

    def served_s(self, caller, until_s):
        """Device time of a caller; task ids begin with its name."""
        mine = [
            (at, seconds) for at, seconds, d in self.runs if d.parts[0].task_id.startswith(caller)
        ]
        return sum(min(seconds, max(0.0, until_s - at)) for at, seconds in mine)


@pytest.mark.parametrize(
    ("latency", "within_s"), [(REALTIME, math.inf), (REALTIME, 60.0), (OFFLINE, math.inf)]
)
@pytest.mark.parametrize("items", [1, 16])
@pytest.mark.parametrize("at_s", [0.0, 0.0137, 0.1])
def test_a_single_item_does_not_wait_for_300_jobs_of_another(latency, within_s, items, at_s):
    bench = Bench(0.001, 0.003, fixed_s=0.0002)
    for number in range(300):
        bench.ask(0.0, f"many {number}", latency, "many", items=items, within_s=within_s)
    bench.until(at_s)
    rest_s = max(end_s for end_s, *_ in bench.ends) - at_s  # of what runs: nothing stops it
    bench.ask(at_s, "one", latency, "one", within_s=within_s)
    bench.until(math.inf)
    alone_s = 0.0012
    fair_s = rest_s + 2 * alone_s  # half of a device, from when one is free
    assert bench.waited_s("one", at_s) <= 2 * fair_s
    assert max(end_s for end_s, _ in bench.ended.values()) > 4 * bench.waited_s("one", at_s)


@BOTH
@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 16), st.integers(1, 16)), min_size=20, max_size=60))
def test_two_who_always_have_work_get_equal_time(latency, sizes):
    """They never differ by more than the longest run of each (Goyal et al., theorem 1)."""
    bench = Bench(0.001, rules=Rules(batch_z=None))
    for number, (mine, yours) in enumerate(sizes):
        bench.ask(0.0, f"x{number}", latency, "x", items=mine)
        bench.ask(0.0, f"y{number}", latency, "y", items=yours)
    both_s = 2 * 0.001 * min(sum(m for m, _ in sizes), sum(y for _, y in sizes))
    for step in range(50):
        until_s = both_s * step / 50
        bench.until(until_s)
        apart_s = abs(bench.served_s("x", until_s) - bench.served_s("y", until_s))
        assert apart_s <= 2 * 0.016 + 1e-9


@BOTH
def test_who_sends_one_at_a_time_gets_no_more_than_a_share(latency):
    """Coming back at once is no way to be always the first."""
    bench = Bench(0.001, rules=Rules(batch_z=None))
    for number in range(400):
        bench.ask(0.0, f"queue {number}", latency, "queue")
    bench.ask(0.0, "loop 0", latency, "loop")
    number = 0
    while bench.scheduler.now_s < 0.3:
        bench.until(bench.ends[0][0])
        if f"loop {number}" in bench.ended:
            number += 1
            bench.ask(bench.scheduler.now_s, f"loop {number}", latency, "loop")
    assert bench.served_s("loop", 0.3) == pytest.approx(0.15, abs=0.005)


@BOTH
def test_who_was_alone_for_long_owes_nothing(latency):
    bench = Bench(0.001, rules=Rules(batch_z=None))
    for number in range(1000):
        bench.ask(number * 0.001, f"early {number}", latency, "early")
    for number in range(50):
        bench.ask(1.0, f"early again {number}", latency, "early")
        bench.ask(1.0, f"late {number}", latency, "late")
    bench.until(1.05)
    late_s = bench.served_s("late", 1.05)
    assert late_s == pytest.approx(0.025, abs=0.003)


@BOTH
def test_what_one_caller_asks_for_stays_in_order(latency):
    bench, rng = Bench(0.001), random.Random(0)
    callers = [(rng.choice("abc"), number) for number in range(200)]
    for caller, number in callers:
        bench.ask(0.1 + number * 0.0004, (caller, number), latency, caller, rng.randint(1, 16))
    bench.until(math.inf)
    begun = [part.task_id for _, _, start in bench.runs for part in start.parts]
    for caller in "abc":
        mine = list(dict.fromkeys(i[1] for i in begun if i[0] == caller))
        assert mine == sorted(mine) and len(mine) == sum(c == caller for c, _ in callers)


def test_a_deadline_goes_before_any_share():
    bench = Bench(0.001, rules=Rules(batch_z=None))
    bench.ask(0.0, "first", REALTIME, "a")
    for number in range(20):
        bench.ask(0.0, f"b{number}", REALTIME, "b")
    bench.ask(0.0, "urgent", REALTIME, "b", within_s=0.010)
    bench.until(math.inf)
    assert bench.waited_s("urgent", 0.0) <= 0.003


def test_no_promise_is_broken_for_a_share():
    """Who had less goes first only while those who had more are in time all the same."""
    bench = Bench(0.010, rules=Rules(batch_z=None, drop_hopeless=False))
    bench.ask(0.0, "running", REALTIME, "many")
    for number in range(9):
        bench.ask(0.0, f"many {number}", REALTIME, "many", within_s=0.100)
    bench.ask(0.001, "one", REALTIME, "one", within_s=0.200)
    bench.until(math.inf)
    assert all(bench.waited_s(f"many {number}", 0.0) <= 0.100 + 1e-9 for number in range(9))
    assert 0.100 < bench.waited_s("one", 0.001) <= 0.200


def test_one_caller_does_not_take_all_places():
    bench = Bench(0.001, rules=Rules(caller_limit=20, queue_limit=30))
    for number in range(25):
        bench.ask(0.0, f"a{number}", OFFLINE, "a")
    for number in range(15):
        bench.ask(0.0, f"b{number}", OFFLINE, "b")
    refused = {name: d for name, (_, d) in bench.ended.items()}
    assert all(isinstance(d, r.Reject) and d.retry_after_s > 0 for d in refused.values())
    assert sorted(refused) == sorted(
        [f"a{n}" for n in range(20, 25)] + [f"b{n}" for n in range(10, 15)]
    )
    assert "caller 'a'" in refused["a20"].reason and "caller_limit" in refused["a20"].reason
    assert "queue_limit" in refused["b10"].reason
    bench.until(math.inf)
    bench.ask(1.0, "a later", OFFLINE, "a")
    bench.until(math.inf)
    assert bench.waited_s("a later", 1.0) == pytest.approx(0.001)


def test_callers_who_have_gone_are_forgotten():
    share = FairShare()
    for number in range(10_000):
        share.began(share.charge(f"caller {number}", 1.0) + 1.0)
    assert len(share._ends) < 200


@BOTH
@pytest.mark.parametrize("stage", ["queued", "running", "stranded"])
def test_a_task_that_is_withdrawn_gives_up_its_place_and_ends_in_silence(latency, stage):
    bench = Bench(0.001)
    if stage == "stranded":
        bench.tell(r.DeviceLost(time_s=0.0, device_id="0"))
    if stage == "queued":
        bench.ask(0.0, "before", latency, "a", items=16)
    bench.ask(0.0, "gone", latency, "a", items=16)
    bench.ask(0.0, "after", latency, "a")
    bench.tell(r.TaskWithdrawn(time_s=0.0005, task_id="gone"))
    bench.tell(r.TaskWithdrawn(time_s=0.0005, task_id="gone"))  # no second effect
    if stage == "stranded":
        device = r.OnlineDevice(id="0", costs={"a": bench.cost["0"]})
        bench.tell(r.DeviceJoined(time_s=0.0006, device=device))
    bench.until(math.inf)
    assert "gone" not in bench.ended and bench.scheduler.live == 0
    ran = {part.task_id for _, _, start in bench.runs for part in start.parts}
    assert ("gone" in ran) == (stage == "running")
    assert isinstance(bench.ended["after"][1], r.Finish)


def test_many_that_wait_for_a_device_cost_one_look_each():
    """As each of 20,000 deadlines passes, not all the others are looked at again."""
    bench = Bench(0.001)
    bench.tell(r.DeviceLost(time_s=0.0, device_id="0"))
    for number in range(20_000):
        event = r.TaskArrived(
            time_s=0.0, task_id=number, operator="a", latency=REALTIME,
            deadline_s=1.0 + number * 1e-3, committed=True,
        )  # fmt: skip
        bench.tell(event)
    while bench.scheduler.wake_s < math.inf:
        bench.tell(r.Tick(time_s=bench.scheduler.wake_s))
    assert len(bench.ended) == 20_000 and bench.scheduler.live == 0
    assert all(isinstance(d, r.Drop) for _, d in bench.ended.values())
