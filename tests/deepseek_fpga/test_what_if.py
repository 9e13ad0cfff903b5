"""A board that is not there: planned for by a model, shown as one everywhere, never run."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from deepseek_core import LoadOptions, OpenOptions, Session, Task, errors
from deepseek_fpga import conformance
from deepseek_fpga.proof.board import Board
from deepseek_fpga.proof.throughput import seconds
from deepseek_fpga.settings import Settings
from deepseek_fpga.what_if import DEVICE_ID, open_what_if, probe

onnx = pytest.importorskip("onnx")
BOARD = "pes=48,clock_mhz=300"
SETTINGS = {"fpga_opencl": {"what_if": BOARD}}


def model(folder, k=2, width=32):
    """A file with one matching; gallery and k are inputs."""
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    names = ["query", "gallery", "k"], ["indices", "distances"]
    graph = helper.make_graph(
        [helper.make_node("MatchHamming", *names, domain="ai.deepseek")],
        "hamming",
        [
            value("query", TensorProto.UINT8, ["batch", width]),
            value("gallery", TensorProto.UINT8, ["rows", width]),
            value("k", TensorProto.INT64, [1]),
        ],
        [
            value("indices", TensorProto.INT64, ["batch", k]),
            value("distances", TensorProto.INT32, ["batch", k]),
        ],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.deepseek", 1)]
    path = folder / "hamming.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def constants(k=2, width=32, rows=16384):
    gallery = np.random.default_rng(0).integers(0, 256, (rows, width), np.uint8)
    return {"gallery": gallery, "k": np.array([k])}


def unbound():
    """A stage of matching whose gallery and k are still to be given."""
    return conformance._stage("MatchHamming", "uint8", "int32")


def opened(text=BOARD, folder=None):
    settings = {"what_if": text}
    return open_what_if(DEVICE_ID, OpenOptions(threads=1, cache_dir=folder, settings=settings))


@pytest.fixture
def session(tmp_path):
    with Session(cache_dir=tmp_path / "cache", settings=SETTINGS) as session:
        yield session


def test_its_row_says_model_and_the_assumed_clock():
    (row,) = probe({"what_if": BOARD})
    assert row.evidence == "model"
    assert row.id.startswith("model:")
    assert "model, clock of 300 MHz assumed" in row.name
    assert row.status == "available"


def test_there_is_none_unless_it_is_set(tmp_path):
    with Session(cache_dir=tmp_path / "cache") as session:
        assert DEVICE_ID not in {row.id for row in session.devices}


def test_another_board_has_another_fingerprint():
    (one,), (other,) = probe({"what_if": "pes=48"}), probe({"what_if": "pes=49"})
    assert one.fingerprint != other.fingerprint


def test_the_scheduler_plans_for_it_and_every_output_says_model(session, tmp_path):
    graph = session.load(model(tmp_path), constants())
    with session.plan(graph, batch=1024) as plan:
        told, facts = plan.explain(), plan.to_json()
    line = next(line for line in told.splitlines() if DEVICE_ID in line and "90 %" in line)
    assert "evidence: model" in line
    (candidate,) = [c for c in facts["stages"][0]["candidates"] if c["device"] == DEVICE_ID]
    assert candidate["evidence"] == "model"
    assert candidate["source"] == "model"
    assert facts["placement"] == {"matching": DEVICE_ID}
    for text in (told, facts["summary"], json.dumps(facts["why"])):
        assert "model" in text
    assert f"evidence of {DEVICE_ID}: model; it was not measured on a device" in facts["summary"]


def test_it_refuses_to_run_with_a_named_error_and_a_remedy(session, tmp_path):
    graph = session.load(model(tmp_path), constants())
    batch = {"query": constants()["gallery"][:4]}
    with (
        session.plan(graph, batch=4, pin={"matching": DEVICE_ID}) as plan,
        pytest.raises(errors.StageFailed, match="that board is a model") as caught,
    ):
        plan.run(batch)
    assert "WHAT_IF=" in caught.value.remedy
    with pytest.raises(errors.DeviceUnavailable, match="that board is a model"):
        opened().load(conformance.TestOpenCl().cases()[1].stage, LoadOptions())


def test_its_estimate_is_that_of_the_model():
    stage = unbound().bind(constants(width=conformance._WIDTH, rows=5000))
    found = opened().estimate(Task(stage=stage, batch=100))
    wanted = seconds(Board(pes=48), queries=100, rows=5000, k=2, resident=True)
    assert (found.seconds, found.source) == (pytest.approx(wanted), "model")
    assert found.mem_bytes == 5000 * 32


@pytest.mark.parametrize(("k", "width"), [(3, 32), (2, 33)])
def test_what_the_modeled_array_does_not_hold_is_refused(k, width, monkeypatch):
    monkeypatch.setattr(conformance, "_WIDTH", width)
    stage = unbound().bind(constants(k=k, width=width, rows=50))
    with pytest.raises(errors.Unsupported, match="rows of up to 32 bytes and keeps the 2 nearest"):
        opened().estimate(Task(stage=stage, batch=1))


def test_other_metrics_are_refused():
    floats, codes = (case.stage.operations[0] for case in conformance.TestOpenCl().cases())
    assert not opened().supports(floats)
    assert opened().supports(codes)


@pytest.mark.parametrize("text", ["pes=0", "pes=-3", "pes=nan", "pes=1e9", "clock_mhz=1e9", "x"])
def test_an_absurd_board_is_a_setting_that_does_not_fit(text):
    with pytest.raises(errors.ConfigError, match="a board's"):
        Settings(what_if=text)


def test_a_gallery_inside_the_model_s_file_is_refused_and_not_a_key_error(tmp_path):
    """Both devices: it was a KeyError of the OpenCL device's own when it ran."""
    case = conformance.TestOpenCl().cases()[1]
    from attrs import evolve

    stage = evolve(case.stage, inputs=case.stage.inputs[:1], constants={})
    with pytest.raises(errors.Unsupported, match=r"gallery, k of .* lies in the model's file"):
        opened().estimate(Task(stage=stage, batch=1))


def test_another_id_is_refused():
    with pytest.raises(errors.DeviceUnavailable, match="no modeled board nobody"):
        open_what_if("nobody", OpenOptions(threads=1, cache_dir=None, settings={"what_if": BOARD}))


def test_the_setting_keeps_the_import_light():
    """Settings are read at every start of every command."""
    code = (
        "import sys\n"
        "from deepseek_fpga.settings import Settings\n"
        f"Settings.of({{'what_if': {BOARD!r}}})\n"
        "print('numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_description_with_a_slip_is_told_by_devices_and_by_the_command(tmp_path):
    """Its plugin is unavailable: no row, no command, and a reason."""
    env = {
        **os.environ,
        "DEEPSEEK_FPGA_OPENCL_WHAT_IF": "pes=48,clokc=3",
        "DEEPSEEK_CACHE_DIR": str(tmp_path),
    }
    for command in (["devices"], ["fpga", "report"]):
        done = subprocess.run(
            [sys.executable, "-m", "deepseek_core", *command],
            capture_output=True, text=True, timeout=60, check=False, env=env,
        )  # fmt: skip
        assert "is unavailable: a board's description has 'clokc=3'" in done.stderr
        assert "write pes=48" in done.stderr
