"""Plans over the nodes of a cluster: the answers of one machine, whatever happens to a node."""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import attrs
import numpy as np
import pytest

from deepseek_core import LoadOptions, Session, errors
from deepseek_core.cli import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "visual_search"
sys.path.insert(0, str(EXAMPLE))

from dataset import load_crops, split_by_board  # noqa: E402

STORE_BYTES = 80 * 2**20  # as the conftest has it
MODEL = EXAMPLE / "models" / "visual_search_int8.onnx"
BATCH = 16
SILENT_S = 4.0
ONNX = "onnx:cpu"


@pytest.fixture(scope="module")
def session(nodes):
    """A session over the nodes `a` and `b`."""
    with cluster(nodes) as session:
        yield session


def cluster(nodes, **settings):
    """A session over all nodes, with ONNX Runtime's devices only: each open device is a process."""
    given = {"address": nodes.address, "silent_s": SILENT_S, **settings}
    return Session(threads=1, executor="ray", devices=["onnx"], settings={"cluster_ray": given})


@pytest.fixture(scope="module")
def pictures():
    """Known pictures and asked ones, in batches."""
    known, asked = split_by_board(load_crops())
    return batches(known, 320), batches(asked, 480)


def batches(crops, count):
    images = crops.images[:count]
    return [{"images": images[i : i + BATCH]} for i in range(0, count, BATCH)]


@pytest.fixture(scope="module")
def local(pictures):
    """The graph of two stages, bound to its gallery, and what this machine alone answers."""
    with Session(threads=1) as session:
        if not any(d.id.startswith("opencl:") for d in session.devices):
            pytest.skip('no device for which the model is cut; pip install "deepseek-fpga[pocl]"')
        graph = session.load(MODEL)
        graph = graph.bind(gallery=gallery_of(session, graph, pictures), k=np.array([5]))
        with session.plan(graph, batch=BATCH) as plan:
            return graph, [r["indices"] for r in plan.stream(pictures[1])]


@pytest.fixture(scope="module")
def graph(local):
    """The model in two stages."""
    return local[0]


@pytest.fixture(scope="module")
def right(local):
    """The indices of each batch."""
    return local[1]


def gallery_of(session, graph, pictures):
    with session.plan(graph.until("embedding"), batch=BATCH) as plan:
        return np.concatenate([r["embedding"] for r in plan.stream(pictures[0])])


def answers(results):
    return np.concatenate([result["indices"] for result in results])


def over(convolution, matching):
    return {"convolution": f"ray:{convolution}/{ONNX}", "matching": f"ray:{matching}/{ONNX}"}


def process_of(session, device_id):
    """The process of the actor of a device."""
    import ray

    actor = session.planner.pool.open(device_id).pulse.actor
    return ray.get(actor.ping.remote(), timeout=30)


def test_a_session_has_the_devices_of_all_nodes(session):
    ids = {d.id for d in session.devices if d.status == "available"}
    assert {f"ray:a/{ONNX}", f"ray:b/{ONNX}"} <= ids


def test_two_nodes_answer_as_one_machine(session, graph, pictures, right):
    with session.plan(graph, batch=BATCH, pin=over("a", "b")) as plan:
        results = list(plan.stream(pictures[1]))
    assert {tuple(r.ran_on.items()) for r in results} == {tuple(over("a", "b").items())}
    assert [r.sequence for r in results] == list(range(len(pictures[1])))
    assert all(np.array_equal(r["indices"], e) for r, e in zip(results, right, strict=True))


def test_a_model_is_read_and_run_as_on_one_machine(session, graph, pictures, right):
    whole = session.load(MODEL, outputs=["embedding"])
    with session.plan(whole, batch=BATCH) as plan:
        made = np.concatenate([r["embedding"] for r in plan.stream(pictures[0])])
    assert np.array_equal(made, graph.stages[1].constants["gallery"])
    whole = session.load(MODEL).bind(gallery=made, k=np.array([5]))
    with session.plan(whole, batch=BATCH) as plan:
        assert np.array_equal(answers(plan.stream(pictures[1])), np.concatenate(right))


def test_a_run_of_one_batch_goes_there_too(session, graph, pictures, right):
    with session.plan(graph, batch=BATCH, pin=over("b", "a")) as plan:
        result = plan.run(pictures[1][0])
    assert np.array_equal(result["indices"], right[0])
    assert result.ran_on == over("b", "a")
    assert result["indices"].flags.writeable


