"""A newcomer's first minutes: the commands of the README by hand, on files of their own."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from newcomer import ITEMS, Desk, furnish

BATCHES = 3  # of 32, 32 and 6
FIXED = ("--input", "known.npz", "--constant", "gallery", "--constant", "k")
MATCH = ("match.onnx", "--input", "x.npz", *FIXED)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return Desk(furnish(tmp_path_factory.mktemp("desk")), tmp_path_factory.mktemp("cache"))


def arrays(desk, *names):
    found = {}
    for name in names:
        with np.load(desk.folder / name, allow_pickle=False) as archive:
            found |= {key: archive[key] for key in archive.files}
    return found


def reference(desk, model, inputs):
    """What ONNX Runtime itself makes of the model's file."""
    session = onnxruntime.InferenceSession(
        (desk.folder / model).read_bytes(), providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def equal(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name, strict=True)


def opencl(desk):
    found = [d["id"] for d in desk.json("devices")["devices"] if d["id"].startswith("opencl:")]
    if not found:
        pytest.skip('no OpenCL device; pip install "deepseek-fpga[pocl]"')
    return found[0]


def test_a_model_runs_and_the_report_says_what_ran_where(desk):
    process = desk("run", "layer.onnx", "--input", "x.npz")
    assert process.returncode == 0
    first, *rest = process.stdout.splitlines()
    assert first.startswith(f"{ITEMS} items in ") and first.endswith(f" in {BATCHES} batches")
    assert "  gemm ran on onnx:cpu" in rest
    assert "  output y: float32 [70, 8]" in rest
    assert all(
        line.startswith(("running: ", "calibrating: ")) for line in process.stderr.split("\n")[:-1]
    )


def test_the_outputs_are_those_of_onnx_runtime(desk):
    report = desk.json("run", "layer.onnx", "--input", "x.npz", "--output", "y.npz")
    assert report["outputs"] == {"y": {"dtype": "float32", "shape": [ITEMS, 8]}}
    assert (report["items"], report["batches"]) == (ITEMS, BATCHES)
    equal(arrays(desk, "y.npz"), reference(desk, "layer.onnx", arrays(desk, "x.npz")))


@pytest.mark.parametrize("where", ["onnx:cpu", "opencl"])
def test_the_matcher_gives_onnx_runtimes_answer_on_each_device(where, desk):
    device = opencl(desk) if where == "opencl" else where
    pinned = ("--pin", f"matching={device}", "--output", "matches.npz")
    report = desk.json("run", *MATCH, *pinned)
    assert report["ran_on"] == {"gemm": ["onnx:cpu"], "matching": [device]}
    uncut = f"matching runs on {device}, uncut with the rest of the model."
    pinned = f"matching runs on {device}: it is pinned there."
    assert (uncut if device == "onnx:cpu" else pinned) in report["plan"]["why"]
    expected = reference(desk, "match.onnx", arrays(desk, "x.npz", "known.npz"))
    equal(arrays(desk, "matches.npz"), expected)


def test_a_folder_of_pictures_is_an_input(desk):
    from PIL import Image

    report = desk.json("run", "pictures.onnx", "--input", "photos", "--output", "p.npz")
    assert report["items"] == 5
    files = sorted((desk.folder / "photos").iterdir())
    pixels = np.stack([np.asarray(Image.open(file)) for file in files]).transpose(0, 3, 1, 2)
    inputs = {"image": (pixels / 255).astype(np.float32)}
    expected = reference(desk, "pictures.onnx", inputs)["y"]
    np.testing.assert_allclose(arrays(desk, "p.npz")["y"], expected, rtol=1e-4, atol=1e-5)


def test_an_output_may_be_called_file_and_hold_strings(desk):
    desk.json("run", "words.onnx", "--input", "x.npz", "--output", "words.npz")
    expected = reference(desk, "words.onnx", arrays(desk, "x.npz"))["file"]
    assert arrays(desk, "words.npz")["file"].tolist() == expected.tolist()


def test_the_trace_has_every_task_in_a_named_lane(desk):
    report = desk.json("run", *MATCH, "--trace", "trace.json")
    joined = " + ".join(report["ran_on"])  # stages that run as one are one task
    events = json.loads((desk.folder / "trace.json").read_text())["traceEvents"]
    tasks = [event for event in events if event["ph"] == "X"]
    lanes = {e["tid"]: e["args"]["name"] for e in events if e.get("name") == "thread_name"}
    for stage, (device,) in report["ran_on"].items():
        mine = [task for task in tasks if task["name"] in (stage, joined)]
        assert sorted(task["args"]["sequence"] for task in mine) == list(range(BATCHES))
        assert all(lanes[task["tid"]].startswith(f"{device} slot ") for task in mine)
    assert all(task["ts"] >= 0 and task["dur"] > 0 for task in tasks)
    for tid in lanes:
        mine = sorted((t for t in tasks if t["tid"] == tid), key=lambda t: t["ts"])
        ends = [task["ts"] + task["dur"] for task in mine]
        assert all(end <= later["ts"] for end, later in zip(ends, mine[1:], strict=False))


def test_plan_shows_every_device_with_its_cost_or_its_reason(desk):
    plan = desk.json("plan", "match.onnx", "--input", "known.npz")
    assert [stage["name"] for stage in plan["stages"]] == ["gemm", "matching"]
    for stage in plan["stages"]:
        for candidate in stage["candidates"]:
            assert (candidate.get("seconds") is None) == bool(candidate["refusal"])
    text = desk("plan", "match.onnx", "--input", "known.npz", "--verbose").stdout
    assert "stage gemm" in text and "  why: " in text and "\nplan: " in text


def test_realtime_takes_one_item_at_a_time_and_weighs_the_deadline(desk):
    words = ("plan", "layer.onnx", "--latency", "realtime", "--deadline-ms")
    plan = desk.json(*words, "5000")
    assert (plan["latency"], plan["batch"], plan["deadline_s"]) == ("realtime", 1, 5.0)
    assert plan["meets_deadline"] is True
    assert desk(*words, "5000").stdout.count("\ndeadline: 5000 ms is expected to hold\n") == 1
    hopeless = desk("run", "layer.onnx", "--input", "x.npz", *words[2:], "0.000001")
    assert "  deadline: 1e-06 ms is NOT expected to hold\n" in hopeless.stdout
    assert f"{ITEMS} items" in hopeless.stdout


def test_a_limit_to_some_devices_leaves_the_others_out_and_says_so(desk):
    report = desk.json("run", *MATCH, "--device", "cpu")
    assert {tuple(devices) for devices in report["ran_on"].values()} == {("onnx:cpu",)}
    others = [
        c["refusal"] for s in report["plan"]["stages"] for c in s["candidates"]
        if c["device"] != "onnx:cpu"
    ]  # fmt: skip
    assert all("left out by the caller's choice" in refusal for refusal in others)


def test_what_calibrate_measured_the_next_plan_knows(desk, tmp_path):
    fresh = Desk(desk.folder, tmp_path)
    before = candidates(fresh, "layer.onnx")["onnx:cpu"]
    found = fresh.json("calibrate", "layer.onnx", "--input", "x.npz", "--rounds", "7")
    after = candidates(fresh, "layer.onnx")["onnx:cpu"]
    (row,) = [m for m in found["measurements"] if m["device_id"] == "onnx:cpu"]
    assert (row["stage"], row["batch"], row["error"]) == ("gemm", 32, "")
    assert row["seconds"] > 0
    assert (before["source"], after["source"]) == ("prior", "measured")
    head, line = fresh("calibrate", "layer.onnx", "--rounds", "1").stdout.splitlines()
    assert head.split() == ["stage", "device", "batch", "time"]
    assert line.startswith("gemm   onnx:cpu  32     ")


def candidates(desk, model):
    (stage,) = desk.json("plan", model)["stages"]
    return {candidate["device"]: candidate for candidate in stage["candidates"]}


def test_bench_sets_the_chosen_placement_beside_every_other(desk):
    report = desk.json("bench", *MATCH, "--batches", "4", "--rounds", "2")
    placements = [row["placement"] for row in report["rows"]]
    assert placements[0] == report["plan"]["placement"]
    assert report["rows"][0]["label"] == "chosen"
    assert len({json.dumps(p, sort_keys=True) for p in placements}) == len(placements)
    assert all(len(row["rounds"]) == 2 and row["items_per_s"] > 0 for row in report["rows"])
    text = desk("bench", *MATCH, "--batches", "2", "--rounds", "1").stdout
    assert text.count("<- chosen") == 1


@pytest.mark.parametrize("command", ["devices", "list-plugins", "doctor"])
def test_what_is_there_can_be_read_by_a_script(command, desk):
    assert desk.json(command)


def test_a_corrupt_history_is_set_aside_and_told_and_the_run_succeeds(desk, tmp_path):
    fresh = Desk(desk.folder, tmp_path)
    garbage = b"this was a history once " * 100
    (tmp_path / "history.sqlite").write_bytes(garbage)
    process = fresh("run", "layer.onnx", "--input", "x.npz", "--json")
    assert process.returncode == 0
    assert json.loads(process.stdout)["items"] == ITEMS
    (aside,) = tmp_path.glob("history.sqlite.corrupt-*")
    assert aside.read_bytes() == garbage
    assert aside.name in process.stderr and "ds-sdk calibrate" in process.stderr
    again = fresh("run", "layer.onnx", "--input", "x.npz", "--json")
    assert (again.returncode, again.stderr) == (0, "")


def test_two_runs_at_once_share_a_cache_and_an_output_file(desk, tmp_path):
    import sqlite3

    work = tmp_path / "work"
    work.mkdir()
    for name in ("match.onnx", "x.npz", "known.npz"):
        shutil.copy(desk.folder / name, work)
    fresh = Desk(work, tmp_path / "cache")
    words = ("run", *MATCH, "--json", "--output", "out.npz", "--trace", "trace.json")
    both = [fresh.start(*words) for _ in range(2)]
    for process in both:
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        assert json.loads(out)["items"] == ITEMS
    assert fresh.names() == {"match.onnx", "x.npz", "known.npz", "out.npz", "trace.json"}
    equal(
        arrays(fresh, "out.npz"),
        reference(fresh, "match.onnx", arrays(fresh, "x.npz", "known.npz")),
    )
    json.loads((work / "trace.json").read_text())
    with sqlite3.connect(fresh.cache / "history.sqlite") as history:
        assert history.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert not list(fresh.cache.glob("*corrupt*"))
