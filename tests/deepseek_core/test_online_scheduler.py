"""The online scheduler: every accepted task ends exactly once, whatever happens."""

import math
import random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core.contracts.errors import ConfigError, InputError
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.schedule.online import records as r
from deepseek_core.schedule.online.rules import POLICIES, Rules, policy
from deepseek_core.schedule.online.scheduler import OnlineScheduler
from deepseek_core.schedule.online.state import Cost

REALTIME, OFFLINE = LatencyClass.REALTIME, LatencyClass.OFFLINE
MS = 1e-3


def cost(item_ms, fixed_ms=0.0, sigma=0.0, **more):
    return r.RunCost(fixed_s=fixed_ms * MS, item_s=item_ms * MS, sigma=sigma, **more)


def device(name, slots=1, **item_ms):
    """A device of so many milliseconds an item, by operator."""
    return r.OnlineDevice(id=name, slots=slots, costs={o: cost(ms) for o, ms in item_ms.items()})


def realtime(at_ms, number, operator="a", items=1, within_ms=None, **more):
    at_s = at_ms * MS
    deadline_s = math.inf if within_ms is None else at_s + within_ms * MS
    return r.TaskArrived(
        time_s=at_s, task_id=number, operator=operator, items=items, latency=REALTIME,
        deadline_s=deadline_s, **more,
    )  # fmt: skip


def offline(at_ms, number, operator="a", items=1, **more):
    return r.TaskArrived(
        time_s=at_ms * MS, task_id=number, operator=operator, items=items, latency=OFFLINE, **more
    )


def finished(at_ms, run_id):
    return r.TaskFinished(time_s=at_ms * MS, run_id=run_id)


def failed(at_ms, run_id, **more):
    return r.TaskFailed(time_s=at_ms * MS, run_id=run_id, reason="smoke", **more)


def told(decisions):
    """Decisions as short text, to compare with what is written in a test."""
    return [_told(d) for d in decisions]


def _told(d):
    match d:
        case r.Start():
            parts = " ".join(f"{p.task_id}[{p.first}:{p.first + p.items}]" for p in d.parts)
            return f"{d.run_id}: {parts} on {d.device_id}"
        case r.Preempt():
            return f"preempt {d.task_id} on {d.device_id}"
        case r.Quarantine():
            return f"quarantine {d.device_id} until {d.until_s / MS:.0f}"
        case r.Readmit():
            return f"readmit {d.device_id}"
    return f"{type(d).__name__.lower()} {d.task_id}"


# -- golden traces ----------------------------------------------------------------------------


def test_an_idle_device_starts_at_once():
    s = OnlineScheduler([device("x", a=4)])
    assert told(s.handle(realtime(0, 1))) == ["1: 1[0:1] on x"]
    assert told(s.handle(finished(4, 1))) == ["finish 1"]
    assert s.live == 0


def test_realtime_goes_by_earliest_deadline():
    s = OnlineScheduler([device("x", a=4)], Rules(batch_z=None))
    s.handle(realtime(0, 1, within_ms=100))
    s.handle(realtime(1, 2, within_ms=90))
    s.handle(realtime(2, 3, within_ms=30))
    assert told(s.handle(finished(4, 1))) == ["finish 1", "2: 3[0:1] on x"]
    assert told(s.handle(finished(8, 2))) == ["finish 3", "3: 2[0:1] on x"]


def test_offline_work_comes_in_chunks_and_gives_way_between_them():
    s = OnlineScheduler([device("x", a=2)])
    assert told(s.handle(offline(0, 1, items=12))) == ["1: 1[0:5] on x"]
    assert told(s.handle(realtime(3, 2, within_ms=40))) == []
    assert told(s.handle(finished(10, 1))) == ["preempt 1 on x", "2: 2[0:1] on x"]
    assert told(s.handle(finished(12, 2))) == ["finish 2", "3: 1[5:10] on x"]
    assert told(s.handle(finished(22, 3))) == ["4: 1[10:12] on x"]
    assert told(s.handle(finished(26, 4))) == ["finish 1"]