def test_what_is_large_stays_there_from_its_second_time(session, graph, pictures):
    stage = graph.stages[0]
    images = np.concatenate([batch["images"] for batch in pictures[1][:4]])
    device = session.planner.pool.open(f"ray:b/{ONNX}")
    with Session(threads=1) as here:
        executable = here.planner.pool.open(ONNX).load(stage, LoadOptions())
        right = executable.run({"images": images})["embedding"]
    loaded = device.load(stage, LoadOptions())
    kinds = []
    for count in (len(images), 1, 1, len(images), len(images)):
        made = loaded.run({"images": images[:count]})["embedding"]
        kinds.append(type(made).__name__)
        assert np.array_equal(device.to_host(made), right[:count])
    assert kinds == ["RefTensor", "ndarray", "ndarray", "ndarray", "RefTensor"]
    loaded.close()


def test_the_link_between_nodes_is_in_the_problem(session, graph):
    here, there = f"ray:a/{ONNX}", f"ray:b/{ONNX}"
    with session.plan(graph, batch=BATCH) as plan:
        problem = plan.problem
    assert problem.links[here, there].latency_s > 0
    assert problem.stages[1].read_bytes == {"convolution": BATCH * 1280}
    assert problem.transfer_s(1 << 20, here, there) > problem.transfer_s(1, here, here) == 0


