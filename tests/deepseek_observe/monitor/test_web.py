"""What a monitor answers, to whom, and that it ends."""

import http.client
import json
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, closing
from itertools import islice
from shutil import which

import psutil
import pytest
from monitors import TOKEN, Client, options
from page_rules import faults

from deepseek_core import errors, events
from deepseek_observe.monitor.families import MEMORY, UP, UTILIZATION
from deepseek_observe.monitor.sample import Reading
from deepseek_observe.monitor.serving import bound, running
from deepseek_observe.monitor.sources.host import Host
from deepseek_observe.monitor.sources.simulated import Simulation
from deepseek_observe.monitor.web import hub
from deepseek_observe.monitor.wire.sending import Sender

PATHS = ("/", "/metrics", "/events", "/history")


@pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
def test_without_the_token_nobody_gets_anything(monitor, path):
    for token in (None, "", "wrong", TOKEN + "x", TOKEN[:-1]):
        status, headers, body = monitor.ask(path, token=token)
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert b"deepseek" not in body
    assert monitor.ask(f"{path}?token=wr%C3%B6ng", token=None)[0] == 401
    assert monitor.ask(path, token=None, Authorization=f"Basic {TOKEN}")[0] == 401


def test_the_token_goes_in_the_query_or_the_header(monitor):
    assert monitor.ask("/metrics")[0] == 200
    assert monitor.ask(f"/metrics?token={TOKEN}", token=None)[0] == 200


@pytest.mark.parametrize("path", PATHS)
def test_another_origin_gets_nothing_even_with_the_token(monitor, path):
    ours = f"http://localhost:{monitor.port}"
    for origin in ("http://evil.example", "null", f"{ours}1", f"http://127.0.0.1:{monitor.port}"):
        status, headers, body = monitor.ask(path, Origin=origin)
        assert (status, body) == (403, b"")
        assert "Access-Control-Allow-Origin" not in headers
    for site in ("cross-site", "same-site"):
        assert monitor.ask(path, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors")[0] == 403
    if path != "/events":
        assert monitor.ask(path, Origin=ours)[0] == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421), ("localhost.evil.example", 421), ("", 421), ("[::1", 421),
        ("127.0.0.1:1", 200), ("[::1]:9", 200), ("LOCALHOST", 200), ("10.1.2.3", 200),
    ],
)  # fmt: skip
def test_a_name_that_was_bound_to_us_by_others_is_refused(monitor, host, status):
    assert monitor.ask("/metrics", Host=host)[0] == status


def test_a_name_behind_a_proxy_can_be_given():
    with running(options(names=("gpu.example.org",)), [Simulation(1)]) as port:
        assert Client(port).ask("/", Host="gpu.example.org")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"])
def test_nothing_can_be_changed(monitor, method):
    for path in PATHS:
        assert monitor.ask(path, method=method)[0] == 405


def test_head_ends_and_has_no_body(monitor):
    for path in PATHS:
        status, _, body = monitor.ask(path, method="HEAD")
        assert (status, body) == (200, b"")


def test_the_page_is_small_keeps_the_rules_and_asks_nobody(monitor):
    status, headers, body = monitor.ask("/")
    text = body.decode()
    assert status == 200
    assert len(body) <= 80_000
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "The MIT License" in text
    allowed = "<script> loads something, or is a script"  # its hash is in the policy
    assert [fault for fault in faults(text) if fault != allowed] == []


def test_the_stream_begins_with_a_snapshot_and_goes_on_with_rows(monitor):
    with monitor.stream() as messages:
        kind, first = next(messages)
        assert kind == "snapshot"
        kind, row = next(messages)
        assert kind == "row"
        later = next(messages)[1]
    assert {"sim:0", "sim:1"} <= set(row["p"][UTILIZATION])  # the third may be lost by now
    assert later["now"]["t"] > row["now"]["t"]
    assert [one[0] for one in row["now"]["devices"]] == ["sim:0", "sim:1", "sim:2"]
    assert row["now"]["notes"] == {"simulation": "3 devices of a simulation"}
    assert first["past"]["p"].keys() <= row["p"].keys() | {UP}


def test_a_stream_of_one_device_has_its_charts_alone(monitor):
    with monitor.stream("/events?device=sim:1") as messages:
        next(messages)
        assert set(next(messages)[1]["p"][UTILIZATION]) == {"sim:1"}
    assert monitor.ask("/events?device=%3Cb%3E")[0] == 404


def test_a_reader_that_sleeps_misses_rows_and_costs_nobody(monitor):
    asleep = socket.create_connection(("127.0.0.1", monitor.port))
    asleep.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    asleep.sendall(f"GET /events?token={TOKEN} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    with monitor.stream() as messages:
        times = [message["now"]["t"] for _, message in zip_rows(messages, 8)]
    assert times == sorted(set(times))
    asleep.close()


def zip_rows(messages, count):
    next(messages)
    return [next(messages) for _ in range(count)]


def test_more_readers_than_there_may_be_are_told_to_wait(monitor, monkeypatch):
    monkeypatch.setattr(hub, "MOST_READERS", 2)
    with monitor.stream() as one, monitor.stream() as two:
        next(one)
        next(two)
        status, headers, _ = monitor.ask("/events")
        assert (status, headers["Retry-After"]) == (503, "10")
        assert monitor.ask("/metrics")[0] == 200


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "x", "1e9", ""])
def test_the_past_is_asked_in_bounds(monitor, seconds):
    assert monitor.ask(f"/history?seconds={seconds}")[0] == 400


