"""The main job: pictures in, features on one device, matching on the same or another."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from page_rules import faults

from deepseek_core import Session

EXAMPLE = Path(__file__).parents[2] / "examples" / "visual_search"
sys.path.insert(0, str(EXAMPLE))

from dataset import load_crops, split_by_board  # noqa: E402

BATCH = 16


@pytest.fixture(scope="module")
def crops():
    gallery, queries = split_by_board(load_crops())
    rng = np.random.default_rng(0)
    return (
        gallery.take(np.sort(rng.choice(len(gallery), 2000, replace=False))),
        queries.take(np.sort(rng.choice(len(queries), 240, replace=False))),
    )


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    with Session(threads=1, cache_dir=tmp_path_factory.mktemp("cache")) as session:
        yield session


@pytest.fixture(scope="module")
def bound(session, crops):
    gallery, _ = crops
    graph = session.load(EXAMPLE / "models" / "visual_search_int8.onnx")
    with session.plan(graph.until("embedding"), batch=BATCH) as plan:
        known = np.concatenate([r["embedding"] for r in plan.stream(pictures(gallery))])
    return graph.bind(gallery=known, k=np.array([5]))


def pictures(crops):
    return [{"images": crops.images[i : i + BATCH]} for i in range(0, len(crops), BATCH)]


def opencl(session):
    found = [d.id for d in session.devices if d.id.startswith("opencl:")]
    if not found:
        pytest.skip('no OpenCL device; pip install "deepseek-fpga[pocl]"')
    return found[0]


def test_the_model_is_cut_where_the_matcher_begins(bound):
    assert [stage.kind for stage in bound.stages] == ["convolution", "matching"]
    assert [spec.name for spec in bound.inputs] == ["images"]
    assert bound.stages[1].operations[0].qualified_name == "ai.deepseek::MatchL2"


def test_every_placement_finds_the_same_neighbors(session, bound, crops):
    other = opencl(session)
    answers = {}
    for device in ("onnx:cpu", other):
        with session.plan(bound, batch=BATCH, pin={"match": device}) as plan:
            results = list(plan.stream(pictures(crops[1])))
        assert {r.ran_on["matching"] for r in results} == {device}
        answers[device] = {
            name: np.concatenate([r[name] for r in results]) for name in ("indices", "distances")
        }
    for name in ("indices", "distances"):
        assert np.array_equal(answers["onnx:cpu"][name], answers[other][name])


def test_neighbors_have_the_class_of_the_query(session, bound, crops):
    gallery, queries = crops
    with session.plan(bound, batch=BATCH) as plan:
        nearest = np.concatenate([r["indices"][:, 0] for r in plan.stream(pictures(queries))])
    assert (gallery.labels[nearest] == queries.labels).mean() > 0.65


def test_after_calibration_every_choice_rests_on_measurements(session, bound, crops):
    rows = session.calibrate(bound, inputs=pictures(crops[1])[0], rounds=3)
    assert {(r.stage, r.device_id) for r in rows} >= {
        ("convolution", "onnx:cpu"),
        ("matching", "onnx:cpu"),
        ("matching", opencl(session)),
    }
    plan = session.plan(bound, batch=BATCH)
    for stage in plan.problem.stages:
        for candidate in stage.allowed():
            assert candidate.estimate.source == "measured"
    compared = session.compare(plan, pictures(crops[1])[:4], rounds=1)
    best = min(compared.rows, key=predicted)
    assert predicted(compared.chosen) <= 1.06 * predicted(best)  # a cut must win 5 %


def predicted(row):
    return row.predicted_s


def test_the_demo_ends_well_and_shows_what_it_promises(tmp_path):
    out = tmp_path / "out"
    run = subprocess.run(
        [sys.executable, EXAMPLE / "demo.py", "--json", "--rounds", "1", "--output", out],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert len([d for d in report["devices"] if d["status"] == "available"]) >= 2
    assert report["fp32"]["top1"] >= 0.80
    assert report["fp32"]["top1"] - report["int8"]["top1"] <= 0.01
    for stage in report["int8"]["stages"]:
        able = [c for c in stage["candidates"] if not c["refusal"]]
        assert all(c["source"] == "measured" and len(c["interval_s"]) == 2 for c in able)
        assert all(c["refusal"] or c["seconds"] > 0 for c in stage["candidates"])
    page = (out / "visual_search.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 24 * 6
    assert "http" not in page.replace("http-equiv", "")
    assert faults(page) == []
    assert json.loads((out / "trace.json").read_text())["traceEvents"]
