"""Events of the engines, from this process and others, as values and alerts."""

import json
import os
import socket
import subprocess
import sys
import time

import attrs
import pytest

from deepseek_core import errors, events
from deepseek_observe.hooks import ds_on_event
from deepseek_observe.monitor import engines as module
from deepseek_observe.monitor.engines import FORGOTTEN_S, MOST_SERIES, Engines
from deepseek_observe.monitor.wire import sending
from deepseek_observe.monitor.wire.receiving import Receiver, told
from deepseek_observe.monitor.wire.sending import Sender, encoded


@attrs.frozen(kw_only=True)
class LidOpened(events.Event):
    """What a plugin of somebody else may tell."""

    lid: str
    degrees: float
    parts: object = None


def event(kind, **fields):
    return told(json.dumps({"type": kind, "pid": 7, "time_s": 5.0, "fields": fields}).encode())


def values_of(*found):
    engines = Engines()
    for one in found:
        engines.take(one)
    return {s: v for s, v in engines.values().items() if s[0] != "deepseek_events_total"}


def test_a_session_tells_queues_misses_and_loads():
    state = event(
        "SessionState", session="s1", queued={"realtime": 3}, missed={"realtime": 2},
        done={"offline": 9}, devices=[{"device_id": "cuda:0", "utilization": 0.4}],
    )  # fmt: skip
    assert values_of(state) == {
        ("deepseek_queue_length", ("s1 of 7: realtime",)): 3,
        ("deepseek_deadline_misses_total", ("s1 of 7: realtime",)): 2,
        ("deepseek_requests_done_total", ("s1 of 7: offline",)): 9,
        ("deepseek_session_device_utilization_ratio", ("s1 of 7", "cuda:0")): 0.4,
    }


def store(hot, hits, misses, **more):
    reads = {"hot_reads": hot, "cache_hits": hits, "cache_misses": misses}
    return event("StoreState", store="s", degraded=2, **reads, **more)


def test_a_store_tells_who_answered_its_reads_since_the_state_before():
    tiers = [
        {"tier": "warm", "used_bytes": 1, "capacity_bytes": 4},
        {"tier": "cold", "used_bytes": 1, "capacity_bytes": None}, "no tier",
    ]  # fmt: skip
    found = values_of(store(90, 10, 0, tiers=tiers), store(95, 13, 2))
    assert found == {
        ("deepseek_tier_hit_ratio", ("hot of s",)): 0.5,
        ("deepseek_tier_hit_ratio", ("cache of s",)): 0.3,
        ("deepseek_tier_hit_ratio", ("warm or cold of s",)): 0.2,
        ("deepseek_tier_used_ratio", ("warm of s",)): 0.25,
        ("deepseek_store_degraded_reads_total", ("s",)): 2,
    }
    opened_again = values_of(store(90, 10, 0), store(1, 0, 3))
    assert opened_again["deepseek_tier_hit_ratio", ("hot of s",)] == 0.25


def test_a_training_tells_step_loss_and_imbalance_and_a_loss_that_is_none():
    engines = Engines()
    engines.take(event("TrainingState", run="r", step=4, loss=1.5, imbalance=0.1, samples_per_s=9))
    assert engines.values()["deepseek_training_loss", ("r",)] == 1.5
    assert engines.alerts() == ()
    data = encoded(LidOpened(time_s=1.0, lid="x", degrees=float("nan")))
    assert told(data).fields["degrees"] == "NaN"
    engines.take(event("TrainingState", run="r", step=5, loss="NaN", imbalance=None))
    assert [(one.name, one.subject) for one in engines.alerts()] == [("loss", "r")]


@pytest.mark.parametrize(
    ("begins", "ends", "name"),
    [
        (
            ("DamageFound", {"store": "s", "reason": "bits flipped"}),
            ("DamageRepaired", {"store": "s", "left": 0}), "damage",
        ),
        (
            ("CheckpointFailed", {"url": "u", "reason": "no space"}),
            ("CheckpointCommitted", {"url": "u"}), "checkpoint",
        ),
        (
            ("TrainingEnded", {"run": "r", "error": "rank 2 is gone"}),
            ("TrainingBegan", {"run": "r"}), "training",
        ),
    ],
)  # fmt: skip
def test_an_alert_ends_by_the_event_that_mends_it(begins, ends, name):
    engines = Engines()
    engines.take(event(begins[0], **begins[1]))
    (alert,) = engines.alerts()
    assert alert.name == name
    assert alert.since_s == 5.0
    engines.take(event(ends[0], **ends[1]))
    assert engines.alerts() == ()