def test_realtime_takes_the_device_that_ends_first_not_the_idle_one():
    s = OnlineScheduler([device("fast", a=2), device("slow", a=20)])
    assert told(s.handle(realtime(0, 1))) == ["1: 1[0:1] on fast"]
    assert told(s.handle(realtime(0, 2))) == []  # it waits for the fast one
    assert told(s.handle(finished(2, 1))) == ["finish 1", "2: 2[0:1] on fast"]


def test_offline_work_goes_where_it_has_the_advantage():
    devices = [device("cpu", a=2, b=2), device("fpga", a=8, b=1)]
    s = OnlineScheduler(devices)
    s.handle(realtime(0, 1, "a"))
    s.handle(realtime(0, 2, "b"))
    s.handle(offline(0, 3, "a", items=100))
    s.handle(offline(0, 4, "b", items=100))
    assert told(s.handle(finished(1, 2))) == ["finish 2", "3: 4[0:10] on fpga"]
    assert told(s.handle(finished(2, 1))) == ["finish 1", "4: 3[0:5] on cpu"]


def test_a_deadline_behind_a_backlog_is_refused_with_the_time_that_is_missing():
    s = OnlineScheduler([device("x", a=10)], Rules(batch_z=None))
    assert told(s.handle(realtime(0, 1, within_ms=25))) == ["1: 1[0:1] on x"]
    assert s.handle(realtime(0, 2, within_ms=25)) == []
    (reject,) = s.handle(realtime(0, 3, within_ms=25))
    assert reject.retry_after_s == pytest.approx(5 * MS)
    assert s.handle(realtime(5, 3, within_ms=25)) == []


def test_admission_leaves_room_for_chance():
    certain = OnlineScheduler([device("x", a=10)])
    unsure = OnlineScheduler([r.OnlineDevice(id="x", costs={"a": cost(10, sigma=0.5)})])
    assert type(certain.handle(realtime(0, 1, within_ms=12))[0]) is r.Start
    (reject,) = unsure.handle(realtime(0, 1, within_ms=12))
    assert reject.retry_after_s is None  # not even when idle


def test_work_promised_before_is_not_made_late_by_work_that_is_more_urgent():
    s = OnlineScheduler([device("x", a=10)], Rules(batch_z=None))
    s.handle(realtime(0, 1, within_ms=100))
    assert s.handle(realtime(0, 2, within_ms=25)) == []
    assert told(s.handle(realtime(0, 3, within_ms=22))) == ["reject 3"]


def test_tasks_of_one_operator_share_a_run_while_the_deadlines_allow():
    devices = [r.OnlineDevice(id="x", costs={"a": cost(1, fixed_ms=5), "b": cost(1)})]
    s = OnlineScheduler(devices)
    s.handle(realtime(0, 1, within_ms=100))
    for number, within_ms in ((2, 20), (3, 25), (4, 30), (5, 90)):
        assert s.handle(realtime(1, number, within_ms=within_ms, items=3)) == []
    starts = s.handle(finished(6, 1))
    assert told(starts) == ["finish 1", "2: 2[0:3] 3[0:3] 4[0:3] on x"]
    assert starts[1].items == 9
    assert told(s.handle(finished(20, 2))) == [
        "finish 2", "finish 3", "finish 4", "3: 5[0:3] on x",
    ]  # fmt: skip


def test_a_batch_respects_what_fits_into_a_run():
    devices = [r.OnlineDevice(id="x", costs={"a": cost(0.1, fixed_ms=5, most_items=4)})]
    s = OnlineScheduler(devices)
    for number in range(1, 5):
        s.handle(realtime(0, number, items=2, within_ms=1000))
    assert told(s.handle(finished(5, 1)))[1:] == ["2: 2[0:2] 3[0:2] on x"]
    assert told(s.handle(realtime(5, 9, items=5, within_ms=1000))) == ["reject 9"]


def test_a_hopeless_task_is_dropped_before_it_starts():
    s = OnlineScheduler([device("x", a=10)], Rules(batch_z=None))
    s.handle(realtime(0, 1, within_ms=50))
    s.handle(realtime(0, 2, within_ms=22))
    assert told(s.handle(finished(15, 1))) == ["finish 1", "drop 2"]


