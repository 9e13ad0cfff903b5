"""`plan`, `explain`, `calibrate` and `bench`: on inputs given, fixed or made up."""

import shlex

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from typed_commands import floats, save

TRIALS = ("explain", "calibrate", "bench")
QUICK = {"calibrate": ("--rounds", "1"), "bench": ("--rounds", "1", "--batches", "2")}
FREE = (
    "free (float[N, T] x, float[M, T] s, int64[1] k) => (float[N, M] y, int64[1] j) {"
    + """
        t = Transpose(s)
        y = MatMul(x, t)
        j = Neg(k)
    }
"""
)
ROWS = "rows (float[N, T] x) => (float[N, T] y) { y = Neg(x) }"


def trial(ds, command, *words):
    return ds.json(command, "model.onnx", "--device", "cpu", *QUICK.get(command, ()), *words)


def batch_of(report):
    rows = report.get("measurements")
    return rows[0]["batch"] if rows else report.get("plan", report)["batch"]


@pytest.mark.parametrize("command", TRIALS)
def test_all_sizes_that_are_missing_are_told_at_once_and_the_remedy_works(command, ds):
    ds.model(FREE)
    error, fix = ds.refuses(command, "model.onnx", "--device", "cpu")
    assert error == "input x: float32 [N, T]: nothing tells how large 'N' is"
    sizes = shlex.split(fix.partition("(")[2].partition(")")[0])
    assert sizes == ["--shape", "N=128", "--shape", "T=128", "--shape", "M=128"]
    assert batch_of(trial(ds, command, *sizes)) == 1


@pytest.mark.parametrize("command", TRIALS)
def test_a_batch_axis_is_sized_by_the_batch(command, ds):
    ds.model(ROWS)
    assert batch_of(trial(ds, command, "--shape", "T=4", "--batch", "6")) == 6
    assert ds.refuses(command, "model.onnx", "--shape", "T=4", "--shape", "N=6") == (
        "axis 'N' carries the items of the batch", "its size is that of the batch: --batch 6"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--shape", "T"], "--shape needs SYMBOL=SIZE, got 'T'"),
        (["--shape", "T=0"], "--shape T must be a whole number of 1 or more, got '0'"),
        (["--shape", "T=-3"], "--shape T must be a whole number of 1 or more, got '-3'"),
        (["--shape", "T=x"], "--shape T must be a whole number of 1 or more, got 'x'"),
        (["--shape", "T=3", "--shape", "T=4"], "--shape names 'T' twice"),
        (["--shape", "T=3", "--shape", "Z=4"], "no input has an axis 'Z'"),
        (["--shape", "T=3", "--input", "data.npz"], "--shape is for inputs that are made up"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_a_wrong_size_is_told(words, told, ds):
    ds.model(ROWS)
    save("data.npz", {"x": floats(2, 3)})
    assert ds.refuses("calibrate", "model.onnx", *words)[0] == told


@pytest.mark.parametrize("command", TRIALS)
def test_with_constants_only_the_other_inputs_are_made_up(command, ds):
    ds.model("match (float[N, 4] x, float[M, 4] s) => (float[N, M] y) {"
             " t = Transpose(s) y = MatMul(x, t) }")  # fmt: skip
    save("data.npz", {"s": floats(5, 4)})
    error, fix = ds.refuses(command, "model.onnx", "--input", "data.npz")
    assert error == "input 'x' is missing; given: s"
    fixed = shlex.split(fix.rpartition(": ")[2])
    assert fixed == ["--constant", "s"]
    report = trial(ds, command, "--input", "data.npz", *fixed, "--batch", "3")
    assert batch_of(report) == 3


@pytest.mark.parametrize("command", TRIALS)
def test_inputs_that_cant_be_made_up_are_told(command, ds):
    value = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, ["N", 4])
    length = helper.make_tensor_value_info("y", TensorProto.INT64, [])
    node = helper.make_node("SequenceLength", ["x"], ["y"])
    made = helper.make_graph([node], "sequence", [value], [length])
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=9), "model.onnx")
    error, fix = ds.refuses(command, "model.onnx")
    assert error == "input x: sequence(tensor(float32)): nothing tells what it holds"
    assert fix == "pass real inputs (--input FILE)"


