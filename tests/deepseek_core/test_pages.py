"""Pages keep to the rules for all who read them, and say the same as the JSON."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from page_rules import contrast, faults
from test_simulate_command import TRACE

from deepseek_core import console
from deepseek_core.cli.main import main

SCHEDULE = Path(__file__).parent.parent / "data/sched/starpu_mirage_chol6_t960.json"


def page_of(body, tmp_path):
    console.write_html(tmp_path / "page.html", "A page", body)
    return (tmp_path / "page.html").read_text()


AXIS = console.Axis(title="time", shown=console.format_seconds)
GOOD = {
    "table": console.table(("a", "b"), [(1, 2)]),
    "bars": console.bar_chart([("x", 1.0, "1 s"), ("y", float("nan"), "-")], name="n",
                              head=("what", "time"), chosen=[0]),
    "line": console.line_chart([(0, 1), (5, 2)], name="n", x=AXIS, y=AXIS),
    "points": console.scatter([console.Point(x=1, y=2, name="p" * 60)], name="n", x=AXIS, y=AXIS),
    "time line": console.timeline([console.Bar(lane=0, start=0, end=1, group="g", tip="t")],
                                  lanes=["device"], span=(0, 1), name="n", x=AXIS),
    "headings": "<h2>a</h2><h3>b</h3><h2>c</h2>",
}  # fmt: skip


@pytest.mark.parametrize("what", GOOD)
def test_what_pages_are_made_of_keeps_the_rules(what, tmp_path):
    assert faults(page_of(GOOD[what], tmp_path)) == []


# A change of a good page -> the one fault that it makes.
BAD = {
    "an svg does not begin with its title": ("line", "<title>n</title>", ""),
    "an svg is no img": ("line", 'role="img" ', ""),
    "an svg 1000 wide shrinks on a phone, and its text with it": (
        "time line", ";min-width:1000px", ""
    ),
    "a th does not say what it heads: it has no scope": ("table", '<th scope="col">a', "<th>a"),
    "a table can't be scrolled": ("table", 'class="scroll" tabindex="0"', ""),
    "an area that scrolls can't be reached by the keyboard": ("time line", ' tabindex="0"', ""),
    "h3 follows h1": ("headings", "<h2>a</h2>", ""),
    "its language is not said": ("headings", ' lang="en"', ""),
    "it has no title": ("headings", "<title>A page", "<title>"),
    "it has no main part, or several": ("headings", "main>", "div>"),
    "a phone would draw it small: it has no viewport": ("headings", 'name="viewport"', ""),
    "text of 9px is too small": ("headings", "font-size:13px", "font-size:9px"),
    "soft on page in light: contrast 2.85, not 4.5": ("headings", "--soft:#57606a", "--soft:#999"),
    "<img> loads something, or is a script": (
        "headings", "<h2>c", '<img alt="" src="https://x.y/z.png"><h2>c'
    ),
    "an img has no alt": ("headings", "<h2>c", '<img src="data:,"><h2>c'),
    "two areas are called 'Table: a, b'": ("table", "<h1>", GOOD["table"] + "<h1>"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_each_rule_finds_its_fault(fault, tmp_path):
    what, old, new = BAD[fault]
    text = page_of(GOOD[what], tmp_path)
    assert old in text
    assert fault in faults(text.replace(old, new))


def test_contrast_is_that_of_the_standard():
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)


@pytest.fixture
def model(tmp_path, own_cache):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [value("x", onnx.TensorProto.FLOAT, ["batch", 4])],
        [value("y", onnx.TensorProto.FLOAT, ["batch", 4])],
    )
    opsets = [onnx.helper.make_opsetid("", 18)]
    made = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    (tmp_path / "relu.onnx").write_bytes(made.SerializeToString())
    np.savez(tmp_path / "data.npz", x=np.ones((64, 4), np.float32))
    return str(tmp_path / "relu.onnx"), str(tmp_path / "data.npz")


@pytest.mark.parametrize("command", ["plan", "run", "explain"])
def test_pages_of_plans_keep_the_rules_and_have_what_the_json_has(command, model, tmp_path, capsys):
    page = tmp_path / "page.html"
    words = [command, model[0], "--input", model[1], "--deadline-ms", "9000", "--html", str(page)]
    assert main([*words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    facts = facts.get("plan", facts)
    text = html.unescape(page.read_text()).replace("\N{NO-BREAK SPACE}", " ")
    assert faults(page.read_text()) == []
    told = [*facts["why"], facts["summary"], facts["rule"], facts["batch_axis"]["text"]]
    told += [console.format_seconds(s) for s in (facts["value_s"], facts["lower_bound_s"])]
    told += [c["device"] for s in facts["stages"] for c in s["candidates"]]
    told += [c["refusal"] for s in facts["stages"] for c in s["candidates"] if c["refusal"]]
    told += ["deadline: 9000 ms is expected to hold", "Placements compared"]
    assert [one for one in told if one not in text] == []
    assert ("What ran when" in text) == (command != "plan")


def test_the_page_of_a_schedule_compares_its_candidates(tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["schedule", str(SCHEDULE), "--html", str(page), "--json", "-"]) == 0
    facts = json.loads(capsys.readouterr().out)
    text = page.read_text()
    assert faults(text) == []
    assert len(facts["rejected"]) > 5
    for rule, value in facts["rejected"].items():
        row = re.search(f'<th scope="row">{re.escape(html.escape(rule))}</th>(.*?)</tr>', text)[1]
        assert f"{value:.6g}" in row
    longest = max(map(float, re.findall(r'<i style="width:([\d.]+)%', text)))
    assert longest == 100.0
    assert f"time in {facts['unit']}" in text


def test_the_page_of_a_simulation_compares_its_policies(tmp_path, capsys):
    trace, page = tmp_path / "trace.json", tmp_path / "page.html"
    trace.write_text(json.dumps(TRACE))
    assert main(["simulate", str(trace), "--policy", "all", "--html", str(page), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    text = page.read_text()
    assert faults(text) == []
    compared = text.partition("Policies compared")[2].partition("<h2>")[0]
    for policy, facts in report["policies"].items():
        rows = re.findall(f'<th scope="row">{policy}</th><td class="n">([^<]*)', compared)
        classes = [facts[c] for c in ("realtime", "offline") if facts.get(c, {}).get("arrived")]
        assert len(rows) == 2 * len(classes) > 0
        for row, times in zip(classes, zip(rows[::2], rows[1::2], strict=True), strict=True):
            p99 = float("nan") if row["p99_s"] is None else row["p99_s"]
            assert times == (f"{row['on_time_share']:.2%}", console.format_seconds(p99))


def test_a_report_of_conformance_keeps_the_rules(tmp_path):
    page = tmp_path / "page.html"
    pytest.importorskip("deepseek_null")
    assert main(["check-plugin", "null", "--report", str(page), "--json"]) == 0
    assert faults(page.read_text()) == []
