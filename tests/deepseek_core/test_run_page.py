"""The page of a run says why, shows what ran, and is whole or absent."""

import json
import re

import pytest

from deepseek_core.cli.main import main

pytest.importorskip("onnxruntime")


@pytest.fixture
def model(tmp_path, monkeypatch):
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
    monkeypatch.setenv("DEEPSEEK_CACHE_DIR", str(tmp_path / "cache"))
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