def test_the_commands_reach_it(nodes, pictures, tmp_path, capsys):
    np.savez(tmp_path / "in.npz", **pictures[1][0])
    there = ["--executor", "ray", "--address", nodes.address]
    given = [
        "--input",
        str(tmp_path / "in.npz"),
        "--select",
        "embedding",
        "--device",
        f"ray:b/{ONNX}",
    ]
    assert main(["run", str(MODEL), *given, *there, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ran_on"] == {"convolution": [f"ray:b/{ONNX}"]}
    assert main(["devices", *there, "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)["devices"]}
    assert rows[f"ray:a/{ONNX}"]["status"] == "available"
    assert rows[f"ray:a/{ONNX}"]["plugin"] == "cpu_onnx"


@pytest.mark.parametrize("lost", ["convolution", "matching"])
def test_a_node_that_is_killed_in_mid_stream_loses_no_batch(
    nodes, graph, pictures, right, lost, capsys
):
    nodes.add("c1")
    nodes.add("c2")
    kept = {"convolution": "matching", "matching": "convolution"}[lost]
    images = np.concatenate([batch["images"] for batch in pictures[1]])
    large = [{"images": np.roll(images, -n, axis=0)[:96]} for n in range(16)]  # 120 KiB embedded
    with cluster(nodes) as session:
        pins = {lost: "ray:c", kept: f"ray:b/{ONNX}"}  # the one may move, the other not
        with session.plan(graph, batch=96, pin=pins) as plan:
            node = plan.devices[lost].removeprefix("ray:").partition("/")[0]
            results = []
            for result in plan.stream(large):
                results.append(result)
                if len(results) == 3:
                    nodes.kill(node)
            notices = plan.notices
    assert results[0].ran_on[lost].startswith(f"ray:{node}/")
    assert [r.sequence for r in results] == list(range(len(large)))
    every = np.concatenate(right)
    for number, result in enumerate(results):
        assert np.array_equal(result["indices"], np.roll(every, -number, axis=0)[:96])
    assert not results[-1].ran_on[lost].startswith(f"ray:{node}/")
    assert results[-1].ran_on[lost].startswith("ray:c")
    assert notices
    time.sleep(3)  # until Ray has told of it
    assert capsys.readouterr().out == ""


def test_an_actor_that_is_killed_loses_no_batch(nodes, graph, pictures, right):
    with cluster(nodes) as session:
        with session.plan(graph, batch=BATCH) as plan:
            first, *rest = plan.stream(pictures[1][:1])
            assert not rest
            device_id = first.ran_on["convolution"]
            stream, results = plan.stream(pictures[1]), []
            for result in stream:
                results.append(result)
                if len(results) == 3:
                    os.kill(process_of(session, device_id), signal.SIGKILL)
            assert plan.notices
        assert session.planner.pool.why_out()[device_id].startswith("quarantined")
    assert np.array_equal(answers(results), np.concatenate(right))


def test_an_actor_that_hangs_is_out_within_the_limit(nodes, graph, pictures, right):
    with cluster(nodes) as session, session.plan(graph, batch=BATCH) as plan:
        device_id = plan.run(pictures[1][0]).ran_on["convolution"]
        process = process_of(session, device_id)
        results = []
        try:
            for result in plan.stream(pictures[1]):
                results.append(result)
                if len(results) == 3:
                    os.kill(process, signal.SIGSTOP)
                    stopped_s = time.monotonic()
                    longest_s = 0.0
                elif len(results) > 3:
                    longest_s = max(longest_s, time.monotonic() - stopped_s)
                    stopped_s = time.monotonic()
        finally:
            os.kill(process, signal.SIGKILL)
        why = session.planner.pool.why_out()[device_id]
    assert "has not answered for 4 s" in why
    assert SILENT_S <= longest_s < SILENT_S + 12  # and what it takes to load it elsewhere
    assert np.array_equal(answers(results), np.concatenate(right))


def test_a_node_with_other_versions_is_left_out_by_name(nodes, tmp_path):
    write_other_version(tmp_path, "deepseek_onnx", "9.9.9", "cpu_onnx = deepseek_onnx.hooks")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    nodes.add("other", env_vars={"PYTHONPATH": path})
    try:
        with cluster(nodes) as session:
            (row,) = [d for d in session.devices if d.id.startswith("ray:other")]
            assert row.status == "unavailable"
            assert "the plugins here are not those of the parent process" in row.reason
            assert "cpu_onnx of deepseek-onnx 9.9.9" in row.reason
            assert "ds-sdk plugins export" in row.remedy
            assert f"ray:a/{ONNX}" in session.planner.pool.present_ids()
    finally:
        nodes.kill("other")


def write_other_version(folder, module, version, entry):
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir()
    name = module.replace("_", "-")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[deepseek_sdk.plugins.v1]\n{entry}\n")


def test_a_resource_that_is_taken_is_told_and_not_waited_for(nodes):
    nodes.add("few", resources={"ds:cpu": 1})
    try:
        with cluster(nodes) as session:
            pool, place = session.planner.pool, session._place
            pool.open(f"ray:few/{ONNX}")
            place._settings = attrs.evolve(place._settings, open_s=2.0)
            (offer,) = [o for o in pool.offers if o.info.id == f"ray:few/{ONNX}"]
            with pytest.raises(errors.DeviceUnavailable, match="ds:cpu may be taken") as caught:
                place.open(offer, None)
            assert "ray status" in caught.value.remedy
    finally:
        nodes.kill("few")


def test_a_full_object_store_is_told(nodes, graph):
    pictures = np.zeros((4000, 64, 64), np.uint8)  # 16 MiB
    with cluster(nodes) as session, session.plan(graph, batch=BATCH) as plan:
        fill = [filled(), *to_the_brim()]
        with_the_call = plan.run({"images": pictures[:32]})  # 128 KiB: no part of the store
        assert len(with_the_call["indices"]) == 32
        with pytest.raises(errors.StageFailed, match="object store of a node is full") as caught:
            plan.run({"images": pictures})
        del fill
    assert "--object-store-memory" in caught.value.remedy


def to_the_brim():
    """What is left of it then, up to 100 KiB; Ray stores nothing smaller."""
    import ray

    for nbytes in (1 << 20, 101 * 1024):
        with contextlib.suppress(ray.exceptions.OutOfDiskError):
            while True:
                yield ray.put(np.zeros(nbytes, np.uint8))


def filled():
    """Nearly all of the store of this node, once the stages that were carried are out of it."""
    import ray

    until_s = time.monotonic() + 20
    while True:
        try:
            return ray.put(np.zeros(STORE_BYTES // 10 * 9, np.uint8))
        except ray.exceptions.OutOfDiskError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.2)


def test_a_cluster_that_was_left_runs_nothing(nodes, pictures):
    session = cluster(nodes)
    device = session.planner.pool.open(f"ray:a/{ONNX}")
    session.close()
    session.close()
    with pytest.raises(errors.DeviceClosed):
        device.telemetry()
