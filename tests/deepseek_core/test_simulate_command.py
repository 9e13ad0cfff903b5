"""`ds-sdk simulate` reads traces, compares policies, and names what is wrong with a trace."""

import json
import re
from pathlib import Path

import pytest

from deepseek_core.cli.main import main
from deepseek_core.runtime.traces import read_trace

DOCS = Path(__file__).parents[2] / "sdk_docs" / "reference" / "trace_format.md"
TRACE = {
    "schema": 1,
    "devices": [{"id": "cpu"}, {"id": "fpga", "slots": 2}],
    "operators": {
        "embed": {"cpu": {"fixed_s": 0.001, "item_s": 0.002, "sigma": 0.3}},
        "match": {"cpu": {"item_s": 0.004}, "fpga": {"item_s": 0.001}},
    },
    "arrivals": [
        {"at_s": 0.0, "operator": "match", "items": 4, "latency": "realtime", "deadline_s": 0.04},
        {"at_s": 0.1, "operator": "embed", "items": 50},
        {"at_s": 0.1, "operator": "match", "latency": "realtime", "deadline_s": 1e-6},
    ],
}


def write(tmp_path, trace, name="trace.json"):
    path = tmp_path / name
    path.write_text(trace if isinstance(trace, str) else json.dumps(trace))
    return str(path)


def changed(**fields):
    return {**TRACE, **fields}


def with_arrival(**fields):
    return changed(arrivals=[TRACE["arrivals"][0], {**TRACE["arrivals"][1], **fields}])