def test_an_idle_device_takes_over_what_would_wait_longer_elsewhere():
    s = OnlineScheduler([device("fast", a=4), device("slow", a=9)], Rules(batch_z=None))
    s.handle(realtime(0, 1))
    s.handle(realtime(0, 2))
    s.handle(realtime(0, 3, "a"))  # the slow one is the better place for it
    s.handle(realtime(0, 4))
    s.handle(realtime(0, 5))
    run_on_slow = 2
    decisions = told(s.handle(finished(1, run_on_slow)))
    assert decisions[1].endswith("on slow")


def test_offline_work_does_not_starve_under_realtime_overload():
    s = OnlineScheduler([device("x", a=10)], Rules(admission_z=None, batch_z=None))
    s.handle(realtime(0, 0))
    s.handle(offline(0, "batch", items=1))
    run, at_ms, got = 1, 0, 0
    for number in range(1, 200):
        s.handle(realtime(at_ms, number))
        at_ms += 10
        starts = [d for d in s.handle(finished(at_ms, run)) if type(d) is r.Start]
        run = starts[0].run_id
        got += starts[0].latency is OFFLINE
    assert got == 1


def test_a_task_without_a_deadline_is_not_overtaken_for_ever():
    rules = Rules(admission_z=None, batch_z=None, patience_s=0.1, drop_hopeless=False)
    s = OnlineScheduler([device("x", a=10)], rules)
    s.handle(realtime(0, 0, within_ms=50))
    s.handle(realtime(0, "patient"))
    ended = []
    for number in range(1, 30):
        s.handle(realtime(10 * number - 9, number, within_ms=50))
        ended += [d.task_id for d in s.handle(finished(10 * number, number)) if type(d) is r.Finish]
    assert 4 <= ended.index("patient") <= 8


def test_a_fault_quarantines_twice_as_long_each_time_and_the_task_moves():
    s = OnlineScheduler([device("x", a=4), device("y", a=8)], Rules(quarantine_s=0.1))
    s.handle(realtime(0, 1))
    assert told(s.handle(failed(1, 1))) == ["quarantine x until 101", "2: 1[0:1] on y"]
    assert s.wake_s == pytest.approx(0.101)
    assert told(s.handle(finished(9, 2))) == ["finish 1"]
    assert told(s.handle(r.Tick(time_s=0.101))) == ["readmit x"]
    assert told(s.handle(realtime(102, 2))) == ["3: 2[0:1] on x"]
    assert told(s.handle(failed(103, 3))) == ["quarantine x until 303", "4: 2[0:1] on y"]
    assert told(s.handle(finished(112, 4))) == ["finish 2"]
    assert told(s.handle(realtime(400, 3))) == ["readmit x", "5: 3[0:1] on x"]
    assert told(s.handle(finished(404, 5))) == ["finish 3"]
    assert told(s.handle(realtime(405, 4))) == ["6: 4[0:1] on x"]
    assert told(s.handle(failed(406, 6)))[0] == "quarantine x until 506"  # it had recovered


def test_a_device_on_probation_runs_one_task_at_a_time():
    s = OnlineScheduler([device("x", slots=3, a=4)], Rules(quarantine_s=0.1, batch_z=None))
    s.handle(realtime(0, 1))
    s.handle(failed(1, 1))
    for number in (2, 3, 4):
        s.handle(realtime(2, number))
    decisions = s.handle(r.Tick(time_s=0.2))
    assert told(decisions) == ["readmit x", "2: 1[0:1] on x"]
    again = [d for d in s.handle(finished(204, 2)) if type(d) is r.Start]
    assert len(again) == 3


HANGS = Rules(
    hang_factor=10.0, hang_floor_s=0.02, hang_guess_s=0.02, outage_s=0.5, quarantine_s=0.1
)


def started(at_ms, run_id):
    return r.TaskStarted(time_s=at_ms * MS, run_id=run_id)


def tick(at_ms):
    return r.Tick(time_s=at_ms * MS)