@pytest.mark.parametrize("command", TRIALS)
def test_made_up_values_that_a_model_refuses_are_told_as_such_and_real_ones_work(command, ds):
    """A table of three rows, and made-up numbers that ask for the hundredth."""
    ds.model("look (int64[N, 40] x) => (float[N, 40] y) <float[3] table = {1, 2, 3}> {"
             " y = Gather(table, x) }")  # fmt: skip
    error, fix = ds.refuses(command, "model.onnx", "--device", "cpu")
    assert error.startswith("the model does not take made-up inputs: stage ")
    assert "out of data bounds" in error
    assert fix.startswith("pass real ones (--input FILE.npz)")
    save("data.npz", {"x": np.ones((2, 40), np.int64)})
    assert batch_of(trial(ds, command, "--input", "data.npz")) == 2
    save("data.npz", {"x": np.full((2, 40), 100)})
    error, fix = ds.refuses(command, "model.onnx", "--input", "data.npz", "--device", "cpu")
    assert error.startswith("stage ") and fix == "check the values of its inputs"


@pytest.mark.parametrize("command", TRIALS)
def test_nothing_is_measured_on_no_items(command, ds, own_cache):
    ds.model(ROWS)
    save("data.npz", {"x": floats(0, 4)})
    error, fix = ds.refuses(command, "model.onnx", "--input", "data.npz", "--device", "cpu")
    assert error == "the inputs hold no items, so there is nothing to measure"
    assert fix == "pass one item or more"
    ds.says("run", "model.onnx", "--input", "data.npz")
    (stage,) = ds.json("plan", "model.onnx")["stages"]
    assert {c.get("samples", 0) for c in stage["candidates"]} == {0}


def test_a_plan_needs_no_sizes_and_says_what_is_a_guess(ds, own_cache):
    ds.model(FREE)
    text = ds.says("plan", "model.onnx", "--device", "cpu", "--verbose")
    assert text.startswith("not batched: ")
    assert "a guess; not measured yet" in text


def test_the_table_of_calibrate_is_as_wide_as_its_words(ds):
    ds.model("""
        two (float[N, 3, 8, 8] x) => (float[N, 3, 6, 6] y, float[N, 192] z) <
            float[3, 3, 3, 3] k = {
                1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9,
                1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9,
                1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9}> {
            y = Conv(x, k)
            z = Flatten(x)
        }
    """)
    head, *rows = ds.says(
        "calibrate", "model.onnx", "--device", "cpu", "--rounds", "1", "--batch", "5"
    ).splitlines()
    places = [head.index(word) for word in ("stage", "device", "batch", "time")]
    for row in rows:
        assert all(row[place] != " " and row[place - 1] == " " for place in places[1:])
        assert row.split()[-3:-1][0] == "5"


@pytest.mark.parametrize("command", ["run", "plan", "explain", "bench"])
def test_a_deadline_gets_a_verdict_everywhere(command, ds):
    ds.model(ROWS)
    save("data.npz", {"x": floats(40, 4)})
    words = (command, "model.onnx", "--input", "data.npz", *QUICK.get(command, ()))
    assert "deadline: 10000 ms is expected to hold" in ds.says(*words, "--deadline-ms", "1e4")
    assert "deadline: 1e-06 ms is NOT expected" in ds.says(*words, "--deadline-ms", "1e-6")


def test_calibrate_offers_no_option_that_would_do_nothing(ds):
    ds.model(ROWS)
    for words in (["--pin", "elementwise=cpu"], ["--deadline-ms", "5"]):
        assert ds.refuses("calibrate", "model.onnx", *words)[0].startswith("unrecognized arg")


def test_bench_marks_the_chosen_one_among_its_rows(ds):
    ds.model(ROWS)
    save("data.npz", {"x": floats(40, 4)})
    text = ds.says("bench", "model.onnx", "--input", "data.npz", *QUICK["bench"])
    head, first, *_ = text.splitlines()
    assert head.split() == ["items/s", "x", "chosen", "placement"]
    assert text.count("<- chosen") == 1
    assert float(first.split()[0]) > 0