def test_a_trace_is_replayed_and_counted(tmp_path, capsys):
    assert main(["simulate", write(tmp_path, TRACE), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    ours = report["policies"]["deepseek"]
    assert (ours["realtime"]["on_time"], ours["realtime"]["refused"]) == (1, 1)
    assert ours["offline"]["items"] == 50
    assert ours["unfinished"] == 0
    assert ours["realtime"]["p99_s"] == pytest.approx(0.004)


def test_all_policies_stand_side_by_side(tmp_path, capsys):
    assert main(["simulate", write(tmp_path, TRACE), "--policy", "all"]) == 0
    out = capsys.readouterr().out
    for name in ("deepseek", "fifo", "priority", "edf", "on time", "refused", "p99"):
        assert name in out


def test_the_same_seed_prints_the_same(tmp_path, capsys):
    path = write(tmp_path, changed(seconds=2.0, poisson=[{"operator": "match", "rate_per_s": 50}]))
    outs = []
    for seed in ("1", "1", "2"):
        assert main(["simulate", path, "--seed", seed, "--json"]) == 0
        outs.append(json.loads(capsys.readouterr().out)["policies"])
    assert outs[0] == outs[1] != outs[2]


def test_long_traces_are_read_line_by_line(tmp_path, capsys):
    header = {name: value for name, value in TRACE.items() if name != "arrivals"}
    lines = [json.dumps(row) for row in (header, *TRACE["arrivals"])]
    path = write(tmp_path, "\n".join(lines) + "\n\n", "trace.jsonl")
    assert main(["simulate", path, "--json"]) == 0
    long = json.loads(capsys.readouterr().out)["policies"]
    main(["simulate", write(tmp_path, TRACE), "--json"])
    assert long == json.loads(capsys.readouterr().out)["policies"]


def test_devices_go_and_come(tmp_path, capsys):
    events = [
        {"at_s": 0.05, "event": "device_lost", "device": "cpu"},
        {"at_s": 5.0, "event": "device_joined", "device": "cpu"},
    ]
    assert main(["simulate", write(tmp_path, changed(events=events)), "--json"]) == 0
    ours = json.loads(capsys.readouterr().out)["policies"]["deepseek"]
    assert ours["offline"]["p50_s"] > 4.9
    assert ours["unfinished"] == 0


def test_a_device_may_be_slower_than_its_costs_say(tmp_path, capsys):
    busy = []
    for slower in (1, 4):
        devices = [{"id": "cpu", "slower": slower}, {"id": "fpga", "slots": 2}]
        path = write(tmp_path, changed(devices=devices, arrivals=TRACE["arrivals"][1:2]))
        assert main(["simulate", path, "--sigma", "0", "--json"]) == 0
        ours = json.loads(capsys.readouterr().out)["policies"]["deepseek"]
        assert ours["offline"]["items"] == 50
        busy.append(ours["offline"]["p50_s"])
    assert 3 * busy[0] < busy[1] < 6 * busy[0]


def test_callers_of_a_trace_share_the_devices(tmp_path, capsys):
    many = [{"at_s": 0.0, "operator": "embed", "items": 100, "caller": "many"}] * 20
    one = {"at_s": 0.0, "operator": "embed", "caller": "one"}
    waited = []
    for caller in ("one", "many"):
        path = write(tmp_path, changed(arrivals=[*many, {**one, "caller": caller}]))
        assert main(["simulate", path, "--json"]) == 0
        ours = json.loads(capsys.readouterr().out)["policies"]["deepseek"]["offline"]
        waited.append(ours["p50_s"])
        assert ours["on_time"] == 21
    trace = read_trace(path)
    assert {event.caller for event in trace.replay()} == {"many"}


def test_work_without_a_device_is_reported(tmp_path, capsys):
    events = [{"at_s": 0.05, "event": "device_lost", "device": "cpu"}]
    assert main(["simulate", write(tmp_path, changed(events=events))]) == 0
    assert "1 tasks had no device left" in capsys.readouterr().out


def test_the_page_is_whole_and_fetches_nothing(tmp_path, capsys):
    page = tmp_path / "page.html"
    arguments = [write(tmp_path, TRACE), "--policy", "all", "--html", str(page)]
    assert main(["simulate", *arguments]) == 0
    text = page.read_text()
    assert text.endswith("</html>\n")
    # For each of four policies the backlog, and the latencies of each class with two tasks.
    assert text.count("<svg") == 4 + len(re.findall("latency of realtime tasks</title>", text)) > 4
    assert not re.search(r"https?://", text)
    assert list(tmp_path.glob("*.part")) == []


def test_the_example_of_the_reference_page_works(tmp_path, capsys):
    example = re.search(r"```json\n(.*?)```", DOCS.read_text(), re.DOTALL)[1]
    assert main(["simulate", write(tmp_path, example), "--json"]) == 0
    ours = json.loads(capsys.readouterr().out)["policies"]["deepseek"]
    assert ours["realtime"]["arrived"] > 300
    assert ours["unfinished"] == 0


BAD = {
    "time goes backwards": (
        changed(arrivals=TRACE["arrivals"][::-1]),
        r"arrivals\[2\]: time goes backwards, 0 s after 0.1 s",
    ),
    "unknown operator": (with_arrival(operator="sing"), r"arrivals\[1\]: unknown operator 'sing'"),
    "negative size": (with_arrival(items=-3), r"arrivals\[1\]: items must be .*, got -3"),
    "no size": (with_arrival(items=0), r"items must be .*, got 0"),
    "half an item": (with_arrival(items=1.5), r"items must be .*, got 1.5"),
    "true items": (with_arrival(items=True), r"items must be .*, got True"),
    "negative time": (with_arrival(at_s=-1), r"at_s must be .*, got -1"),
    "NaN time": (json.dumps(with_arrival(at_s=0)).replace('"at_s": 0,', '"at_s": NaN,'), "nan"),
    "no deadline at all": (with_arrival(deadline_s=0), r"deadline_s must be .*, got 0"),
    "another class": (with_arrival(latency="soon"), r"latency must be .*, got 'soon'"),
    "unknown field": (with_arrival(prio=1), "unknown field 'prio'"),
    "no operator": (changed(arrivals=[{"at_s": 0}]), "has no operator"),
    "no list": (changed(arrivals={}), "arrivals must be a list, got a dict"),
    "no object": (changed(arrivals=[7]), "must be an object, got a int"),
    "no schema": ({}, r"schema must be .*, got None"),
    "no devices": (changed(devices=[], operators={}), "needs devices and operators"),
    "two of a name": (changed(devices=[{"id": "cpu"}] * 2), "two devices are called 'cpu'"),
    "a cost on nobody": (changed(operators={"a": {"gpu": {"item_s": 1}}}), "unknown device 'gpu'"),
    "no slowness": (
        changed(devices=[{"id": "cpu", "slower": 0}, {"id": "fpga"}]),
        r"slower of cpu must be .*, got 0"
    ),
    "a free run": (changed(operators={"a": {"cpu": {}}}), "costs nothing"),
    "a negative cost": (
        changed(operators={"a": {"cpu": {"item_s": -1}}}), r"item_s must be .*, got -1"
    ),
    "poisson without end": (
        changed(poisson=[{"operator": "match", "rate_per_s": 1}]),
        r"seconds must be .*, got 0"
    ),
    "an unknown event": (
        changed(events=[{"at_s": 0, "event": "fire", "device": "cpu"}]),
        r"event must be .*, got 'fire'"
    ),
    "no JSON": ("{", "is not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_bad_trace_is_named(what, tmp_path, capsys):
    trace, message = BAD[what]
    assert main(["simulate", write(tmp_path, trace)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(message, captured.err), captured.err
    assert "Traceback" not in captured.err


def test_a_bad_line_of_a_long_trace_is_named_by_number(tmp_path, capsys):
    header = json.dumps({name: value for name, value in TRACE.items() if name != "arrivals"})
    path = write(tmp_path, f'{header}\n{{"at_s": 1, "operator": "match"}}\n{{"at_s"\n', "t.jsonl")
    assert main(["simulate", path]) == 2
    assert "t.jsonl, line 3 is not JSON" in capsys.readouterr().err


def test_a_missing_trace_is_named(tmp_path, capsys):
    assert main(["simulate", str(tmp_path / "none.json")]) == 2
    assert "can't be read" in capsys.readouterr().err


def test_a_replay_streams(tmp_path):
    """Nothing but the header is read before the replay begins."""
    header = json.dumps({name: value for name, value in TRACE.items() if name != "arrivals"})
    rows = "".join(f'{{"at_s": {i}, "operator": "match"}}\n' for i in range(1000))
    trace = read_trace(write(tmp_path, f"{header}\n{rows}garbage", "t.jsonl"))
    events = trace.replay()
    assert [next(events).time_s for _ in range(3)] == [0.0, 1.0, 2.0]
    events.close()