@pytest.mark.parametrize(("ms", "limit_ms"), [(4, 40), (1, 20)])
def test_a_run_past_its_limit_moves_and_its_device_is_out(ms, limit_ms):
    s = OnlineScheduler([device("x", a=ms), device("y", a=8)], HANGS)
    s.handle(realtime(0, 1))
    s.handle(started(1, 1))
    assert s.wake_s == pytest.approx((1 + limit_ms) * MS)
    assert told(s.handle(tick(limit_ms))) == []
    assert told(s.handle(tick(1.1 + limit_ms))) == ["quarantine x until inf", "2: 1[0:1] on y"]
    assert not s.runs(1) and s.wake_s == math.inf
    assert told(s.handle(finished(60, 2))) == ["finish 1"]


def test_a_guess_gets_more_time_until_a_run_has_ended():
    guessed = r.RunCost(item_s=4 * MS, founded=False)
    rules = attrs.evolve(HANGS, hang_guess_s=60.0)
    s = OnlineScheduler([r.OnlineDevice(id="x", costs={"a": guessed}), device("y", a=90)], rules)
    s.handle(realtime(0, 1))
    s.handle(started(0, 1))
    assert s.wake_s == 60.0
    s.handle(r.TaskFinished(time_s=2.0, run_id=1, seconds=2.0))
    s.handle(realtime(2_000, 2))
    s.handle(started(2_000, 2))
    assert s.wake_s == pytest.approx(2.0 + 3 * 2.0)


def test_where_nobody_else_can_a_run_gets_more_time():
    rules = attrs.evolve(HANGS, hang_guess_s=60.0)
    s = OnlineScheduler([device("x", a=4), device("y", a=8)], rules)
    s.handle(realtime(0, 1))
    s.handle(started(0, 1))
    assert s.wake_s == pytest.approx(0.04)
    s.handle(r.TaskFinished(time_s=0.004, run_id=1, seconds=0.004))
    s.handle(r.DeviceLost(time_s=0.005, device_id="y"))
    s.handle(realtime(5, 2))
    s.handle(started(5, 2))
    assert s.wake_s == pytest.approx(0.005 + 60.0)


def test_a_run_that_came_back_late_is_not_given_up_so_soon_again():
    s = OnlineScheduler([device("x", a=4)], HANGS)
    s.handle(realtime(0, 1))
    s.handle(started(0, 1))
    s.handle(tick(41))
    s.handle(r.DeviceJoined(time_s=0.05, device=device("x", a=4), late={"a": 0.05}))
    (start,) = [d for d in s.handle(tick(151)) if type(d) is r.Start]
    s.handle(started(151, start.run_id))
    assert s.wake_s == pytest.approx(0.151 + 3 * 0.05)


def test_a_run_that_has_not_begun_can_not_hang():
    s = OnlineScheduler([device("x", a=4)], HANGS)
    s.handle(realtime(0, 1))
    assert s.wake_s == math.inf
    assert told(s.handle(tick(10_000))) == []


def test_a_device_whose_call_came_back_is_tried_after_a_pause_that_doubles():
    s = OnlineScheduler([device("x", a=4)], HANGS)
    for number, pause_ms in ((1, 100), (2, 200), (3, 400)):
        at_ms = 10_000 * number
        begun = [d for d in s.handle(realtime(at_ms, number)) if type(d) is r.Start]
        s.handle(started(at_ms, begun[0].run_id))
        s.handle(tick(at_ms + 41))
        back = r.DeviceJoined(time_s=(at_ms + 50) * MS, device=device("x", a=4))
        assert told(s.handle(back)) == [f"quarantine x until {at_ms + 50 + pause_ms}"]
        decisions = s.handle(tick(at_ms + 50 + pause_ms))
        assert told(decisions)[0] == "readmit x"
        assert [d.parts[0].task_id for d in decisions if type(d) is r.Start] == [number]
        s.handle(r.TaskFailed(
            time_s=(at_ms + 500) * MS, run_id=decisions[-1].run_id, retryable=False,
            device_fault=False,
        ))  # fmt: skip


