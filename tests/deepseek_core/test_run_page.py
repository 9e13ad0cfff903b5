"""The page of a run says why, shows what ran, and is whole or absent."""

import json
import re

import numpy as np
import pytest

from deepseek_core.cli.main import main

pytest.importorskip("onnxruntime")


@pytest.fixture
def model(tmp_path, own_cache):
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [value("x", TensorProto.FLOAT, ["batch", 4])],
        [value("y", TensorProto.FLOAT, ["batch", 4])],
    )
    path = tmp_path / "relu.onnx"
    opsets = [helper.make_opsetid("", 18)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    path.write_bytes(made.SerializeToString())
    return path


def test_explain_measures_runs_and_writes_a_page(model, tmp_path, capsys):
    page = tmp_path / "plan.html"
    assert main(["explain", str(model), "--batch", "4", "--html", str(page), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    (stage,) = facts["stages"]
    chosen = next(c for c in stage["candidates"] if c["device"] == stage["device"])
    assert chosen["source"] == "measured"
    assert chosen["measured_s"] > 0
    assert facts["measured_value_s"] > 0
    text = page.read_text(encoding="utf-8")
    assert len(re.findall("<rect ", text)) == 20, "one bar for each batch"
    assert stage["device"] in text
    assert "http" not in text
    assert not list(tmp_path.glob("*.part"))


def test_a_page_that_can_not_be_written_is_told_before_the_work(model, tmp_path, capsys):
    assert main(["explain", str(model), "--html", str(tmp_path / "none" / "plan.html")]) == 2
    assert "does not exist" in capsys.readouterr().err


def rows_of(text):
    """The cells of the table of candidates."""
    table = text.partition("<table>")[2].partition("</table>")[0]
    return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in table.split("<tr")[1:]]


def test_the_page_says_what_a_cost_is_known_from_as_the_plan_does(model, tmp_path, capsys):
    data, page = tmp_path / "data.npz", tmp_path / "page.html"
    np.savez(data, x=np.ones((8, 4), np.float32))
    words = ["run", str(model), "--input", str(data), "--html", str(page), "--no-calibrate"]
    assert main([*words, "--explain", "--deadline-ms", "1e4"]) == 0
    printed = capsys.readouterr().out
    head, *rows = rows_of(page.read_text(encoding="utf-8"))
    assert head == ["part", "device", "time of one batch", "90 % range", "known from", "last run"]
    cells = {row[1]: row for row in rows}
    assert cells["onnx:cpu"][4] == "a guess; not measured yet"
    assert cells["onnx:cpu"][2].startswith("about")
    assert cells["onnx:cpu"][3].replace("\N{NO-BREAK SPACE}", " ") in printed
    for word in ("prior", "samples", "interval", "offline"):
        assert word not in page.read_text(encoding="utf-8")
    assert "deadline: 10000 ms is expected to hold" in page.read_text(encoding="utf-8")
    assert main(["explain", str(model), "--batch", "8", "--html", str(page)]) == 0
    cells = {row[1]: row for row in rows_of(page.read_text(encoding="utf-8"))[1:]}
    # How often it is measured depends on how long that takes.
    assert re.fullmatch(r"measured, [1-9] samples", cells["onnx:cpu"][4])


@pytest.fixture
def two_stages(tmp_path, own_cache):
    """A layer and a matcher, whose name is hostile to pages, and data for both."""
    import onnx
    from onnx import TensorProto, helper

    from deepseek_onnx.operators import attach_match

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "layer",
        [value("x", TensorProto.FLOAT, ["n", 4])],
        [value("y", TensorProto.FLOAT, ["n", 4])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path = tmp_path / "<b>&.onnx"
    onnx.save(attach_match(made, query="y", metric="l2"), path)
    ones = np.ones((8, 4), np.float32)
    np.savez(tmp_path / "data.npz", x=ones, gallery=ones, k=np.array([2]))
    return [str(path), "--input", str(tmp_path / "data.npz"), "--constant", "gallery",
            "--constant", "k"]  # fmt: skip


def test_the_whole_model_is_a_part_of_its_own_with_what_was_measured(two_stages, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["explain", *two_stages, "--pin", "elem=cpu", "--html", str(page), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    if facts["whole"] is None:
        pytest.skip("one device: the model is one stage")
    text = page.read_text(encoding="utf-8")
    parts = {row[0] for row in rows_of(text)[1:]}
    assert parts == {"elementwise", "matching", "whole model, uncut"}
    assert f"whole model, uncut: {facts['whole']['why']}" in text
    assert len(re.findall("<circle ", text)) >= 1
    assert ">estimated time of one batch</text>" in text and ">measured, up to</tspan>" in text


def test_stages_have_colors_of_their_own_and_a_legend(two_stages, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["devices", "--json"]) == 0
    devices = [d["id"] for d in json.loads(capsys.readouterr().out)["devices"]]
    opencl = next((d for d in devices if d.startswith("opencl:")), None)
    if opencl is None:
        pytest.skip('no OpenCL device; pip install "deepseek-fpga[pocl]"')
    words = ["--html", str(page), "--pin", f"matching={opencl}", "--no-calibrate"]
    assert main(["run", *two_stages, *words]) == 0
    text = page.read_text(encoding="utf-8")
    legend = dict(re.findall(r'background:(hsl\([^)]*\))"></i>(\w+)', text))
    assert set(legend.values()) == {"elementwise", "matching"}
    assert len(legend) == 2, "two stages of one color"
    assert set(re.findall(r'<rect [^>]*fill="(hsl\([^)]*\))"', text)) == set(legend)


def test_a_page_needs_no_network_and_escapes_what_files_are_called(two_stages, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["explain", *two_stages, "--html", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "<h1>Plan of &lt;b&gt;&amp;</h1>" in text
    assert "<b>" not in text
    for outside in ("http", "src=", "@import", "url(", "<script", "<link"):
        assert outside not in text