def test_the_page_shows_the_past_after_a_restart(tmp_path):
    kept = options(history=tmp_path / "past")
    with running(kept, [Simulation(2)]) as port, Client(port).stream() as messages:
        zip_rows(messages, 3)
    with running(kept, [Simulation(2)]) as port:
        past = json.loads(Client(port).ask("/history?seconds=60")[2])
        with Client(port).stream() as messages:
            first = next(messages)[1]["past"]
    assert len(past["p"][UTILIZATION]["sim:0"]) >= 1
    assert len(first["t"]) >= 1
    assert "sim:0" in first["p"][UTILIZATION]


def test_events_are_shown_as_they_come(monitor):
    event = events.DeviceQuarantined(time_s=1.0, device_id="cuda:1", reason="<b>\n\x1b[1m gone")
    Sender().send(event)
    with monitor.stream() as messages:
        next(messages)
        now = until(messages, lambda now: any(one[0] == "quarantined" for one in now["alerts"]))
    (alert,) = [one for one in now["alerts"] if one[0] == "quarantined"]
    assert alert[1] == "cuda:1"
    assert alert[2].isprintable()
    assert now["events"][0]["type"] == "DeviceQuarantined"
    text = monitor.ask("/metrics")[2].decode()
    assert 'deepseek_alert_active{alert="quarantined",subject="cuda:1"} 1.0' in text


class Breaking:
    """A source that answers, then raises until it is told to hang."""

    name = "breaking"

    def __init__(self):
        self.asked, self.hangs = 0, threading.Event()
        self.ends = threading.Event()

    def read(self):
        self.asked += 1
        if self.hangs.is_set():
            self.ends.wait(60)
        if self.asked > 1:
            raise OSError("the sensor is\ngone")
        return Reading(values={(UP, ("x:0", "gpu")): 1.0, (UTILIZATION, ("x:0", "gpu")): 0.5})


def test_a_source_that_breaks_or_hangs_greys_its_devices_and_the_rest_goes_on():
    source = Breaking()
    with running(options(), [source, Simulation(2)]) as port, Client(port).stream() as messages:
        now = until(messages, lambda now: "gone" in now["notes"].get("breaking", ""))
        assert now["notes"]["breaking"] == "breaking: OSError: the sensor is?gone"
        assert {one[0]: one[2] for one in now["devices"]}["x:0"] == 0.0
        source.hangs.set()
        now = until(messages, lambda now: "does not answer" in now["notes"].get("breaking", ""))
        states = {one[0]: one[2] for one in now["devices"]}
        assert (states["x:0"], states["sim:0"]) == (0.0, 1.0)
        assert {"source", "lost"} <= {alert[0] for alert in now["alerts"]}
        source.ends.set()


def until(messages, holds):
    """The first state of which that is true, of some hundred; one comes each tenth of a second."""
    told = [message["now"] for _, message in islice(messages, 1)]
    for _ in range(300):
        if told[-1] is not None and holds(told[-1]):
            return told[-1]
        told.append(next(messages)[1]["now"])
    raise AssertionError(f"not in {len(told)} states, of which the last is {told[-1]}")


def test_an_open_stream_does_not_keep_a_monitor_from_ending():
    with ExitStack() as stack:
        port = stack.enter_context(running(options(), [Simulation(1)]))
        connection = http.client.HTTPConnection("localhost", port, timeout=20)
        connection.request("GET", f"/events?token={TOKEN}")
        with closing(connection), connection.getresponse() as answer:
            assert answer.readline().startswith(b"event: snapshot")
            began_s = time.monotonic()
            stack.close()
            assert time.monotonic() - began_s < 10  # its own limits are two seconds
            assert answer.read().endswith(b"\n\n")


def test_a_port_that_is_taken_is_told(monitor):
    with pytest.raises(errors.ConfigError, match="--port 0"):
        bound("127.0.0.1", monitor.port)
    with pytest.raises(errors.ConfigError, match=r"--host 127\.0\.0\.1"):
        bound("no.such.host.invalid", 0)
    with pytest.raises(errors.ConfigError, match=r"listen on 203\.0\.113\.1"):
        bound("203.0.113.1", 0)


@pytest.mark.skipif(which("promtool") is None, reason="no promtool: apt install prometheus")
def test_promtool_has_nothing_to_say(monitor):
    Sender().send(
        events.StageMeasured(time_s=1.0, stage='a"\\\n', device_id="d", batch=2, seconds=3)
    )
    while b"StageMeasured" not in (text := monitor.ask("/metrics")[2]):
        pass
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


class Sandbox:
    """A psutil of a sandbox that shows no disks, and says so by an error."""

    @staticmethod
    def disk_io_counters(**_):
        raise NotImplementedError("/proc/diskstats is not there")

    def __getattr__(self, name):
        return getattr(psutil, name)


def test_a_sandbox_without_disks_has_the_rest():
    host = Host()
    host._psutil = Sandbox()
    found = {name for name, _ in host.read().values}
    assert UP in found
    assert MEMORY in found
    assert not any("disk" in name for name in found)


def test_a_scraper_may_ask_for_openmetrics(monitor):
    _, headers, text = monitor.ask("/metrics", Accept="application/openmetrics-text;version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
