"""Data files beside a model: where they may lie, and what happens when they change."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import make_model, perceptron, tensor
from three_ways import as_artifact, as_one, bits, check, cut, plainly, run_graph

from deepseek_core import LatencyClass, LoadOptions, Session, errors
from deepseek_onnx.frontend import whole_model_stage
from deepseek_onnx.model import load
from deepseek_onnx.ort import MAPS_DATA

WIDTH = 64
X = {"x": np.ones((2, WIDTH), np.float32)}
ROWS = {"rows": np.array([0, 3])}


def lookup(seed: int = 0, rows: int = 2000) -> onnx.ModelProto:
    """y = max(table[rows], 0); of such a table a session makes no copy of its own."""
    table = np.random.default_rng(seed).standard_normal((rows, 256)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "rows"], ["h"]),
        helper.make_node("Relu", ["h"], ["y"]),
    ]
    inputs = [tensor("rows", ["n"], TensorProto.INT64)]
    return make_model(nodes, inputs, [tensor("y", ["n", 256])], {"table": table})


def save(path: Path, model: onnx.ModelProto, location: str = "data.bin") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, path, save_as_external_data=True, location=location, size_threshold=0)
    return path


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(target, path.parent))


def test_a_hub_s_links_lead_to_the_model_and_its_data(cpu, tmp_path):
    save(tmp_path / "blobs/1f", perceptron(WIDTH), "2e")
    snapshot = tmp_path / "snapshots/main/onnx"
    link(snapshot / "model.onnx", tmp_path / "blobs/1f")
    link(snapshot / "2e", tmp_path / "blobs/2e")
    assert len(check(cpu, snapshot / "model.onnx", X, "Relu").stages) == 2


def test_a_link_to_a_large_model_is_cut_without_its_data(cpu, tmp_path):
    blob = tmp_path / "blobs/1f"
    blob.parent.mkdir()
    blob.write_bytes(lookup().SerializeToString())
    link(tmp_path / "main/model.onnx", blob)
    graph = check(cpu, tmp_path / "main/model.onnx", ROWS, "Relu")
    assert len(graph.stages[0].artifact.part.mapped().content) < 1000


def test_a_model_and_data_that_lie_in_two_folders_are_put_together(cpu, tmp_path):
    """The model is a link, its data a file: ONNX Runtime allows both folders, we pass one."""
    blob = save(tmp_path / "blobs/1f", perceptron(WIDTH))
    link(tmp_path / "main/model.onnx", blob)
    (tmp_path / "blobs/data.bin").rename(tmp_path / "main/data.bin")
    assert len(check(cpu, tmp_path / "main/model.onnx", X, "Relu").stages) == 2


def test_hard_links_are_files_as_others(cpu, tmp_path):
    path = save(tmp_path / "here/model.onnx", perceptron(WIDTH))
    there = tmp_path / "there"
    there.mkdir()
    for name in ("model.onnx", "data.bin"):
        os.link(path.parent / name, there / name)
    check(cpu, there / "model.onnx", X, "Relu")


def test_a_linked_folder_is_a_folder(cpu, tmp_path):
    path = save(tmp_path / "here/model.onnx", perceptron(WIDTH))
    link(tmp_path / "there", path.parent)
    check(cpu, tmp_path / "there/model.onnx", X, "Relu")


@pytest.mark.parametrize("location", ["weights/data.bin", "gewichte ü.bin", "./data.bin"])
def test_names_of_data_files_are_kept(cpu, tmp_path, location):
    (tmp_path / "weights").mkdir()
    check(cpu, save(tmp_path / "model.onnx", perceptron(WIDTH), location), X, "Relu")


def altered(tmp_path: Path, **entries: str | None) -> Path:
    """A model whose reference to its data has these entries; None leaves one out."""
    path = save(tmp_path / "model/model.onnx", perceptron(WIDTH))
    model = onnx.load_model(path, load_external_data=False)
    (weights,) = model.graph.initializer
    told = {entry.key: entry.value for entry in weights.external_data} | entries
    del weights.external_data[:]
    for key, value in told.items():
        if value is not None:
            weights.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "entries",
    [{}, {"length": None}, {"offset": None}, {"length": None, "offset": None}, {"checksum": "0"}],
    ids=str,
)
def test_an_offset_and_a_length_may_be_left_out(cpu, tmp_path, entries):
    path = altered(tmp_path, **entries)
    with (path.parent / "data.bin").open("ab") as file:
        file.write(bytes(4096))  # of another tensor, say
    check(cpu, path, X, "Relu")
    (stage, _) = cut(cpu, path, "Relu").stages
    held = onnx.load_model_from_string(stage.artifact.read())
    assert len(held.graph.initializer[0].raw_data) == 4 * WIDTH * WIDTH


@pytest.mark.parametrize(
    "entries",
    [
        {"length": "100"}, {"length": "1000000"}, {"length": "-1"}, {"length": "much"},
        {"offset": "here"}, {"offset": "-4096"}, {"offset": "1000000"}, {"offset": "9" * 30},
        {"location": None}, {"location": ""}, {"location": "."}, {"location": "a\0b"},
        {"location": "gone.bin"}, {"location": "../data.bin"}, {"location": "a/../../data.bin"},
        {"location": "/etc/hostname"}, {"location": "..\\data.bin"},
    ],
    ids=str,
)  # fmt: skip
def test_a_reference_that_leads_nowhere_is_refused(cpu, tmp_path, entries):
    path = altered(tmp_path, **entries)
    (tmp_path / "data.bin").write_bytes((path.parent / "data.bin").read_bytes())
    for use in (
        lambda: as_one(cpu, path, X),
        lambda: run_graph(cpu, cut(cpu, path, "Relu"), X),
        lambda: cut(cpu, path, "Relu").stages[0].artifact.read() and as_one(cpu, path, X),
    ):
        with pytest.raises(errors.ArtifactError):
            use()


@pytest.mark.parametrize("target", ["file", "circle"])
def test_a_link_out_of_the_model_s_folder_is_refused(tmp_path, target):
    path = save(tmp_path / "model/model.onnx", perceptron(WIDTH))
    data = path.parent / "data.bin"
    data.rename(tmp_path / "secret.bin")
    data.symlink_to("data.bin" if target == "circle" else "../secret.bin")
    with pytest.raises(errors.ArtifactError, match=r"data\.bin"):
        load(as_artifact(path))


def test_data_of_a_branch_may_not_lie_elsewhere_either(tmp_path):
    held = TensorProto(name="held", data_type=TensorProto.FLOAT, dims=[2])
    held.data_location = TensorProto.EXTERNAL
    held.external_data.add(key="location", value="/etc/hostname")
    node = helper.make_node("Add", ["x", "held"], ["out"])
    branch = helper.make_graph([node], "branch", [], [tensor("out", None)], [held])
    choice = helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch)
    inputs = [tensor("x", [2]), tensor("flag", [], TensorProto.BOOL)]
    path = tmp_path / "model.onnx"
    path.write_bytes(make_model([choice], inputs, [tensor("y", [2])]).SerializeToString())
    with pytest.raises(errors.ArtifactError, match="'held' is said to be in '/etc/hostname'"):
        load(as_artifact(path))


def overwritten(path: Path, other: Path) -> None:
    with path.open("r+b") as file:
        file.write(other.read_bytes())


def shortened(path: Path, _other: Path) -> None:
    os.truncate(path, 8192)  # the rows that are asked for stay: without a check nothing fails


def replaced(path: Path, other: Path) -> None:
    other.replace(path)


def removed(path: Path, _other: Path) -> None:
    path.unlink()


CHANGES = [overwritten, shortened, replaced, removed]


@pytest.fixture(params=["data file", "data inside"])
def files(request, tmp_path):
    """A model, the file with its table, and one of equal size with another table."""
    path, other = tmp_path / "model.onnx", tmp_path / "other" / "model.onnx"
    if request.param == "data file":
        save(path, lookup(0))
        save(other, lookup(1))
        return path, tmp_path / "data.bin", other.parent / "data.bin"
    other.parent.mkdir()
    path.write_bytes(lookup(0).SerializeToString())
    other.write_bytes(lookup(1).SerializeToString())
    return path, path, other


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_since_it_was_read_is_not_loaded(cpu, files, change):
    path, data, other = files
    stages = [whole_model_stage(as_artifact(path)), cut(cpu, path, "Relu").stages[0]]
    change(data, other)
    for stage in stages:
        with pytest.raises(errors.ArtifactError, match="changed on disk since the model was load"):
            cpu.load(stage, LoadOptions())
    assert "changed on disk" in cpu.supports_stage(stages[0], LatencyClass.OFFLINE).reason


@pytest.mark.skipif(not MAPS_DATA, reason="this runtime has all data in memory")
@pytest.mark.parametrize("change", [overwritten, shortened])
@pytest.mark.parametrize("way", ["run", "bound call"])
def test_a_run_does_not_read_what_was_changed_in_place(cpu, files, change, way):
    """Without a look at the file it reads other rows, or ends the process."""
    path, data, other = files
    loaded = cpu.load(cut(cpu, path, "Relu").stages[0], LoadOptions())
    bound = loaded.bind(ROWS, {"h": np.empty((2, 256), np.float32)})
    uses = {
        "run": lambda: loaded.run(ROWS),
        "bound call": bound,
    }
    uses[way]()
    change(data, other)
    with pytest.raises(errors.ArtifactError, match="changed on disk"):
        uses[way]()


@pytest.mark.parametrize("change", [replaced, removed])
def test_a_run_goes_on_with_the_file_that_it_has_mapped(cpu, files, change):
    path, data, other = files
    expected = plainly(path, ROWS)
    graph = cut(cpu, path, "Relu")
    loaded = [cpu.load(stage, LoadOptions()) for stage in graph.stages]
    change(data, other)
    h = loaded[0].run(ROWS)
    assert bits(loaded[1].run(h)) == bits(expected)


@pytest.mark.parametrize("change", [overwritten, shortened])
def test_a_plan_that_was_made_before_a_change_tells_it(tmp_path, change):
    path = save(tmp_path / "model.onnx", lookup(0))
    other = save(tmp_path / "other/model.onnx", lookup(1)).parent / "data.bin"
    with Session(devices=["onnx:cpu"], threads=1, cache_dir=tmp_path / "cache") as session:
        plan = session.plan(session.load(path))
        change(tmp_path / "data.bin", other)
        with pytest.raises(errors.ArtifactError, match="changed on disk"):
            plan.run(ROWS)


def test_a_small_model_may_be_written_anew_while_it_runs(cpu, tmp_path):
    """Nothing of it is mapped: a session has all of it in memory."""
    path = tmp_path / "model.onnx"
    path.write_bytes(lookup(rows=8).SerializeToString())
    expected = plainly(path, ROWS)
    loaded = cpu.load(whole_model_stage(as_artifact(path)), LoadOptions())
    path.write_bytes(b"")
    assert bits(loaded.run(ROWS)) == bits(expected)


def test_models_of_equal_structure_never_share_their_weights(cpu, tmp_path):
    paths = [tmp_path / folder / "model.onnx" for folder in ("a", "b")]
    for seed, path in enumerate(paths):
        save(path, lookup(seed))
    graphs = [cut(cpu, path, "Relu") for path in (*paths, paths[0])]
    first, second, again = (graph.stages[0] for graph in graphs)
    assert first.fingerprint == second.fingerprint == again.fingerprint
    loaded = [cpu.load(stage, LoadOptions()) for stage in (first, second, again)]
    outputs = [bits(executable.run(ROWS)["h"]) for executable in loaded]
    assert outputs[0] == outputs[2] != outputs[1]
    for path, graph in zip(paths, graphs, strict=False):
        assert bits(run_graph(cpu, graph, ROWS)) == bits(plainly(path, ROWS))
