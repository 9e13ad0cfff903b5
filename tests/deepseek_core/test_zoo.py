"""Every ill plugin installed at once: the SDK works, and stdout is JSON."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import plugin_zoo as zoo
import pytest
from onnx import TensorProto, helper

COMMANDS = {
    "list-plugins": ["list-plugins", "--json"],
    "doctor": ["doctor", "--json"],
    "devices": ["devices", "--json"],
    "plan": ["plan", "{folder}/tiny.onnx", "--json"],
    "config": ["config", "show", "--json"],
    "plugin-info": ["plugin-info", "well", "--json"],
    "explain": ["explain", "{folder}/tiny.onnx", "--input", "{folder}/x.npz", "--json"],
    "calibrate": ["calibrate", "{folder}/tiny.onnx", "--input", "{folder}/x.npz", "--json"],
    "bench": ["bench", "{folder}/tiny.onnx", "--input", "{folder}/x.npz", "--json"],
    "store": ["store", "init", "{folder}/stored", "--json"],
    "simulate": ["simulate", "{folder}/trace.json", "--json"],
    "schedule": ["schedule", "{folder}/tiny.onnx", "--json", "-"],
    "compress": ["compress", "inspect", "{folder}/tiny.onnx", "--json"],
    "trt": ["trt", "check", "{folder}/tiny.onnx", "--profile", "x=1x2:4x2:8x2", "--json"],
    "fpga": ["fpga", "build", "--target", "aoc", "--kernel", "hamming", "--board", "any",
             "--output", "{folder}/board", "--dry-run", "--json"],
    "costs": ["costs", "export", "{folder}/costs.json", "--json"],
    "plugins": ["plugins", "export", "--json"],
    "new-plugin": ["new-plugin", "device", "acme_npu", "--folder", "{folder}/new", "--json"],
    "run": ["run", "{folder}/tiny.onnx", "--input", "{folder}/x.npz", "--json"],
}  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What each command does amid the whole zoo; side by side."""
    folder = tmp_path_factory.mktemp("zoo")
    zoo.fill_all(folder)
    write_model(folder)
    (folder / "trace.json").write_text(json.dumps(TRACE))

    env = {
        "DEEPSEEK_CACHE_DIR": str(folder / "cache"),
        "DEEPSEEK_CONFIG": str(folder / "none.toml"),
        "DEEPSEEK_LOAD_TIMEOUT": "2",
        "DEEPSEEK_SECRET_IN_REPR_TOKEN": zoo.CANARY,
    }
    # With time enough, so that a short time-out for what hangs does not decide about what is well.
    assert zoo.ds_sdk("--plugins", "deepseek-onnx", "devices", env=env).returncode == 0
    for name in zoo.DEADLY_HOOKS:  # each ends the process once
        only = env | {"DEEPSEEK_PLUGINS": name}
        assert zoo.ds_sdk("list-plugins", path=[folder], env=only).returncode != 0

    def run(item):
        name, words = item
        filled = [word.replace("{folder}", str(folder)) for word in words]
        short = env | {"DEEPSEEK_PROBE_TIMEOUT": "5"}
        return name, zoo.ds_sdk(*filled, path=[folder], env=short, timeout_s=300)

    with ThreadPoolExecutor(4) as pool:
        begun = {name: pool.submit(run, (name, COMMANDS[name])) for name in ("doctor", "devices")}
        # The others find what this one asks: each would ask all devices once more.
        begun["devices"].result()
        for name in [name for name in COMMANDS if name not in begun]:
            begun[name] = pool.submit(run, (name, COMMANDS[name]))
        return dict(one.result() for one in begun.values())


TRACE = {
    "schema": 1,
    "devices": [{"id": "cpu"}],
    "operators": {"match": {"cpu": {"item_s": 0.004}}},
    "arrivals": [{"at_s": 0.0, "operator": "match", "items": 4}],
}


def write_model(folder):
    """One matrix product, as small as a model can be."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1.0, 0.0, 0.0, 1.0])
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "tiny.onnx")
    np.savez(folder / "x.npz", x=np.ones((3, 2), np.float32))


def test_the_zoo_has_at_least_twenty_ill_plugins():
    assert len({*zoo.BAD_HOOKS, *zoo.BAD_PROBES, *zoo.SLOW_HOOKS}) >= 40


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_works_amid_all_of_them(name, outcomes):
    process = outcomes[name]
    assert process.returncode == 0, process.stderr
    assert isinstance(json.loads(process.stdout), dict)
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_shows_the_secret(name, outcomes):
    assert zoo.CANARY not in outcomes[name].stdout + outcomes[name].stderr


def test_the_model_runs_on_what_is_well(outcomes):
    report = json.loads(outcomes["run"].stdout)
    assert report["items"] == 3
    assert {device for on in report["ran_on"].values() for device in on} == {"onnx:cpu"}


def test_an_import_that_hangs_is_ended_and_one_that_is_slow_is_told(outcomes):
    rows = {row["name"]: row for row in json.loads(outcomes["list-plugins"].stdout)["plugins"]}
    hanging, slow = rows["hanging_import"], rows["slow"]
    assert (hanging["status"], hanging["reason"], hanging["remedy"]) == (
        "broken",
        "its import did not end in 2 s",
        "DEEPSEEK_LOAD_TIMEOUT=6 (or pip uninstall zoo-hanging-import)",
    )
    assert (slow["status"], slow["remedy"]) == (
        "available",
        "import it in the function that needs it",
    )
    assert slow["load_ms"] >= 1100
    assert slow["reason"].startswith("its import took ")


def test_what_ended_the_process_once_is_broken(outcomes):
    rows = {row["name"]: row for row in json.loads(outcomes["list-plugins"].stdout)["plugins"]}
    for name in zoo.DEADLY_HOOKS:
        assert rows[name]["status"] == "broken"
        assert rows[name]["reason"].startswith("its import")


def test_the_impostor_is_refused_and_ours_works(outcomes):
    rows = json.loads(outcomes["list-plugins"].stdout)["plugins"]
    named = {row["dist"]: row["status"] for row in rows if row["name"] == "cpu_onnx"}
    assert named == {"deepseek-onnx": "available", "zoo-impostor": "conflict"}


def test_doctor_tells_of_the_distribution_that_is_there_twice(outcomes):
    checks = json.loads(outcomes["doctor"].stdout)["checks"]
    (double,) = [check for check in checks if "two versions of zoo-double" in check["message"]]
    assert double["remedy"] == (
        "pip uninstall -y zoo-double && pip uninstall -y zoo-double && pip install zoo-double"
    )