def test_a_checkpoint_ends_the_alert_of_another_step_at_the_same_place():
    engines = Engines()
    engines.take(event("CheckpointFailed", url="s3://b/run/0001-step-5", reason="no space"))
    assert [one.subject for one in engines.alerts()] == ["s3://b/run"]
    saved = event("CheckpointCommitted", url="s3://b/run/0002-step-9", step=9, nbytes=7, seconds=2)
    engines.take(saved)
    assert engines.alerts() == ()
    assert engines.values()["deepseek_checkpoint_step", ("s3://b/run",)] == 9


def test_a_training_that_is_over_has_no_slow_rank():
    engines = Engines()
    engines.take(event("TrainingState", run="r", step=4, loss=1.5, imbalance=0.4, samples_per_s=9))
    engines.take(event("TrainingEnded", run="r", step=5, error=None))
    found = engines.values()
    assert ("deepseek_training_imbalance_ratio", ("r",)) not in found
    assert found["deepseek_training_step", ("r",)] == 5


def test_what_ended_well_is_no_alert():
    engines = Engines()
    engines.take(event("TrainingEnded", run="r", step=3, error=None))
    engines.take(event("MembersChanged", run="r", lost=0, joined=1, ranks=5))
    assert engines.alerts() == ()
    engines.take(event("MembersChanged", run="r", lost=1, joined=0, ranks=4))
    (alert,) = engines.alerts()
    assert (alert.name, alert.text) == ("members", "1 lost; 4 ranks go on")
    assert engines.values()["deepseek_training_ranks", ("r",)] == 4


def test_an_unknown_type_gives_each_number_by_its_name():
    found = values_of(event("LidOpened", lid="back", degrees=30, is_hot=True, parts=[1, 2]))
    assert found == {("deepseek_event_value", ("LidOpened", "degrees", "lid=back")): 30.0}


def test_damage_that_is_repaired_in_part_stays_an_alert():
    engines = Engines()
    engines.take(event("DamageFound", store="s", times=3, reason="bits flipped", lost=False))
    engines.take(event("DamageRepaired", store="s", repaired=1, left=2))
    assert [one.name for one in engines.alerts()] == ["damage"]


def test_what_is_told_no_more_is_forgotten_and_alerts_end():
    now = [0.0]
    engines = Engines(clock=lambda: now[0])
    engines.take(event("TrainingState", run="r", step=4, loss=1.5))
    engines.take(event("TierFull", store="s", url="u", reason="full"))
    now[0] = FORGOTTEN_S + 1
    assert {s[0] for s in engines.values()} == {"deepseek_events_total"}
    assert engines.alerts() == ()


def test_however_many_names_come_the_series_are_bounded():
    engines = Engines()
    for number in range(3 * MOST_SERIES):
        engines.take(event(f"Type{number}", name=f"n{number}", value=number))
        engines.take(event("DeviceQuarantined", device_id=f"d{number}", reason="x"))
    found = engines.values()
    assert len(found) <= MOST_SERIES + module._MOST_TYPES + 3
    assert found["deepseek_events_refused_total", ("too many series",)] > 0
    assert found["deepseek_events_total", ("other",)] > 0
    assert len(engines.alerts()) <= 100
    engines.take(event("TrainingState", run="r", step=4, loss=1.5))
    assert engines.values()["deepseek_training_step", ("r",)] == 4


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff\xfe", b"[]", b"{}", b'{"type": "A"}', b'{"type": 3, "pid": 1, "time_s": 1}',
        b'{"type": "A b", "pid": 1, "time_s": 1}', b'{"type": "<b>", "pid": 1, "time_s": 1}',
        b'{"type": "A", "pid": -1, "time_s": 1}', b'{"type": "A", "pid": 1, "time_s": Infinity}',
        b'{"type": "A", "pid": 1, "time_s": 1, "fields": 3}', b"[" * 50_000,
        b'{"type": "' + b"A" * 200 + b'", "pid": 1, "time_s": 1}', b"NaN" + b"[" * 50_000,
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused(data):
    assert told(data) is None


