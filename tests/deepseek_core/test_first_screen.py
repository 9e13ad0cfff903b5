"""The first screen of `ds-sdk plan`: ten lines at 80 columns, true, and in plain words."""

import json
import re
import shlex

import numpy as np
import pytest

from deepseek_core.cli import table
from deepseek_core.cli.main import main
from deepseek_core.contracts.device import Concurrency, Estimate
from deepseek_core.schedule.problem import Candidate, Objective, Placement, Problem, StageOptions
from deepseek_core.schedule.sentences import against

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def work(tmp_path, monkeypatch, own_cache):
    """A folder with a model of two stages, its gallery and its queries."""
    from onnx import TensorProto, helper, numpy_helper

    from deepseek_onnx.operators import attach_match

    rng = np.random.default_rng(0)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["signal", "weights"], ["product"]),
            helper.make_node("Tanh", ["product"], ["embedding"]),
        ],
        "search",
        [value("signal", TensorProto.FLOAT, ["N", 64])],
        [value("embedding", TensorProto.FLOAT, ["N", 32])],
        [numpy_helper.from_array(rng.standard_normal((64, 32)).astype(np.float32), "weights")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(attach_match(made, query="embedding", metric="l2"), tmp_path / "search.onnx")
    gallery = rng.standard_normal((500, 32)).astype(np.float32)
    np.savez(tmp_path / "known.npz", gallery=gallery, k=np.array([3]))
    np.savez(tmp_path / "asked.npz", signal=rng.standard_normal((64, 64)).astype(np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


PLAN = ["plan", "search.onnx", "--input", "known.npz", "--constant", "gallery", "--constant", "k"]
# Words that only those know who know the project: they stay behind --verbose.
JARGON = ("prior", "period", "refused", "uncut", "slot", "evidence", "branch and bound", "->")


def screen(capsys, *words):
    capsys.readouterr()
    assert main([*PLAN, *words]) == 0
    return capsys.readouterr().out


WAYS = (
    (),
    ("--latency", "realtime", "--deadline-ms", "50"),
    ("--device", "cpu"),
    ("--pin", "match=cpu", "--batch", "7"),
)


@pytest.mark.parametrize("words", WAYS)
def test_ten_lines_say_where_how_fast_how_sure_what_else_and_what_next(work, capsys, words):
    facts = json.loads(screen(capsys, *words, "--json"))
    told = screen(capsys, *words)
    lines = told.splitlines()
    assert len(lines) <= 10
    assert all(len(line) <= 80 for line in lines)
    for stage in facts["stages"]:
        assert any(stage["name"] in line and stage["device"] in line for line in lines[1:4])
    assert "=> " in told and "next: " in told and "--verbose" in told
    assert "how sure: a guess, not measured yet" in told
    rivals = {c["device"] for s in facts["stages"] for c in s["candidates"]}
    for rival in rivals - set(facts["placement"].values()):
        assert rival in told.partition("not used: ")[2]
    assert not [word for word in JARGON if word in told]


@pytest.mark.parametrize("columns", [40, 60, 120, 200])
def test_it_fits_other_terminals(work, capsys, monkeypatch, columns):
    monkeypatch.setattr("deepseek_core.cli.plan_command.terminal_width", lambda: columns)
    lines = screen(capsys).splitlines()
    assert all(len(line) <= columns for line in lines)
    assert len(lines) <= (10 if columns >= 80 else 20)


def test_the_command_that_it_proposes_can_be_typed_and_makes_it_sure(work, capsys):
    def proposed(told):
        return shlex.split(told.partition("\n  ds-sdk ")[2].replace("\\\n", " "))

    if "measure what is guessed" not in screen(capsys):
        pytest.skip("one device: there is nothing to choose")
    assert main(proposed(screen(capsys))) == 0
    told = screen(capsys)
    assert "how sure: measured on this machine" in told
    words = proposed(told)
    assert words[0] == "run" and words.index("FILE.npz")
    assert main([word.replace("FILE", "asked") for word in words]) == 0
    assert "64 items" in capsys.readouterr().out


def test_verbose_has_every_candidate_and_json_is_as_it_was(work, capsys):
    told = screen(capsys, "--verbose")
    facts = json.loads(screen(capsys, "--json"))
    for stage in facts["stages"]:
        assert f"stage {stage['name']}\n" in told
        for candidate in stage["candidates"]:
            assert candidate["device"] in told
    assert "(90 % range)" in told
    assert facts["why"][0] in told


def two(mine, its, *, pinned=(), busy="", threads=0):
    """Stages a and b, a on `cpu`; what device `other` would take for a."""
    concurrency = {"cpu": Concurrency(slots=1, host_threads=1),
                   "other": Concurrency(slots=1, host_threads=threads)}  # fmt: skip
    rows = [("cpu", mine), ("other", its)]
    stages = [
        StageOptions(
            name=name,
            candidates=tuple(Candidate(device_id=d, estimate=e) for d, e in rows),
            pinned_to=pinned,
        )
        for name in "ab"
    ]
    problem = Problem(
        stages=tuple(stages), concurrency=concurrency, host_cores=2, objective=Objective.PERIOD
    )
    placement = Placement(
        routes=(({"a": "cpu", "b": busy or "cpu"}, 1.0),),
        objective=Objective.PERIOD,
        value_s=1.0,
        rule="",
        optimal=True,
        single_device={},
    )
    return against(problem, placement, stages[0], "other")


def measured(seconds):
    return Estimate(seconds=seconds, sigma=0.1, source="measured", samples=5)


def guess(seconds):
    return Estimate(seconds=seconds, sigma=1.0, source="prior")


def test_what_speaks_against_another_device_is_told():
    assert two(measured(1e-3), measured(2e-3)) == "2 ms"
    assert two(guess(1e-3), guess(2e-3)) == "about 2 ms (a guess)"
    assert two(measured(2e-3), guess(1e-3)) == "about 1 ms (a guess)"
    assert two(measured(2e-3), measured(1e-3), pinned=("cpu",)) == "1 ms (pinned elsewhere)"
    busy = two(measured(2e-3), measured(1e-3), busy="other")
    assert busy == "1 ms alone, which is faster, but it is busy with b"
    takes = two(measured(2e-3), measured(1e-3), threads=2)
    assert re.fullmatch("1 ms alone, which is faster, but it takes both CPU cores, so b .*", takes)


def test_a_text_is_wrapped_below_its_own_beginning_and_keeps_every_word():
    text = "short\n  a line that is far too long for it"
    assert table.fitted(text, 20).splitlines() == [
        "short",
        "  a line that is far",
        "    too long for it",
    ]
    assert table.fitted(text, None) == text