@pytest.mark.parametrize("arrive", [realtime, offline])
def test_what_nobody_could_take_for_too_long_fails(arrive):
    s = OnlineScheduler([device("x", a=4), device("y", b=4)], HANGS)
    s.handle(r.DeviceLost(time_s=0, device_id="x"))
    assert told(s.handle(arrive(100, 1))) == []
    assert s.wake_s == pytest.approx(0.6)
    assert told(s.handle(tick(599))) == []
    (decision,) = s.handle(tick(601))
    assert type(decision) is r.Fail and "in service for 0.5 s" in decision.reason
    assert s.live == 0 and s.wake_s == math.inf
    assert told(s.handle(arrive(700, 2))) == []
    back = s.handle(r.DeviceJoined(time_s=0.9, device=device("x", a=4)))
    assert told(back) == ["1: 2[0:1] on x"]
    assert told(s.handle(tick(5_000))) == []


def test_the_result_of_a_run_that_was_given_up_has_no_effect():
    s = OnlineScheduler([device("x", a=4), device("y", a=5)])
    s.handle(realtime(0, 1))
    lost = r.DeviceLost(time_s=1 * MS, device_id="x")
    assert told(s.handle(lost)) == ["quarantine x until inf", "2: 1[0:1] on y"]
    assert not s.runs(1)
    assert s.handle(finished(2, 1)) == []
    assert s.handle(failed(3, 1)) == []
    assert told(s.handle(finished(6, 2))) == ["finish 1"]
    assert s.handle(finished(7, 2)) == []


def test_attempts_are_numbered_and_end():
    s = OnlineScheduler([device("x", a=4)], Rules(most_attempts=2))
    (start,) = s.handle(realtime(0, 1))
    assert start.parts[0].attempt == 1
    (start,) = s.handle(failed(1, 1, device_fault=False))
    assert start.parts[0].attempt == 2
    assert told(s.handle(failed(2, 2, device_fault=False))) == ["fail 1"]
    assert s.live == 0


def test_a_bad_task_in_a_batch_does_not_take_the_others_down():
    devices = [r.OnlineDevice(id="x", costs={"a": cost(1, fixed_ms=5)})]
    s = OnlineScheduler(devices)
    for number in (1, 2, 3):
        s.handle(realtime(0, number))
    assert told(s.handle(finished(6, 1)))[1:] == ["2: 2[0:1] 3[0:1] on x"]
    bad = {"retryable": False, "device_fault": False}
    assert told(s.handle(failed(7, 2, **bad))) == ["3: 2[0:1] on x"]  # each alone
    assert told(s.handle(failed(8, 3, **bad))) == ["fail 2", "4: 3[0:1] on x"]
    assert told(s.handle(finished(9, 4))) == ["finish 3"]


REFUSED = {"device_fault": False, "refused": True}


@pytest.mark.parametrize("arrive", [realtime, offline])
def test_what_a_device_refuses_goes_to_another_and_nobody_is_blamed(arrive):
    s = OnlineScheduler([device("x", a=1), device("y", a=4)])
    assert told(s.handle(arrive(0, 1))) == ["1: 1[0:1] on x"]
    assert told(s.handle(failed(1, 1, **REFUSED))) == ["2: 1[0:1] on y"]
    assert told(s.handle(arrive(1, 2))) == ["3: 2[0:1] on x"]  # the next is as welcome as before
    assert told(s.handle(finished(5, 2))) == ["finish 1"]


@pytest.mark.parametrize("arrive", [realtime, offline])
def test_what_all_devices_refuse_has_failed(arrive):
    s = OnlineScheduler([device("x", a=1), device("y", a=4)], Rules(most_attempts=1))
    s.handle(arrive(0, 1))
    s.handle(failed(1, 1, **REFUSED))
    assert told(s.handle(failed(2, 2, **REFUSED))) == ["fail 1"]
    assert s.live == 0


@pytest.mark.parametrize("arrive", [realtime, offline])
def test_what_was_refused_waits_no_longer_than_others_for_a_device_that_is_out(arrive):
    s = OnlineScheduler([device("x", a=1), device("y", a=4)], Rules(outage_s=0.1))
    s.handle(r.DeviceLost(time_s=0, device_id="y"))
    s.handle(arrive(0, 1))
    assert not told(s.handle(failed(1, 1, **REFUSED)))
    s.handle(tick(2))
    assert told(s.handle(tick(150))) == ["fail 1"]