def test_hostile_names_are_plain_text():
    found = values_of(
        event("LidOpened", **{"lid": 'a"\n\x1b[31m<b>' + "y" * 500, "x y": 1, "degrees": 2})
    )
    ((_, labels),) = found
    assert labels[1] == "degrees"
    assert labels[2].isprintable()
    assert len(labels[2]) <= 120
    huge = values_of(event("TrainingState", run=["no", "name"], step=10**400, loss=[]))
    assert huge == {}


def test_events_of_another_process_come_through_the_hook(runtime):
    taken = []
    receiver = Receiver(taken.append)
    code = (
        "from deepseek_core import events\nfrom deepseek_observe.hooks import ds_on_event\n"
        "ds_on_event(events.DeviceQuarantined(time_s=1.0, device_id='cuda:3', reason='gone'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    limit_s = time.monotonic() + 10
    while not taken and time.monotonic() < limit_s:
        time.sleep(0.01)
    receiver.close()
    (one,) = taken
    assert one.type == "DeviceQuarantined"
    assert one.pid != os.getpid()
    assert one.fields == {"device_id": "cuda:3", "reason": "gone"}
    assert list(runtime.iterdir()) == []


def test_a_sender_finds_a_monitor_that_came_later_and_forgets_one_that_went(runtime, monkeypatch):
    monkeypatch.setattr(sending, "_EVERY_S", 0.0)
    sender = Sender()
    one = LidOpened(time_s=1.0, lid="a", degrees=1.0)
    sender.send(one)
    taken = []
    receiver = Receiver(taken.append)
    sender.send(one)
    limit_s = time.monotonic() + 10
    while not taken and time.monotonic() < limit_s:
        time.sleep(0.01)
    assert taken[0].fields["lid"] == "a"
    receiver.close()
    sender.send(one)
    assert sender._listening == []


def test_a_monitor_that_was_killed_harms_nobody_and_is_swept_away(runtime):
    runtime.mkdir(mode=0o700)
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    dead.bind(str(runtime / "1.monitor"))
    dead.close()
    sender = Sender()
    sender.send(LidOpened(time_s=1.0, lid="a", degrees=1.0))
    assert sender._listening == []
    receiver = Receiver(lambda _: None)
    (left,) = runtime.iterdir()
    assert left.name.startswith(f"{os.getpid()}-")
    receiver.close()


def test_nobody_waits_for_a_monitor_that_reads_nothing(runtime):
    runtime.mkdir(mode=0o700)
    deaf = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    deaf.bind(str(runtime / "1.monitor"))
    sender = Sender()
    for _ in range(2000):
        sender.send(LidOpened(time_s=1.0, lid="a" * 2000, degrees=1.0))
    assert sender._listening  # full, and still there
    deaf.close()


def test_of_an_event_that_is_too_large_the_type_is_told(runtime):
    data = encoded(LidOpened(time_s=1.0, lid="a" * 100_000, degrees=1.0))
    assert told(data).type == "LidOpened"
    assert told(data).fields == {}
    odd = encoded(LidOpened(time_s=1.0, lid="a", degrees=1.0, parts={(1, 2): object(), "b": {3}}))
    assert told(odd).fields["degrees"] == 1.0


def test_a_folder_that_others_may_open_is_not_used(runtime):
    runtime.mkdir(mode=0o755)
    with pytest.raises(errors.ConfigError, match="yours alone"):
        Receiver(lambda _: None)
    (runtime / "1.monitor").touch()
    sender = Sender()
    sender.send(LidOpened(time_s=1.0, lid="a", degrees=1.0))
    assert sender._listening == []


def test_without_a_monitor_the_hook_loads_next_to_nothing():
    code = (
        "import sys\nfrom deepseek_core import events\nimport deepseek_observe.hooks as h\n"
        "assert 'deepseek_observe.monitor' not in sys.modules\n"
        "h.ds_on_event(events.PlanMade(time_s=1.0, graph='g', placement={}))\n"
        "heavy = {'psutil', 'pynvml', 'starlette', 'uvicorn', 'numpy', 'msgspec', 'json'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert ds_on_event(events.PlanMade(time_s=1.0, graph="g", placement={})) is None