def test_of_a_batch_that_is_refused_each_task_is_tried_alone():
    devices = [r.OnlineDevice(id=i, costs={"a": cost(1, fixed_ms=5)}) for i in "x"]
    s = OnlineScheduler([*devices, device("y", a=100)])
    for number in (1, 2, 3):
        s.handle(realtime(0, number))
    assert told(s.handle(finished(6, 1)))[1:] == ["2: 2[0:1] 3[0:1] on x"]
    assert told(s.handle(failed(7, 2, **REFUSED)))[0] == "3: 2[0:1] on x"
    assert "4: 2[0:1] on y" in told(s.handle(failed(8, 3, **REFUSED)))


def test_items_of_a_task_that_were_not_refused_stay_done():
    s = OnlineScheduler([device("x", a=1), device("y", a=1000)], Rules(chunk_s=0.01))
    assert told(s.handle(offline(0, 1, items=40)))[0] == "1: 1[0:10] on x"
    ended, now_ms, runs = [], 0, {1: (0, "x")}
    while not ended:
        now_ms += 10
        run_id = min(runs)
        first, name = runs.pop(run_id)
        bad = name == "x" and first == 20
        event = failed(now_ms, run_id, **REFUSED) if bad else finished(now_ms, run_id)
        for d in s.handle(event):
            if isinstance(d, r.Start):
                runs[d.run_id] = (d.parts[0].first, d.device_id)
            ended += [d] if isinstance(d, r.Finish | r.Fail) else []
    assert told(ended) == ["finish 1"]


def test_tasks_without_a_device_wait_for_one():
    s = OnlineScheduler([device("x", a=4)])
    s.handle(r.DeviceLost(time_s=0, device_id="x"))
    assert told(s.handle(realtime(0, 1, within_ms=50))) == ["reject 1"]
    assert s.handle(realtime(0, 2, within_ms=50, committed=True)) == []
    assert s.handle(realtime(0, 3)) == []
    assert s.handle(offline(0, 4, items=2)) == []
    assert s.wake_s == pytest.approx(50 * MS)
    assert told(s.handle(r.Tick(time_s=51 * MS))) == ["drop 2"]
    joined = r.DeviceJoined(time_s=60 * MS, device=device("x", a=4))
    assert told(s.handle(joined)) == ["1: 3[0:1] on x"]


def test_measured_times_correct_the_estimates_and_an_outlier_does_not():
    s = OnlineScheduler([device("x", a=10)], Rules(learning=0.2))
    at_s = 0.0
    for number in range(60):
        (start,) = s.handle(
            r.TaskArrived(time_s=at_s, task_id=number, operator="a", latency=REALTIME)
        )
        seconds = 30 * MS if number != 59 else 15.0
        at_s += seconds
        s.handle(r.TaskFinished(time_s=at_s, run_id=start.run_id, seconds=seconds))
    (reject,) = s.handle(realtime(at_s / MS, "short", within_ms=28))
    assert type(reject) is r.Reject
    assert type(s.handle(realtime(at_s / MS, "long", within_ms=36))[0]) is r.Start


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (realtime(-1, 1), "time went backwards"),
        (realtime(math.nan, 1), "time went backwards"),
        (realtime(1, 1, "zebra"), "unknown operator 'zebra'"),
        (realtime(1, 0), "is there already"),
        (r.DeviceLost(time_s=1.0, device_id="z"), "no device 'z'"),
        (r.OnlineEvent(time_s=1.0), "no event"),
    ],
)
def test_events_that_make_no_sense_are_named(event, message):
    s = OnlineScheduler([device("x", a=4)])
    s.handle(realtime(0, 0))
    with pytest.raises(InputError, match=message):
        s.handle(event)


def test_what_was_decided_before_a_bad_event_is_not_lost():
    s = OnlineScheduler([device("x", a=4)], Rules(quarantine_s=0.1))
    s.handle(realtime(0, 1))
    s.handle(failed(1, 1))
    with pytest.raises(InputError):
        s.handle(realtime(200, 2, "zebra"))
    assert told(s.handle(r.Tick(time_s=0.201))) == ["readmit x", "2: 1[0:1] on x"]


def test_records_refuse_nonsense():
    with pytest.raises(InputError):
        realtime(0, 1, items=0)
    with pytest.raises(InputError):
        cost(-1)
    with pytest.raises(InputError):
        cost(0)
    with pytest.raises(ConfigError):
        Rules(offline_floor=1.0)
    with pytest.raises(ConfigError, match="deepseek, fifo"):
        policy("magic")


# -- invariants -------------------------------------------------------------------------------


DEVICES = [device("x", a=3, b=9), device("y", slots=2, a=7, b=2), device("z", b=4)]
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["realtime", "offline", "withdraw", "finish", "fail", "blame", "bad",
                         "refuse", "late", "lose", "join", "wait"]),
        st.integers(0, 2**16),
        st.floats(0, 0.02),
    ),
    max_size=60,
)  # fmt: skip


class World:
    """Does what the scheduler says, notes everything, and checks it."""

    def __init__(self, rules):
        self.scheduler = OnlineScheduler(DEVICES, rules)
        self.now_s, self.events, self.decisions = 0.0, [], []
        self.running, self.void = {}, []  # run id -> Start; runs that were given up
        self.tasks, self.done, self.ended = {}, {}, {}
        self.here = {d.id: d for d in DEVICES}

    def tell(self, event):
        self.events.append(event)
        for decision in self.scheduler.handle(event):
            self.decisions.append(decision)
            self.note(decision)
        for d in DEVICES:
            busy = sum(s.device_id == d.id for s in self.running.values())
            assert busy <= d.slots, f"{d.id} runs {busy} at once"

    def note(self, decision):
        match decision:
            case r.Start():
                assert decision.device_id in self.here
                self.running[decision.run_id] = decision
                for part in decision.parts:
                    assert part.task_id not in self.ended
            case r.Finish():
                self.end(decision)
                items = self.tasks[decision.task_id].items
                done = sorted(self.done.get(decision.task_id, ()))
                assert done == list(range(items)), "each item exactly once"
            case r.Drop():
                self.end(decision)
                assert not self.done.get(decision.task_id)
            case r.Reject() | r.Fail():
                self.end(decision)

    def end(self, decision):
        assert decision.task_id not in self.ended, "ended twice"
        self.ended[decision.task_id] = decision

    def finish(self, run_id):
        start = self.running.pop(run_id)
        for part in start.parts:
            if part.task_id not in self.ended:
                items = range(part.first, part.first + part.items)
                self.done.setdefault(part.task_id, []).extend(items)
        self.tell(r.TaskFinished(time_s=self.now_s, run_id=run_id, seconds=0.004))

    def act(self, kind, number, wait_s):
        self.now_s += wait_s
        now_s, live = self.now_s, sorted(self.running)
        if kind in ("realtime", "offline"):
            self.arrive(kind, number)
        elif kind == "withdraw" and self.tasks:
            self.withdraw(number % len(self.tasks))
        elif kind == "finish" and live:
            self.finish(live[number % len(live)])
        elif kind in ("fail", "blame", "bad", "refuse") and live:
            run_id = live[number % len(live)]
            self.void.append(self.running.pop(run_id).run_id)
            self.tell(
                r.TaskFailed(
                    time_s=now_s, run_id=run_id, retryable=kind != "bad",
                    device_fault=kind == "blame", refused=kind == "refuse",
                )
            )  # fmt: skip
        elif kind == "late" and self.void:
            before = len(self.decisions)
            run_id = self.void[number % len(self.void)]
            self.tell(r.TaskFinished(time_s=now_s, run_id=run_id))
            assert all(type(d) in (r.Readmit, r.Start, r.Drop) for d in self.decisions[before:])
        elif kind == "lose" and self.here:
            name = sorted(self.here)[number % len(self.here)]
            del self.here[name]
            gone = [i for i in live if self.running[i].device_id == name]
            self.void += [self.running.pop(i).run_id for i in gone]
            self.tell(r.DeviceLost(time_s=now_s, device_id=name))
        elif kind == "join":
            self.join(DEVICES[number % len(DEVICES)])
        elif kind == "wait":
            self.tell(r.Tick(time_s=now_s))

    def join(self, joining):
        gone = [i for i, s in self.running.items() if s.device_id == joining.id]
        self.void += [self.running.pop(i).run_id for i in gone]
        self.here[joining.id] = joining
        self.tell(r.DeviceJoined(time_s=self.now_s, device=joining))

    def arrive(self, kind, number):
        event = r.TaskArrived(
            time_s=self.now_s,
            task_id=len(self.tasks),
            operator="ab"[number % 2],
            items=1 + number // 2 % 9,
            latency=REALTIME if kind == "realtime" else OFFLINE,
            deadline_s=math.inf if number % 5 == 0 else self.now_s + number % 97 * MS,
            committed=number % 7 == 0,
            divisible=number % 3 != 0,
            caller="xyz"[number % 11 % 3],
        )
        self.tasks[event.task_id] = event
        self.tell(event)

    def withdraw(self, task_id):
        decided = len(self.decisions)
        self.tell(event := r.TaskWithdrawn(time_s=self.now_s, task_id=task_id))
        self.ended.setdefault(task_id, event)
        ends = (r.Finish, r.Fail, r.Drop, r.Reject)
        mine = [d for d in self.decisions[decided:] if isinstance(d, ends)]
        assert all(d.task_id != task_id for d in mine)

    def settle(self):
        """Everybody is there and nothing fails any more: all must end."""
        for d in DEVICES:
            if d.id not in self.here:
                self.join(d)
        for _ in range(10_000):
            if self.running:
                self.now_s += MS
                self.finish(min(self.running))
            elif self.scheduler.wake_s < math.inf:
                self.now_s = max(self.now_s, self.scheduler.wake_s)
                self.tell(r.Tick(time_s=self.now_s))
            else:
                return


@settings(max_examples=300)
@given(ACTIONS, st.sampled_from(sorted(POLICIES)))
def test_every_task_ends_exactly_once_whatever_happens(actions, name):
    world = World(POLICIES[name])
    for action in actions:
        world.act(*action)
    world.settle()
    assert set(world.ended) == set(world.tasks)
    assert world.scheduler.live == 0


@settings(max_examples=100)
@given(ACTIONS)
def test_equal_events_give_equal_decisions(actions):
    world = World(Rules())
    for action in actions:
        world.act(*action)
    again = OnlineScheduler(DEVICES, Rules())
    assert [d for event in world.events for d in again.handle(event)] == world.decisions


# -- costs that change ------------------------------------------------------------------------


def learned(*factors, sigma=0.1):
    """The quantile after runs that took so many times what was told."""
    known = Cost(r.RunCost(item_s=1.0, sigma=sigma))
    for factor in factors:
        known.learn(1, factor, 0.05)
    return known.quantile_s(1, 0.0)


@pytest.mark.parametrize("factor", [3.0, 1 / 3, 20.0])
@pytest.mark.parametrize("sigma", [0.0, 0.05, 0.1, 0.2, 0.3])
def test_a_device_that_changes_is_followed_within_eight_runs(sigma, factor):
    """As closely as the mean of eight runs tells, to two of its standard deviations."""
    rng, misses = random.Random(0), []
    for _ in range(200):
        before = [math.exp(rng.gauss(0, sigma)) for _ in range(20)]
        after = [factor * math.exp(rng.gauss(0, sigma)) for _ in range(8)]
        misses.append(abs(math.log(learned(*before, *after, sigma=sigma) / factor)))
    assert sorted(misses)[100] <= math.log(1.12)
    assert sorted(misses)[190] <= max(0.01, 2.6 * sigma / math.sqrt(8))


def test_outliers_hardly_move_a_cost():
    calm = [1.0, 0.95, 1.05] * 5
    assert learned(*calm, 500.0) == pytest.approx(learned(*calm), rel=0.02)
    assert learned(*calm, 500.0, 1.0, 500.0, 1.0, 500.0) == pytest.approx(1.0, rel=0.05)
    assert learned(*calm, 500.0, 1e-3, 500.0, 1e-3) == pytest.approx(1.0, rel=0.05)


def test_what_varies_as_told_does_not_look_like_a_change():
    rng = random.Random(1)
    found = [
        learned(*(math.exp(rng.gauss(0, 0.3)) for _ in range(100)), sigma=0.3) for _ in range(50)
    ]
    assert min(found) > 0.85 and max(found) < 1.18
